package inbound_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"posthaste/mailer/inbound"
)

// TestStop: idle connections end, a transaction under way is finished.
func TestStop(t *testing.T) {
	t.Parallel()
	h := start(t, setup{Options: inbound.Options{Grace: patient}})
	idle, silent, sending, sent := h.signedIn(), h.dial(), h.signedIn(), h.signedIn()
	sending.talk("MAIL FROM:<>", "250")
	sent.begin()
	sent.raw(message)
	h.stop()
	idle.hears("421 4.3.2")
	idle.gone()
	silent.hears("421 4.3.2")
	silent.gone()
	if conn, err := net.Dial("tcp", h.addr); err == nil {
		conn.Close()
		t.Error("a new connection was accepted")
	}
	sending.talk("RCPT TO:<owl@example.org>", "250", "DATA", "354")
	sending.raw(message + ".\r\n")
	sending.hears("250 2.6.0")
	sending.hears("421 4.3.2")
	sending.gone()
	sent.raw(".\r\n")
	sent.hears("250 2.6.0")
	sent.hears("421 4.3.2")
	h.wait()
	if all := h.notices.list(); len(all) != 2 {
		t.Errorf("%d submissions, want 2", len(all))
	}
}

// TestStopWithoutPatience: what is not finished within Grace is not taken.
func TestStopWithoutPatience(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	h := start(t, setup{Options: inbound.Options{Grace: 50 * time.Millisecond}, submit: func(ctx context.Context, _ inbound.Submission) (string, error) {
		close(began)
		<-ctx.Done()
		return "", ctx.Err()
	}})
	sending, hanging := h.signedIn(), h.signedIn()
	sending.begin()
	sending.raw(head + "Hello")
	hanging.begin()
	hanging.raw(message + ".\r\n")
	<-began
	h.stop()
	sending.hears("421 4.3.2")
	sending.gone()
	hanging.hears("421 4.3.2")
	hanging.gone()
	h.wait()
}

// TestStopInTLS: a client in the middle of the handshake does not hold the server up.
func TestStopInTLS(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	p := h.dial()
	p.talk("EHLO app", "250", "STARTTLS", "220")
	h.stop()
	h.wait()
}

func TestListenerFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := inbound.New(keys{}, &notices{}, inbound.Options{}).Serve(t.Context(), listener); err == nil {
		t.Error("no error")
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	h := start(t, setup{Options: inbound.Options{MaxConnections: 2}})
	first := h.dial()
	h.dial()
	third := h.connect()
	third.hears("421 4.3.2")
	third.gone()
	first.talk("QUIT", "221")
	first.gone()
	// The place is free a moment after the connection is closed.
	for deadline := time.Now().Add(patient); ; {
		p := h.connect()
		if got := p.reply(); got == "220 in.example.com ESMTP" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place does not become free")
		}
	}
}

// TestTimeouts: each wait has its end. All of them wait at the same time.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	h := start(t, setup{Options: inbound.Options{Timeout: 2 * time.Second}})
	tests := []struct {
		name string
		to   func(p *peer)
		want string
	}{
		{"nothing said", func(*peer) {}, "421 4.4.2"},
		{"half a line", func(p *peer) { p.raw("EHL") }, "421 4.4.2"},
		{"no handshake", func(p *peer) { p.talk("STARTTLS", "220") }, ""},
		{"no answer to AUTH", func(p *peer) { p.talk("EHLO a", "250", "AUTH LOGIN", "334") }, "421 4.4.2"},
		{"nothing after AUTH", func(p *peer) { p.talk("EHLO a", "250", "AUTH PLAIN "+plain(goodKey), "235") }, "421 4.4.2"},
		{"half a message", func(p *peer) {
			p.talk("EHLO a", "250", "AUTH PLAIN "+plain(goodKey), "235")
			p.begin()
			p.raw(head + "Hello\r\n")
		}, "421 4.4.2"},
	}
	peers := make([]*peer, len(tests))
	for i, tt := range tests {
		peers[i] = h.dial()
		tt.to(peers[i])
	}
	// Chatter without a key does not make the time any longer; p has a deadline of its own.
	for p := h.dial(); ; {
		p.raw("NOOP\r\n")
		if got := p.reply(); strings.HasPrefix(got, "421 4.4.2") {
			break
		} else if !strings.HasPrefix(got, "250") {
			t.Fatalf("heard %q", got)
		}
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peers[i].t = t
			peers[i].hears(tt.want)
			peers[i].gone()
		})
	}
	if all := h.notices.list(); len(all) != 0 {
		t.Errorf("submitted %v", all)
	}
}
