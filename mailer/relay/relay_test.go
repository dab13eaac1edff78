package relay_test

import (
	"context"
	"errors"
	"testing"

	"posthaste"
	"posthaste/mailer/relay"
)

func TestAcceptedOnlyAtTheDot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   posthaste.Reply
		want bool
	}{
		{"250 to the dot", posthaste.Reply{Stage: posthaste.AtDot, Code: 250}, true},
		{"any 2xx to the dot", posthaste.Reply{Stage: posthaste.AtDot, Code: 299}, true},
		{"250 to RCPT is no acceptance", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 250}, false},
		{"354 is none", posthaste.Reply{Stage: posthaste.AtData, Code: 354}, false},
		{"451 to the dot", posthaste.Reply{Stage: posthaste.AtDot, Code: 451}, false},
		{"550 to the dot", posthaste.Reply{Stage: posthaste.AtDot, Code: 550}, false},
		{"silence", posthaste.Reply{Stage: posthaste.AtDot}, false},
	}
	for _, tt := range tests {
		if got := (relay.Answer{Reply: tt.in}).Accepted(); got != tt.want {
			t.Errorf("%s: Accepted() = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestConnectErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	var err error = &relay.ConnectError{Err: context.DeadlineExceeded}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause cannot be asked for")
	}
	err = &relay.ConnectError{Reply: posthaste.Reply{Text: "no such host"}}
	if want := "connect to the next hop: no such host"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
}
