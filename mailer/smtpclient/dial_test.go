package smtpclient_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

// trusting makes options for a script or sink.
func trusting(roots *x509.CertPool) smtpclient.Options {
	return smtpclient.Options{Roots: roots, Timeouts: patience}
}

func TestDialEncryptsAndAuthenticates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		opts  testkit.SinkOptions
		query string
	}{
		{"plain text to this machine", testkit.SinkOptions{}, ""},
		{"STARTTLS where offered", testkit.SinkOptions{TLS: testkit.StartTLS}, ""},
		{"STARTTLS required", testkit.SinkOptions{TLS: testkit.StartTLS}, "?tls=required"},
		{"STARTTLS not wanted", testkit.SinkOptions{TLS: testkit.StartTLS}, "?tls=none&hello=mail.example.com"},
		{"implicit TLS", testkit.SinkOptions{TLS: testkit.ImplicitTLS}, ""},
		{"AUTH in plain text to this machine", testkit.SinkOptions{User: "fox", Password: "s3cret/@"}, ""},
		{"AUTH after STARTTLS", testkit.SinkOptions{TLS: testkit.StartTLS, User: "fox", Password: "s3cret/@"}, "?tls=required"},
		{"AUTH in TLS", testkit.SinkOptions{TLS: testkit.ImplicitTLS, User: "fox", Password: "s3cret/@"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sink := testkit.NewSink(t, tt.opts)
			conn := dial(t, dialer(t, sink.URL()+tt.query, trusting(sink.Roots())))
			if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message}); !got.Accepted() {
				t.Errorf("answer %+v", got)
			}
		})
	}
}

func TestAuthMechanisms(t *testing.T) {
	t.Parallel()
	for offer, want := range map[string]string{
		"AUTH PLAIN LOGIN": "AUTH PLAIN", "AUTH LOGIN PLAIN": "AUTH PLAIN", "AUTH LOGIN": "AUTH LOGIN",
	} {
		t.Run(offer, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, testkit.Offer("STARTTLS", offer))
			url := strings.Replace(script.URL(), "smtp://", "smtp://fox:secret@", 1) + "?tls=required"
			dial(t, dialer(t, url, trusting(script.Roots())))
			if got := strings.Join(script.Commands(), "|"); !strings.Contains(got, want) || !strings.Contains(got, "STARTTLS") {
				t.Errorf("commands %q, want %q", got, want)
			}
		})
	}
}

func TestDialFaults(t *testing.T) {
	t.Parallel()
	hurried := patience
	hurried.Connect = short
	auth := testkit.Offer("STARTTLS", "AUTH PLAIN")
	tests := []struct {
		name      string
		steps     []testkit.Step
		query     string
		code      int
		permanent bool
		phase     string // in the error
	}{
		{"greeting 4xx", steps(testkit.At(testkit.Greeting, testkit.Say("451 4.3.2 later"))), "", 451, false, "greeting"},
		{"greeting 5xx", steps(testkit.At(testkit.Greeting, testkit.SayAndDrop("554 5.7.1 go away"))), "", 554, false, "greeting"},
		{"greeting 421", steps(testkit.At(testkit.Greeting, testkit.SayAndDrop("421 4.3.2 busy"))), "", 421, false, "greeting"},
		{"greeting drop", steps(testkit.At(testkit.Greeting, testkit.Drop())), "", 0, false, "greeting"},
		{"greeting stall", steps(testkit.At(testkit.Greeting, testkit.Stall())), "", 0, false, "greeting"},
		{"EHLO 4xx", steps(testkit.At(testkit.EHLO, testkit.Say("451 4.3.2 later"))), "", 451, false, "EHLO"},
		{"EHLO 5xx", steps(testkit.At(testkit.EHLO, testkit.Say("550 5.7.1 bad name"))), "", 550, false, "EHLO"},
		{"EHLO 421", steps(testkit.At(testkit.EHLO, testkit.SayAndDrop("421 4.3.2 busy"))), "", 421, false, "EHLO"},
		{"EHLO drop", steps(testkit.At(testkit.EHLO, testkit.Drop())), "", 0, false, "EHLO"},
		{"EHLO stall", steps(testkit.At(testkit.EHLO, testkit.Stall())), "", 0, false, "EHLO"},
		{"STARTTLS not offered", nil, "?tls=required", 0, true, "EHLO offer"},
		{"STARTTLS 4xx", steps(auth, testkit.At(testkit.STARTTLS, testkit.Say("454 4.7.0 not now"))), "?tls=required", 454, false, "STARTTLS"},
		{"STARTTLS 5xx", steps(auth, testkit.At(testkit.STARTTLS, testkit.Say("502 5.5.1 no"))), "?tls=required", 502, true, "STARTTLS"},
		{"STARTTLS 421", steps(auth, testkit.At(testkit.STARTTLS, testkit.SayAndDrop("421 4.3.2 busy"))), "?tls=required", 421, false, "STARTTLS"},
		{"STARTTLS drop", steps(auth, testkit.At(testkit.STARTTLS, testkit.Drop())), "?tls=required", 0, false, "STARTTLS"},
		{"STARTTLS stall", steps(auth, testkit.At(testkit.STARTTLS, testkit.Stall())), "?tls=required", 0, false, "STARTTLS"},
		{"handshake drop", steps(auth, testkit.At(testkit.Handshake, testkit.Drop())), "?tls=required", 0, false, "STARTTLS handshake"},
		{"handshake stall", steps(auth, testkit.At(testkit.Handshake, testkit.Stall())), "?tls=required", 0, false, "STARTTLS handshake"},
		{"AUTH not offered", steps(testkit.Offer("STARTTLS")), "auth?tls=required", 0, true, "EHLO offer"},
		{"AUTH unknown mechanism", steps(testkit.Offer("STARTTLS", "AUTH GSSAPI")), "auth?tls=required", 0, true, "EHLO offer"},
		{"AUTH 4xx", steps(auth, testkit.At(testkit.AUTH, testkit.Say("454 4.7.0 not now"))), "auth?tls=required", 454, false, "AUTH"},
		{"AUTH 5xx", steps(auth, testkit.At(testkit.AUTH, testkit.Say("535 5.7.8 fox and s3cret refused"))), "auth?tls=required", 535, true, "AUTH"},
		{"AUTH 421", steps(auth, testkit.At(testkit.AUTH, testkit.SayAndDrop("421 4.3.2 busy"))), "auth?tls=required", 421, false, "AUTH"},
		{"AUTH drop", steps(auth, testkit.At(testkit.AUTH, testkit.Drop())), "auth?tls=required", 0, false, "AUTH"},
		{"AUTH stall", steps(auth, testkit.At(testkit.AUTH, testkit.Stall())), "auth?tls=required", 0, false, "AUTH"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, tt.steps...)
			url, opts := script.URL(), trusting(script.Roots())
			query, withAuth := strings.CutPrefix(tt.query, "auth")
			if withAuth {
				url = strings.Replace(url, "smtp://", "smtp://fox:s3cret@", 1)
			}
			if strings.HasSuffix(tt.name, "stall") {
				opts.Timeouts = hurried
			}
			_, err := dialer(t, url+query, opts).Dial(t.Context())
			failed, ok := errors.AsType[*relay.ConnectError](err)
			if !ok {
				t.Fatalf("error %v, want a *relay.ConnectError", err)
			}
			if failed.Reply.Stage != posthaste.AtConnect || failed.Reply.Code != tt.code || failed.Permanent != tt.permanent {
				t.Errorf("%+v, want code %d, permanent %v", failed, tt.code, tt.permanent)
			}
			text := failed.Error()
			if !strings.HasPrefix(text, script.Addr()+": "+tt.phase+": ") {
				t.Errorf("error %q, want host:port and phase %q", text, tt.phase)
			}
			if strings.Contains(text+failed.Reply.Text, "s3cret") {
				t.Errorf("the password is in %q", text)
			}
		})
	}
}

func steps(s ...testkit.Step) []testkit.Step { return s }

func TestDialRefusesAnUntrustedCertificate(t *testing.T) {
	t.Parallel()
	nobody := trusting(x509.NewCertPool())
	for name, url := range map[string]string{
		"STARTTLS": testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.StartTLS}).URL() + "?tls=required",
		"implicit": testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.ImplicitTLS}).URL(),
	} {
		_, err := dialer(t, url, nobody).Dial(t.Context())
		if failed, ok := errors.AsType[*relay.ConnectError](err); !ok || !failed.Permanent {
			t.Errorf("%s: error %v, want a permanent one", name, err)
		}
	}
	// On this machine plain text would do, so an unknown certificate does too.
	local := testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.StartTLS})
	dial(t, dialer(t, local.URL()+"?tls=opportunistic", nobody))
}

func TestDialRefusesAWrongPassword(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.ImplicitTLS, User: "fox", Password: "right"})
	_, err := dialer(t, strings.Replace(sink.URL(), "right", "wrong", 1), trusting(sink.Roots())).Dial(t.Context())
	failed, ok := errors.AsType[*relay.ConnectError](err)
	if !ok || !failed.Permanent || failed.Reply.Code != 535 {
		t.Errorf("error %+v", err)
	}
}

func TestDialStopsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, at := range []testkit.Phase{testkit.Greeting, testkit.EHLO} {
		script := testkit.NewScript(t, testkit.At(at, testkit.Stall()))
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_ = script.Arrived(context.Background(), at)
			cancel()
		}()
		_, err := dialer(t, script.URL(), smtpclient.Options{}).Dial(ctx)
		failed, ok := errors.AsType[*relay.ConnectError](err)
		if !ok || failed.Permanent || failed.Reply.Text != "stopped by us" || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %+v", at, err)
		}
	}
}

func TestDialNobodyListens(t *testing.T) {
	t.Parallel()
	closed := testkit.NewFastSink(t)
	url := closed.URL()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := dialer(t, url, smtpclient.Options{}).Dial(t.Context())
	if failed, ok := errors.AsType[*relay.ConnectError](err); !ok || failed.Permanent || !strings.Contains(err.Error(), ": connect: ") {
		t.Errorf("error %v", err)
	}
}
