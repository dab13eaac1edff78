package inbound_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/mailer/inbound"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 200)
	tests := []struct {
		name string
		err  error
		want string
		last bool
	}{
		{"invalid", posthaste.Refuse("data.total", "is missing"), "554 5.6.0 the input is not valid; data.total: is missing", false},
		{"wrapped", fmt.Errorf("take notice 3 in: %w", posthaste.Refuse("to", "is missing")), "554 5.6.0 the input is not valid; to: is missing", false},
		{"many faults", posthaste.RefuseAll([]posthaste.Field{{Name: "a", Reason: "1"}, {Name: "b", Reason: "2"}, {Name: "c", Reason: "3"}, {Name: "d", Reason: "4"}}),
			"554 5.6.0 the input is not valid; a: 1; b: 2; c: 3", false},
		{"fault with an address", posthaste.Refuse("to", "knows no <fox@example.org>, fox@example.org"), "554 5.6.0 the input is not valid; to: knows no (address) (address)", false},
		{"line end", posthaste.Refuse("to", "is\r\n250 ok ü"), "554 5.6.0 the input is not valid; to: is 250 ok ?", false},
		{"cause", &posthaste.Error{Kind: posthaste.Conflict, Message: "the type is being changed", Err: errors.New("secret")}, "554 5.6.0 the type is being changed", false},
		{"not found", &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no notice type receipt"}, "550 5.6.0 there is no notice type receipt", false},
		{"a kind alone", posthaste.NotFound, "550 5.6.0 not found", false},
		{"a wrapped kind", fmt.Errorf("find type: %w", posthaste.NotFound), "550 5.6.0 not found", false},
		{"unauthorized", &posthaste.Error{Kind: posthaste.Unauthorized, Message: "the key may not send receipt"}, "550 5.7.1 the key may not send receipt", false},
		{"too large", &posthaste.Error{Kind: posthaste.TooLarge, Message: "the files are larger than 10 MB"}, "552 5.3.4 the files are larger than 10 MB", false},
		{"unavailable", &posthaste.Error{Kind: posthaste.Unavailable, Message: "the queue does not answer"}, "451 4.3.0 the queue does not answer", false},
		{"long", posthaste.Refuse("data", long), "554 5.6.0 " + ("the input is not valid; data: " + long)[:480], false},
		{"cancelled", fmt.Errorf("store: %w", context.Canceled), "421 4.3.2", true},
		{"too slow", context.DeadlineExceeded, "421 4.3.2", true},
		{"anything else", errors.New("write fox@example.org\n via 10.0.0.1"), "451 4.3.0 something failed here, send it again later", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{submit: func(context.Context, inbound.Submission) (string, error) { return "", tt.err }})
			p := h.signedIn()
			p.begin()
			p.raw(message + ".\r\n")
			if tt.last {
				p.hears(tt.want)
				p.gone()
			} else {
				if got := p.reply(); got != tt.want {
					t.Errorf("heard %q, want %q", got, tt.want)
				}
				p.talk("DATA", "503", "NOOP", "250") // the transaction is over, the connection is not
			}
			logged := h.logged.String()
			if tt.name != "anything else" {
				if logged != "" {
					t.Errorf("logged %q", logged)
				}
				return
			}
			if strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "key=7") || !strings.Contains(logged, "write (address) via") {
				t.Errorf("logged %q", logged)
			}
			for _, secret := range []string{"fox", "hello", goodKey, "127.0.0.1"} {
				if strings.Contains(logged, secret) {
					t.Errorf("logged %q, with %q", logged, secret)
				}
			}
		})
	}
}

// TestSlowSubmit: 250 comes after Submit has returned and not before, however
// long that takes and whatever the client says meanwhile.
func TestSlowSubmit(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	h := start(t, setup{submit: func(context.Context, inbound.Submission) (string, error) {
		close(began)
		<-finish
		return "slow-1", nil
	}})
	p := h.signedIn()
	p.begin()
	p.raw(message + ".\r\n")
	<-began
	early := make(chan string, 1)
	go func() { early <- p.reply() }()
	select {
	case got := <-early:
		t.Fatalf("heard %q before the notice was stored", got)
	case <-time.After(20 * time.Millisecond): // a reply that came too soon would most likely be there
	}
	close(finish)
	if got := <-early; got != "250 2.6.0 slow-1 queued" {
		t.Errorf("heard %q", got)
	}
}

// TestSubmitHangs: the client is answered before it gives up.
func TestSubmitHangs(t *testing.T) {
	t.Parallel()
	h := start(t, setup{Options: inbound.Options{Timeout: 2 * time.Second}, submit: func(ctx context.Context, _ inbound.Submission) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}})
	p := h.signedIn()
	p.begin()
	p.raw(message + ".\r\n")
	p.hears("421 4.3.2")
	p.gone()
}

// TestSubmitPanics: one message that breaks the program breaks one connection.
func TestSubmitPanics(t *testing.T) {
	t.Parallel()
	h := start(t, setup{submit: func(context.Context, inbound.Submission) (string, error) { panic("fox@example.org") }})
	p := h.signedIn()
	p.begin()
	p.raw(message + ".\r\n")
	p.gone()
	h.dial().talk("NOOP", "250")
	if logged := h.logged.String(); !strings.Contains(logged, "panic") || strings.Contains(logged, "fox") {
		t.Errorf("logged %q", logged)
	}
}

// TestIdempotency: who sends a message again sends its Message-ID again.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	h := start(t, setup{submit: func(_ context.Context, s inbound.Submission) (string, error) {
		if ids[s.Idempotency] == "" {
			ids[s.Idempotency] = fmt.Sprintf("notice-%d", len(ids)+1)
		}
		return ids[s.Idempotency], nil
	}})
	p := h.signedIn()
	for _, want := range []string{"notice-1", "notice-1"} {
		p.begin()
		p.raw(message + ".\r\n")
		p.hears("250 2.6.0 " + want + " queued")
	}
	p.begin()
	p.raw(strings.Replace(message, "<1@", "<2@", 1) + ".\r\n")
	p.hears("250 2.6.0 notice-2 queued")
	if got := h.notices.list()[0].Idempotency; got != "1@app.example.net" {
		t.Errorf("Idempotency %q", got)
	}
}
