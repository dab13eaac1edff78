package smtpclient_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

// bodies are messages and what stands between DATA and the final dot.
var bodies = []struct{ name, in, want string }{
	{"empty", "", ""},
	{"as it should be", "A: b\r\n\r\nc\r\n", "A: b\r\n\r\nc\r\n"},
	{"no end of line", "A: b\r\n\r\nc", "A: b\r\n\r\nc\r\n"},
	{"dots", ".\r\n..\r\n.x\r\nx.\r\n", "..\r\n...\r\n..x\r\nx.\r\n"},
	{"LF", "a\n.b\nc", "a\r\n..b\r\nc\r\n"},
	{"CR", "a\r.b\rc\r", "a\r\n..b\r\nc\r\n"},
	{"CR CR LF", "a\r\r\nb\r\n", "a\r\n\r\nb\r\n"},
	{"smuggled by LF dot LF", "a\n.\nMAIL FROM:<x@example.com>\r\n", "a\r\n..\r\nMAIL FROM:<x@example.com>\r\n"},
	{"smuggled by LF dot CRLF", "a\n.\r\nMAIL FROM:<x@example.com>\r\n", "a\r\n..\r\nMAIL FROM:<x@example.com>\r\n"},
	{"smuggled by CR dot CR", "a\r.\rMAIL\r\n", "a\r\n..\r\nMAIL\r\n"},
	{"998", strings.Repeat("x", 998) + "\r\n", strings.Repeat("x", 998) + "\r\n"},
	{"998 and a dot", "." + strings.Repeat("x", 997) + "\r\n", ".." + strings.Repeat("x", 997) + "\r\n"},
	{"more than a block", strings.Repeat(".\r\n", 50_000), strings.Repeat("..\r\n", 50_000)},
}

func TestMessageOnTheWire(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t)
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
	for i, tt := range bodies {
		before := tt.in
		in := []byte(tt.in)
		if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: in}); !got.Accepted() {
			t.Fatalf("%s: %+v", tt.name, got)
		}
		if got := string(script.Messages()[i].Data); got != tt.want {
			t.Errorf("%s: on the wire %.200q, want %.200q", tt.name, got, tt.want)
		}
		if string(in) != before {
			t.Errorf("%s: the caller's bytes were changed", tt.name)
		}
	}
}

// A server that is not ours sees the message as it was.
func TestMessageArrivesAsItWas(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
	conn := dial(t, dialer(t, sink.URL(), smtpclient.Options{}))
	body := []byte("Subject: x\r\n\r\n.\r\n..x\r\n" + strings.Repeat("y", 998) + "\r\n")
	if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: body}); !got.Accepted() {
		t.Fatalf("%+v", got)
	}
	got := sink.Messages()[0]
	if !bytes.Equal(got.Data, body) || got.From != envelope.From || got.To != envelope.To {
		t.Errorf("received %+v", got)
	}
}

// Whatever the bytes, one message arrives, without a bare CR or LF.
func FuzzMessageOnTheWire(f *testing.F) {
	for _, tt := range bodies {
		f.Add([]byte(tt.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		wire := smtpclient.Encode(in)
		rest := bytes.ReplaceAll(wire, []byte("\r\n"), nil)
		if bytes.ContainsAny(rest, "\r\n") {
			t.Errorf("bare CR or LF in %q", wire)
		}
		if bytes.HasPrefix(wire, []byte(".\r\n")) || bytes.Contains(wire, []byte("\r\n.\r\n")) {
			t.Errorf("an early end in %q", wire)
		}
		if len(wire) > 0 && !bytes.HasSuffix(wire, []byte("\r\n")) {
			t.Errorf("no end of line in %q", wire)
		}
	})
}
