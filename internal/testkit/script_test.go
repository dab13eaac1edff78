package testkit_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"posthaste/internal/testkit"
)

// Each behaviour shows at its phase, and nowhere else.
func TestScriptMisbehavesAsWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		steps []testkit.Step
		want  []string // beginnings of the errors of two messages on two connections; empty: none
	}{
		{"well", nil, []string{"", ""}},
		{"refuse RCPT always", []testkit.Step{testkit.At(testkit.RCPT, testkit.Say("550-5.1.1 no", "550 5.1.1 user"))}, []string{"550", "550"}},
		{"refuse MAIL once", []testkit.Step{testkit.Nth(1, testkit.MAIL, testkit.Say("451 later"))}, []string{"451", ""}},
		{"drop at DATA, second time", []testkit.Step{testkit.Nth(2, testkit.DATA, testkit.Drop())}, []string{"", "EOF"}},
		{"drop after the dot", []testkit.Step{testkit.At(testkit.Dot, testkit.Drop())}, []string{"EOF", "EOF"}},
		{"421 at the dot", []testkit.Step{testkit.Nth(1, testkit.Dot, testkit.SayAndDrop("421 closing"))}, []string{"421", ""}},
		{"refuse the connection", []testkit.Step{testkit.Nth(1, testkit.Greeting, testkit.SayAndDrop("554 no"))}, []string{"554", ""}},
		{"nonsense", []testkit.Step{testkit.Nth(1, testkit.MAIL, testkit.Raw("nonsense\r\n"))}, []string{"short response", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, tt.steps...)
			for i, want := range tt.want {
				c, err := smtp.Dial(script.Addr())
				if err == nil {
					err = send(c, "a@example.com", "b@example.org", ".x\r\n")
					_ = c.Close()
				}
				got := ""
				if err != nil {
					got = err.Error()
				}
				if !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("message %d: %q, want %q", i+1, got, want)
				}
			}
			if script.Connections() != len(tt.want) {
				t.Errorf("%d connections", script.Connections())
			}
		})
	}
}

func TestScriptTellsWhatItHeard(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, testkit.Offer("STARTTLS", "AUTH PLAIN"))
	c := client(t, script.Addr())
	if ok, _ := c.Extension("PIPELINING"); ok {
		t.Error("PIPELINING is offered")
	}
	if err := c.StartTLS(&tls.Config{RootCAs: script.Roots(), ServerName: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", "fox", "secret", "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := send(c, "a@example.com", "b@example.org", ".x\r\n"); err != nil {
		t.Fatal(err)
	}
	want := []string{"EHLO localhost", "STARTTLS", "EHLO localhost", "AUTH PLAIN", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA"}
	if got := script.Commands(); !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
	got := script.Messages()
	if len(got) != 1 || got[0].From != "a@example.com" || got[0].To != "b@example.org" || string(got[0].Data) != "..x\r\n" {
		t.Errorf("messages %+v", got)
	}
	if err := script.Arrived(t.Context(), testkit.Dot); err != nil {
		t.Error(err)
	}
}

func TestScriptStallsUntilTheOtherSideGoes(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, testkit.At(testkit.Body, testkit.Stall()))
	conn, err := net.Dial("tcp", script.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := script.Arrived(t.Context(), testkit.Body); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(all), "354") || len(script.Messages()) != 0 {
		t.Errorf("answers %q, %d messages", all, len(script.Messages()))
	}
}
