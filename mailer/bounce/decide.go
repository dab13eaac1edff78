package bounce

import (
	"strings"
	"time"

	"posthaste"
)

// The waits between attempts. RFC 5321 section 4.5.4.1 wants at least 30
// minutes unless the reason is known, and an end after 4 to 5 days.
const (
	firstWait    = 30 * time.Minute
	longestWait  = 4 * time.Hour
	greylistWait = 5 * time.Minute
	jitterShare  = 0.1
	longestLife  = 5 * 24 * time.Hour
)

// Decide says what becomes of a delivery after a reply, and for Deferred when
// it is due again.
//
// Attempts counts this one. The delivery is given up when its next attempt
// would be later than expires, or than five days after firstTried; a zero time
// sets no such limit. Jitter is a random number from 0 to 1 that spreads the
// wait from 90 to 110 percent.
//
// A reply at the dot without a code gives Uncertain: the message may have been
// accepted.
func Decide(r posthaste.Reply, attempts int, firstTried, now, expires time.Time, jitter float64) (posthaste.DeliveryState, time.Time) {
	switch {
	case r.Stage == posthaste.AtDot && r.Code/100 == 2:
		return posthaste.Accepted, time.Time{}
	case r.Stage == posthaste.AtDot && r.Code == 0:
		return posthaste.Uncertain, time.Time{}
	case Classify(r) == Hard:
		return posthaste.Bounced, time.Time{}
	case r.Code/100 == 5:
		return posthaste.Failed, time.Time{}
	}
	retry := now.Add(wait(r, attempts, jitter))
	if !expires.IsZero() && retry.After(expires) || !firstTried.IsZero() && retry.After(firstTried.Add(longestLife)) {
		return posthaste.Failed, time.Time{}
	}
	return posthaste.Deferred, retry
}

// wait doubles from attempt to attempt. Greylisting is over in minutes, so one
// short wait comes before the others.
func wait(r posthaste.Reply, attempts int, jitter float64) time.Duration {
	base := firstWait
	doublings := attempts - 1
	if greylisted(r) {
		if attempts <= 1 {
			base = greylistWait
		}
		doublings--
	}
	for ; doublings > 0 && base < longestWait; doublings-- {
		base *= 2
	}
	base = min(base, longestWait)
	jitter = min(max(jitter, 0), 1)
	return time.Duration(float64(base) * (1 - jitterShare + 2*jitterShare*jitter))
}

func greylisted(r posthaste.Reply) bool {
	if r.Code/100 != 4 {
		return false
	}
	if r.Code == 451 && r.Enhanced == "4.7.1" {
		return true
	}
	text := strings.ToLower(r.Text)
	for _, words := range greylisting {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}
