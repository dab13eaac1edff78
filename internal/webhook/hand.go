package webhook

import (
	"slices"
	"time"

	"posthaste"
)

const (
	// handSize is how many messages a sender has in hand at most.
	handSize = 64
	// atOnce and perWebhook are how many of them are being posted at a time.
	atOnce     = 16
	perWebhook = 4
	// holdFor is how long a message may wait in hand for its turn: it must be
	// posted and recorded well before it is due again.
	holdFor = 15 * time.Second
	// holdWhenFull is the same while nothing else fits in the hand: the
	// messages to a slow receiver make way for those to others.
	holdWhenFull = 2 * time.Second
)

// held is a message that waits in hand.
type held struct {
	posthaste.WebhookMessage
	since time.Time
}

// done is a message that has been posted.
type done struct {
	webhookID int64
	outcome   posthaste.WebhookOutcome
}

// hand is what a sender has taken and not recorded yet. It belongs to one goroutine.
type hand struct {
	waiting  []held        // oldest first
	posting  map[int64]int // how many, by webhook; webhooks are few
	under    int           // the sum of posting
	outcomes []posthaste.WebhookOutcome
	results  chan done // room for all under way, so that none of them waits for the sender
	more     bool      // the last time, as many were due as could be taken
	trouble  bool      // the store did not answer: leave it alone until the next poll
}

func newHand() *hand {
	return &hand{posting: map[int64]int{}, results: make(chan done, atOnce)}
}

// room is for how many more messages there is a place. Outcomes take none, since
// nothing is taken until they are recorded.
func (h *hand) room() int { return handSize - len(h.waiting) - h.under }

// letGo forgets the messages that have waited too long. Nothing happened to
// them: the store makes them due again by itself.
func (h *hand) letGo(now time.Time) {
	patience := holdFor
	if h.room() == 0 {
		patience = holdWhenFull
	}
	h.waiting = slices.DeleteFunc(h.waiting, func(m held) bool { return now.Sub(m.since) >= patience })
}

// next takes the message out that is to be posted now, if any: the oldest of the
// webhook that has the fewest under way, so that all get their turn.
func (h *hand) next() (m posthaste.WebhookMessage, ok bool) {
	if h.under == atOnce {
		return m, false
	}
	best, fewest := -1, perWebhook
	for i, m := range h.waiting {
		if n := h.posting[m.Webhook.ID]; n < fewest {
			best, fewest = i, n
		}
	}
	if best < 0 {
		return m, false
	}
	m = h.waiting[best].WebhookMessage
	h.waiting = slices.Delete(h.waiting, best, best+1)
	h.posting[m.Webhook.ID]++
	h.under++
	return m, true
}

// finish notes that a message has been posted.
func (h *hand) finish(d done) {
	h.under--
	h.posting[d.webhookID]--
	h.outcomes = append(h.outcomes, d.outcome)
}
