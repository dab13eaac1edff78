package bounce_test

import (
	"testing"
	"time"

	"posthaste"
	"posthaste/mailer/bounce"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	t.Parallel()
	later := posthaste.Reply{Stage: posthaste.AtRcpt, Code: 451, Enhanced: "4.3.0", Text: "later"}
	grey := posthaste.Reply{Stage: posthaste.AtRcpt, Code: 450, Enhanced: "4.2.0", Text: "Greylisted"}
	far := noon.Add(72 * time.Hour)
	tests := []struct {
		name     string
		reply    posthaste.Reply
		attempts int
		expires  time.Time
		jitter   float64
		want     posthaste.DeliveryState
		wait     time.Duration
	}{
		{"accepted", posthaste.Reply{Stage: posthaste.AtDot, Code: 250}, 1, far, 0.5, posthaste.Accepted, 0},
		{"250 to RCPT accepts nothing", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 250}, 1, far, 0.5, posthaste.Deferred, 30 * time.Minute},
		{"silence after the dot", posthaste.Reply{Stage: posthaste.AtDot}, 1, far, 0.5, posthaste.Uncertain, 0},
		{"silence before it", posthaste.Reply{Stage: posthaste.AtData}, 1, far, 0.5, posthaste.Deferred, 30 * time.Minute},
		{"hard", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 550, Enhanced: "5.1.1"}, 1, far, 0.5, posthaste.Bounced, 0},
		{"other 5xx", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 550, Enhanced: "5.7.1"}, 1, far, 0.5, posthaste.Failed, 0},
		{"full mailbox, for good", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 552, Enhanced: "5.2.2"}, 1, far, 0.5, posthaste.Failed, 0},
		{"first retry", later, 1, far, 0.5, posthaste.Deferred, 30 * time.Minute},
		{"second", later, 2, far, 0.5, posthaste.Deferred, time.Hour},
		{"third", later, 3, far, 0.5, posthaste.Deferred, 2 * time.Hour},
		{"fourth", later, 4, far, 0.5, posthaste.Deferred, 4 * time.Hour},
		{"never longer", later, 1000, far, 0.5, posthaste.Deferred, 4 * time.Hour},
		{"shortest", later, 1, far, 0, posthaste.Deferred, 27 * time.Minute},
		{"longest", later, 1, far, 1, posthaste.Deferred, 33 * time.Minute},
		{"greylisted", grey, 1, far, 0.5, posthaste.Deferred, 5 * time.Minute},
		{"still greylisted", grey, 2, far, 0.5, posthaste.Deferred, 30 * time.Minute},
		{"451 4.7.1", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 451, Enhanced: "4.7.1", Text: "x"}, 1, far, 0.5, posthaste.Deferred, 5 * time.Minute},
		{"no time left", later, 1, noon.Add(29 * time.Minute), 0.5, posthaste.Failed, 0},
		{"just enough", later, 1, noon.Add(30 * time.Minute), 0.5, posthaste.Deferred, 30 * time.Minute},
		{"without expiry", later, 1, time.Time{}, 0.5, posthaste.Deferred, 30 * time.Minute},
	}
	for _, tt := range tests {
		state, at := bounce.Mailings.Decide(tt.reply, tt.attempts, noon.Add(-time.Hour), noon, tt.expires, tt.jitter)
		want := time.Time{}
		if tt.wait > 0 {
			want = noon.Add(tt.wait)
		}
		if state != tt.want || !at.Equal(want) {
			t.Errorf("%s: %s at %s, want %s at %s", tt.name, state, at, tt.want, want)
		}
	}
}

func TestDecideGivesUpAfterFiveDays(t *testing.T) {
	t.Parallel()
	later := posthaste.Reply{Stage: posthaste.AtRcpt, Code: 451}
	state, _ := bounce.Mailings.Decide(later, 9, noon.Add(-5*24*time.Hour+time.Hour), noon, time.Time{}, 0.5)
	if state != posthaste.Failed {
		t.Errorf("%s after five days, want failed", state)
	}
}

// TestNoticesAreTriedSooner, and once more just before they expire.
func TestNoticesAreTriedSooner(t *testing.T) {
	t.Parallel()
	later := posthaste.Reply{Stage: posthaste.AtRcpt, Code: 451, Enhanced: "4.3.0", Text: "later"}
	grey := posthaste.Reply{Stage: posthaste.AtRcpt, Code: 450, Enhanced: "4.2.0", Text: "Greylisted"}
	away := posthaste.Reply{Stage: posthaste.AtConnect}
	const far = 72 * time.Hour
	tests := []struct {
		name     string
		reply    posthaste.Reply
		attempts int
		expires  time.Duration // from now; 0: never
		jitter   float64
		want     posthaste.DeliveryState
		wait     time.Duration
	}{
		{"accepted", posthaste.Reply{Stage: posthaste.AtDot, Code: 250}, 1, far, 0.5, posthaste.Accepted, 0},
		{"hard", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 550, Enhanced: "5.1.1"}, 1, far, 0.5, posthaste.Bounced, 0},
		{"other 5xx", posthaste.Reply{Stage: posthaste.AtDot, Code: 554, Enhanced: "5.7.1"}, 1, far, 0.5, posthaste.Failed, 0},
		{"first retry", later, 1, far, 0.5, posthaste.Deferred, 30 * time.Second},
		{"after a fault of the way there", away, 1, far, 0.5, posthaste.Deferred, 30 * time.Second},
		{"second", later, 2, far, 0.5, posthaste.Deferred, time.Minute},
		{"third", later, 3, far, 0.5, posthaste.Deferred, 2 * time.Minute},
		{"seventh", later, 7, far, 0.5, posthaste.Deferred, 32 * time.Minute},
		{"eighth", later, 8, far, 0.5, posthaste.Deferred, time.Hour},
		{"never longer", later, 1000, far, 0.5, posthaste.Deferred, time.Hour},
		{"shortest", later, 1, far, 0, posthaste.Deferred, 27 * time.Second},
		{"longest", later, 1, far, 1, posthaste.Deferred, 33 * time.Second},
		{"greylisted", grey, 1, far, 0.5, posthaste.Deferred, 2 * time.Minute},
		{"still greylisted", grey, 2, far, 0.5, posthaste.Deferred, 30 * time.Second},
		{"without expiry", later, 1, 0, 0.5, posthaste.Deferred, 30 * time.Second},
		{"just enough time", later, 1, 33 * time.Second, 0.5, posthaste.Deferred, 30 * time.Second},
		{"a little too close", later, 1, 32 * time.Second, 0.5, posthaste.Deferred, 29 * time.Second},
		{"not enough time", later, 1, 20 * time.Second, 0.5, posthaste.Deferred, 17 * time.Second},
		{"greylisted with little time", grey, 1, time.Minute, 0.5, posthaste.Deferred, 57 * time.Second},
		{"the soonest last chance", later, 1, 6 * time.Second, 0.5, posthaste.Deferred, 3 * time.Second},
		{"no time for another", later, 1, 6*time.Second - time.Microsecond, 0.5, posthaste.Failed, 0},
		{"after the last chance", later, 5, 3 * time.Second, 0.5, posthaste.Failed, 0},
		{"past", later, 1, -time.Second, 0.5, posthaste.Failed, 0},
	}
	for _, tt := range tests {
		expires, want := time.Time{}, time.Time{}
		if tt.expires != 0 {
			expires = noon.Add(tt.expires)
		}
		if tt.wait > 0 {
			want = noon.Add(tt.wait)
		}
		state, at := bounce.Notices.Decide(tt.reply, tt.attempts, noon.Add(-time.Hour), noon, expires, tt.jitter)
		if state != tt.want || !at.Equal(want) {
			t.Errorf("%s: %s at %s, want %s at %s", tt.name, state, at, tt.want, want)
		}
	}
	if state, _ := bounce.Mailings.Decide(later, 1, noon, noon, noon.Add(20*time.Minute), 0.5); state != posthaste.Failed {
		t.Errorf("a mailing has no last chance, but is %s", state)
	}
}
