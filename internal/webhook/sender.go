package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

const (
	// pollEvery is how often the store is asked for messages that are due.
	pollEvery = time.Second
	// leaseFor is after how long a message that was taken is due again. It is
	// more than holdFor, one answer of the store and one exchange together.
	leaseFor = 30 * time.Second
	// storeLimit is for one answer of the store.
	storeLimit = 5 * time.Second
	// recordAt is how many outcomes are recorded without waiting for the next poll.
	recordAt = 16
	// stopLimit is how long a stop waits for the store, and stopRetry how long
	// it leaves it alone between two tries.
	stopLimit = 5 * time.Second
	stopRetry = 500 * time.Millisecond
)

// Sender posts the messages that are due. Several processes may each have one.
type Sender struct {
	store  Store
	client *http.Client
}

// New makes a sender. The client is one of NewClient: the sender relies on its
// limit of time, without which a stop could last for ever.
func New(store Store, client *http.Client) *Sender {
	return &Sender{store: store, client: client}
}

// Run posts until ctx ends; then it begins nothing more, waits for the answers
// to what is under way (5 s at most) and records them (5 s at most). Outcomes
// that cannot be recorded even then are lost, and their messages come again.
func (s *Sender) Run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	h := newHand()
	s.turn(ctx, h, true)
	for ctx.Err() == nil {
		s.start(ctx, h)
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.turn(ctx, h, true)
		case d := <-h.results:
			h.finish(d)
			if !h.trouble && (h.under == 0 || len(h.outcomes) >= recordAt) {
				s.turn(ctx, h, h.more)
			}
		}
	}
	s.stop(ctx, h)
}

// turn records what is known and, if wanted, takes new messages. It takes none
// while something cannot be recorded: that would be posted again.
func (s *Sender) turn(ctx context.Context, h *hand, take bool) {
	recorded := s.record(context.WithoutCancel(ctx), h)
	h.letGo(time.Now())
	if recorded && take && h.room() > 0 {
		s.take(ctx, h)
	}
}

func (s *Sender) take(ctx context.Context, h *hand) {
	limited, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	now, limit := time.Now(), h.room()
	messages, err := s.store.TakeWebhookMessages(limited, now, now.Add(leaseFor), limit)
	h.trouble = err != nil
	if err != nil {
		if ctx.Err() == nil {
			slog.Warn("webhook messages could not be taken", "error", err)
		}
		return
	}
	h.more = len(messages) >= limit
	for _, m := range messages {
		h.waiting = append(h.waiting, held{m, now})
	}
}

// record reports whether the store knows all that happened.
func (s *Sender) record(ctx context.Context, h *hand) bool {
	if len(h.outcomes) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	err := s.store.RecordWebhook(ctx, h.outcomes)
	h.trouble = err != nil
	if err != nil {
		slog.Warn("outcomes of webhooks wait to be recorded", "count", len(h.outcomes), "error", err)
		return false
	}
	h.outcomes = nil // the store may have kept the slice
	return true
}

// start posts as many as may be under way. A post outlives ctx; Run waits for it.
func (s *Sender) start(ctx context.Context, h *hand) {
	ctx = context.WithoutCancel(ctx)
	for m, ok := h.next(); ok; m, ok = h.next() {
		go func() { h.results <- done{m.Webhook.ID, s.attempt(ctx, m)} }()
	}
}

// stop waits for what is under way and records it.
func (s *Sender) stop(ctx context.Context, h *hand) {
	for h.under > 0 {
		h.finish(<-h.results)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	for !s.record(ctx, h) {
		select {
		case <-time.After(stopRetry):
		case <-ctx.Done():
			slog.Error("outcomes of webhooks are lost; their messages will be posted again", "count", len(h.outcomes))
			return
		}
	}
}
