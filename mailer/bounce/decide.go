package bounce

import (
	"strings"
	"time"

	"posthaste"
)

// Pace is how soon attempts follow each other.
type Pace struct {
	first, greylisted, longest time.Duration
	lastChance                 bool // an attempt that would come too late is made just in time
}

var (
	// Mailings keep to RFC 5321 section 4.5.4.1: at least 30 minutes unless the
	// reason is known, and an end after 4 to 5 days.
	Mailings = Pace{first: 30 * time.Minute, greylisted: 5 * time.Minute, longest: 4 * time.Hour}
	// Notices come sooner: somebody waits for most of them, they are few, and the
	// next hop is the sender's own relay.
	Notices = Pace{first: 30 * time.Second, greylisted: 2 * time.Minute, longest: time.Hour, lastChance: true}
)

const (
	jitterShare = 0.1
	longestLife = 5 * 24 * time.Hour
	// justInTime is how long before its end a last attempt is made, and soonest
	// how long after the one before at least.
	justInTime, soonest = 3 * time.Second, 3 * time.Second
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
func (p Pace) Decide(r posthaste.Reply, attempts int, firstTried, now, expires time.Time, jitter float64) (posthaste.DeliveryState, time.Time) {
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
	retry := now.Add(p.wait(r, attempts, jitter))
	if last := expires.Add(-justInTime); p.lastChance && retry.After(last) && !last.Before(now.Add(soonest)) {
		retry = last
	}
	if !expires.IsZero() && retry.After(expires) || !firstTried.IsZero() && retry.After(firstTried.Add(longestLife)) {
		return posthaste.Failed, time.Time{}
	}
	return posthaste.Deferred, retry
}

// wait doubles from attempt to attempt. Greylisting is over in minutes, so one
// short wait comes before the others.
func (p Pace) wait(r posthaste.Reply, attempts int, jitter float64) time.Duration {
	base := p.first
	doublings := attempts - 1
	if greylisted(r) {
		if attempts <= 1 {
			base = p.greylisted
		}
		doublings--
	}
	for ; doublings > 0 && base < p.longest; doublings-- {
		base *= 2
	}
	base = min(base, p.longest)
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
