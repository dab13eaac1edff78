package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

const (
	// hitBytes bounds the stream of hits; past it the oldest are lost, which only undercounts.
	hitBytes = 1 << 30
	// hitLife bounds how long hits may wait to be recorded, while the database is away.
	hitLife = 7 * 24 * time.Hour
	// hitBatch is about the most hits that are recorded in one transaction, and
	// hitMessages the most messages that they come in.
	hitBatch    = 2000
	hitMessages = 32
	// hitWait is how long the recorder waits for the next message.
	hitWait = time.Second
	// hitTries is after how many failures messages are recorded one by one, so that
	// one that cannot be recorded delays no other; it comes again after hitPause.
	hitTries = 3
	hitPause = time.Minute
	// hitUnacked is how many messages may be in the recorder's hands.
	hitUnacked = 1024
)

// hitMessage is a hit on the bus. Its network is the cut form, there is no other.
type hitMessage struct {
	ID        int64             `json:"id"`
	Kind      posthaste.HitKind `json:"kind"`
	Campaign  int64             `json:"campaign"`
	Number    int64             `json:"number,omitempty"`
	Recipient int64             `json:"recipient,omitempty"`
	Link      int               `json:"link,omitempty"`
	Network   string            `json:"network,omitempty"`
	Region    string            `json:"region,omitempty"`
	Agent     string            `json:"agent,omitempty"`
	Place     string            `json:"place,omitempty"`
	At        int64             `json:"at"` // Unix milliseconds
}

// PublishHits hands hits to the recorder. When it returns nil the broker has
// stored them; otherwise it may or may not, and they can be published again:
// each is recorded once.
func (b *Bus) PublishHits(ctx context.Context, hits []posthaste.Hit) error {
	messages := make([]hitMessage, len(hits))
	for i, h := range hits {
		messages[i] = hitMessage{h.ID, h.Kind, h.CampaignID, h.Number, h.RecipientID, h.Link, h.Network.String(), h.Region, h.Agent, h.Place, h.At.UnixMilli()}
	}
	body, err := json.Marshal(messages)
	if err != nil {
		return err
	}
	if _, err := b.js.Publish(ctx, hitSubject, body); err != nil {
		return unavailable(err)
	}
	return nil
}

// QueuedHits is how many messages of hits wait to be recorded.
func (b *Bus) QueuedHits(ctx context.Context) (uint64, error) { return depth(ctx, b.hits) }

// ConsumeHits gives batches of hits to record until ctx ends. A batch is
// removed from the stream once record returned nil; otherwise it comes again.
func (b *Bus) ConsumeHits(ctx context.Context, record func(context.Context, []posthaste.Hit) error) error {
	consumer, err := b.hits.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "recorder", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: hitUnacked,
	})
	if err != nil {
		return fmt.Errorf("join hits: %w", err)
	}
	for ctx.Err() == nil {
		if err := recordBatch(ctx, consumer, record); err != nil {
			return err
		}
	}
	return nil
}

// recordBatch records what waits, or what comes first within hitWait.
func recordBatch(ctx context.Context, consumer jetstream.Consumer, record func(context.Context, []posthaste.Hit) error) error {
	var hits []posthaste.Hit
	var messages []jetstream.Msg
	take := func(batch jetstream.MessageBatch) {
		for msg := range batch.Messages() {
			messages = append(messages, msg)
			hits = append(hits, hitsOf(msg.Data())...)
		}
	}
	wait, cancel := context.WithTimeout(ctx, hitWait)
	defer cancel()
	first, err := consumer.Fetch(1, jetstream.FetchContext(wait))
	if err != nil && ctx.Err() != nil {
		return nil // it ended before anything was fetched
	}
	if err != nil {
		return unavailable(err)
	}
	take(first)
	// An empty batch is one that came too late, or there is no consumer any more.
	if err := first.Error(); err != nil && len(messages) == 0 && !errors.Is(err, nats.ErrTimeout) && wait.Err() == nil {
		return unavailable(err)
	}
	for len(messages) > 0 && len(hits) < hitBatch && len(messages) < hitMessages {
		before := len(messages)
		more, err := consumer.FetchNoWait(hitMessages - len(messages))
		if err != nil {
			break // what is here is recorded first
		}
		take(more)
		if len(messages) == before {
			break
		}
	}
	if len(messages) == 0 {
		return nil
	}
	// What was fetched is recorded even when ctx ends now: a stop waits for it.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWait)
	defer cancel()
	err = record(recording, hits)
	if err != nil && slices.ContainsFunc(messages, triedOften) {
		return recordEach(recording, messages, record)
	}
	for _, msg := range messages {
		if err != nil {
			_ = msg.NakWithDelay(hitWait)
		} else if bad := msg.Ack(); bad != nil {
			return unavailable(bad)
		}
	}
	return err
}

func triedOften(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err == nil && meta.NumDelivered > hitTries
}

// recordEach records messages one by one. It fails when none can be recorded.
func recordEach(ctx context.Context, messages []jetstream.Msg, record func(context.Context, []posthaste.Hit) error) (failed error) {
	recorded := 0
	for _, msg := range messages {
		if err := record(ctx, hitsOf(msg.Data())); err != nil {
			failed = err
			_ = msg.NakWithDelay(hitPause)
			continue
		}
		recorded++
		if err := msg.Ack(); err != nil {
			return unavailable(err)
		}
	}
	if recorded == 0 {
		return failed
	}
	if failed != nil {
		slog.Error("some hits cannot be recorded", "error", failed)
	}
	return nil
}

// hitsOf reads a message; of one that is none there are no hits.
func hitsOf(body []byte) []posthaste.Hit {
	var messages []hitMessage
	if err := json.Unmarshal(body, &messages); err != nil {
		slog.Warn("hits of another version are not counted", "error", err)
		return nil
	}
	hits := make([]posthaste.Hit, len(messages))
	for i, m := range messages {
		hits[i] = posthaste.Hit{ID: m.ID, Kind: m.Kind, CampaignID: m.Campaign, Number: m.Number, RecipientID: m.Recipient, Link: m.Link,
			Network: posthaste.ParseNetwork(m.Network), Region: m.Region, Agent: m.Agent, Place: m.Place, At: time.UnixMilli(m.At).UTC()}
	}
	return hits
}
