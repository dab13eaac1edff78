package webhook

import (
	"net/http"
	"strconv"
	"time"

	"posthaste"
)

const (
	// tryFor is how long a message is tried, from its creation or last replay.
	tryFor = 24 * time.Hour
	// jitterShare is by how much of itself a wait is shortened or lengthened, so
	// that what failed together does not come back together.
	jitterShare = 0.1
	// retryAfterMost is as much of a Retry-After as is heeded.
	retryAfterMost = 4 * time.Hour
)

// backOff are the waits after the first, second, third … failure; the last one
// goes on. A receiver that restarts is told within seconds, and one that is
// away all night hears of it in the morning.
var backOff = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour}

// answer is what one attempt gave.
type answer struct {
	Status     int    // 0: none came
	Fault      string // empty: a success
	RetryAfter time.Duration
}

// decide says what becomes of a message after an attempt. jitter is from 0 to 1;
// the message's Attempts are those made before this one, since its SentSince.
func decide(m posthaste.WebhookMessage, a answer, now time.Time, jitter float64) posthaste.WebhookOutcome {
	outcome := posthaste.WebhookOutcome{ID: m.ID, Status: a.Status, Fault: a.Fault}
	if a.Fault == "" {
		outcome.State = posthaste.WebhookDelivered
		return outcome
	}
	wait := backOff[min(m.Attempts, len(backOff)-1)]
	wait += time.Duration((2*jitter - 1) * jitterShare * float64(wait))
	due := now.Add(max(wait, a.RetryAfter))
	// 410 is how a receiver says that it wants no more of this (Standard Webhooks).
	if a.Status == http.StatusGone || due.After(m.SentSince.Add(tryFor)) {
		outcome.State = posthaste.WebhookDead
		return outcome
	}
	outcome.State, outcome.DueAt = posthaste.WebhookWaiting, due
	return outcome
}

// retryAfter reads how long a receiver asks to be left alone: seconds or a
// date (RFC 9110, 10.2.3), of which at most 4 h count. Only 429 and 503 may
// ask; what cannot be read counts as nothing.
func retryAfter(status int, text string, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(retryAfterMost/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), retryAfterMost)
}
