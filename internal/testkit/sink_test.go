package testkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/smtp"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"posthaste/internal/testkit"
)

// client talks to a server by the standard library, so that none of our own
// code is tested against itself.
func client(t *testing.T, addr string) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(c *smtp.Client, from, to, body string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	return w.Close()
}

func TestSinkKeepsWhatItIsSent(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
	c := client(t, sink.Addr())
	for _, to := range []string{"a@example.org", "b@example.org"} {
		if err := send(c, "news@example.com", to, "Subject: x\r\n\r\n.dot\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	got := sink.Messages()
	if sink.Count() != 2 || got[1].From != "news@example.com" || got[1].To != "b@example.org" ||
		string(got[1].Data) != "Subject: x\r\n\r\n.dot\r\n" || got[1].At.IsZero() {
		t.Errorf("messages %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Wait(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait for a third: %v", err)
	}
}

func TestSinkHooksRefuse(t *testing.T) {
	t.Parallel()
	no := &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "no"}
	refuse := func(bad string) func(string) error {
		return func(address string) error {
			if address == bad {
				return no
			}
			return nil
		}
	}
	sink := testkit.NewSink(t, testkit.SinkOptions{
		OnMail: refuse("bad@example.com"), OnRcpt: refuse("bad@example.org"),
		OnData: func(r testkit.Received) error {
			if strings.Contains(string(r.Data), "bad") {
				return no
			}
			return nil
		},
	})
	for _, tt := range []struct{ from, to, body string }{
		{"bad@example.com", "a@example.org", "x"},
		{"a@example.com", "bad@example.org", "x"},
		{"a@example.com", "a@example.org", "bad"},
	} {
		if err := send(client(t, sink.Addr()), tt.from, tt.to, tt.body); err == nil || !strings.HasPrefix(err.Error(), "550") {
			t.Errorf("%+v: %v, want the 550", tt, err)
		}
	}
	if err := send(client(t, sink.Addr()), "a@example.com", "a@example.org", "x"); err != nil {
		t.Error(err)
	}
	if got := sink.Messages(); len(got) != 1 || got[0].Data != nil {
		t.Errorf("messages %+v, want one without its body", got)
	}
}

func TestSinkTLSAndAuth(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.StartTLS, User: "fox", Password: "secret"})
	dial := func(password string) error {
		c := client(t, sink.Addr())
		if err := c.StartTLS(&tls.Config{RootCAs: sink.Roots(), ServerName: "127.0.0.1"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(smtp.PlainAuth("", "fox", password, "127.0.0.1")); err != nil {
			return err
		}
		return send(c, "a@example.com", "a@example.org", "x")
	}
	if err := dial("wrong"); err == nil {
		t.Error("a wrong password was taken")
	}
	if err := dial("secret"); err != nil {
		t.Error(err)
	}
	if err := send(client(t, sink.Addr()), "a@example.com", "a@example.org", "x"); err == nil {
		t.Error("MAIL was taken without AUTH")
	}
	implicit := testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.ImplicitTLS})
	conn, err := tls.Dial("tcp", implicit.Addr(), &tls.Config{RootCAs: implicit.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
