package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const middle = 0.5 // no jitter
	for _, tt := range []struct {
		name     string
		attempts int
		age      time.Duration
		in       webhook.Answer
		jitter   float64
		state    posthaste.WebhookState
		wait     time.Duration
	}{
		{"success", 3, time.Hour, webhook.Answer{Status: 204}, middle, posthaste.WebhookDelivered, 0},
		{"success after more than a day", 9, 30 * time.Hour, webhook.Answer{Status: 200}, middle, posthaste.WebhookDelivered, 0},
		{"first failure", 0, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 5 * time.Second},
		{"first, shortened", 0, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, 0, posthaste.WebhookWaiting, 4500 * time.Millisecond},
		{"first, lengthened", 0, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, 1, posthaste.WebhookWaiting, 5500 * time.Millisecond},
		{"second", 1, 0, webhook.Answer{Fault: "the connection was refused"}, middle, posthaste.WebhookWaiting, 30 * time.Second},
		{"third", 2, 0, webhook.Answer{Status: 404, Fault: "answered 404"}, middle, posthaste.WebhookWaiting, 2 * time.Minute},
		{"fourth", 3, 0, webhook.Answer{Status: 302, Fault: "answered 302"}, middle, posthaste.WebhookWaiting, 10 * time.Minute},
		{"fifth", 4, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 30 * time.Minute},
		{"sixth", 5, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, time.Hour},
		{"seventh", 6, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 2 * time.Hour},
		{"eighth", 7, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 4 * time.Hour},
		{"ninth", 8, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 8 * time.Hour},
		{"hundredth", 99, 0, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 8 * time.Hour},
		{"the last that fits", 8, 16 * time.Hour, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookWaiting, 8 * time.Hour},
		{"the first that does not", 8, 16*time.Hour + time.Second, webhook.Answer{Status: 500, Fault: "answered 500"}, middle, posthaste.WebhookDead, 0},
		{"gone", 0, 0, webhook.Answer{Status: 410, Fault: "answered 410"}, middle, posthaste.WebhookDead, 0},
		{"asked to wait", 0, 0, webhook.Answer{Status: 429, Fault: "answered 429", RetryAfter: time.Minute}, middle, posthaste.WebhookWaiting, time.Minute},
		{"asked to wait for less", 2, 0, webhook.Answer{Status: 429, Fault: "answered 429", RetryAfter: time.Second}, middle, posthaste.WebhookWaiting, 2 * time.Minute},
		{"asked to wait for too long", 0, 23 * time.Hour, webhook.Answer{Status: 503, Fault: "answered 503", RetryAfter: 2 * time.Hour}, middle, posthaste.WebhookDead, 0},
	} {
		m := posthaste.WebhookMessage{ID: 7, Attempts: tt.attempts, CreatedAt: now.Add(-99 * time.Hour), SentSince: now.Add(-tt.age)}
		want := posthaste.WebhookOutcome{ID: 7, State: tt.state, Status: tt.in.Status, Fault: tt.in.Fault}
		if tt.state == posthaste.WebhookWaiting {
			want.DueAt = now.Add(tt.wait)
		}
		if diff := cmp.Diff(want, webhook.Decide(m, tt.in, now, tt.jitter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		status int
		in     string
		want   time.Duration
	}{
		{"seconds", 429, "90", 90 * time.Second},
		{"seconds, 503", 503, "90", 90 * time.Second},
		{"another status", 500, "90", 0},
		{"a success", 200, "90", 0},
		{"too many seconds", 429, "86400", 4 * time.Hour},
		{"more than a Duration holds", 429, "18446744073709551615", 4 * time.Hour},
		{"more than a number holds", 429, "99999999999999999999", 0},
		{"a date", 429, "Tue, 24 Nov 2026 12:05:00 GMT", 5 * time.Minute},
		{"an old form of date", 503, "Tuesday, 24-Nov-26 12:05:00 GMT", 5 * time.Minute},
		{"a date past", 429, "Tue, 24 Nov 2026 11:55:00 GMT", 0},
		{"a date too far", 429, "Fri, 31 Dec 9999 23:59:59 GMT", 4 * time.Hour},
		{"negative", 429, "-5", 0},
		{"a fraction", 429, "1.5", 0},
		{"words", 429, "soon", 0},
		{"nothing", 429, "", 0},
	} {
		if got := webhook.RetryAfter(tt.status, tt.in, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Tue, 24 Nov 2026 12:05:00 GMT")
	f.Fuzz(func(t *testing.T, in string) {
		if got := webhook.RetryAfter(http.StatusServiceUnavailable, in, time.Now()); got < 0 || got > 4*time.Hour {
			t.Errorf("%q: wait %v", in, got)
		}
	})
}
