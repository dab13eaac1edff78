package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

const (
	// hitBytes bounds the stream of hits; past it the oldest are lost, which only undercounts.
	hitBytes = 1 << 30
	// hitBatch is the most hits that are recorded in one transaction.
	hitBatch = 500
	// hitWait is how long a batch may wait to fill.
	hitWait = time.Second
	// hitStall is how long a hit waits when too many others await their acknowledgement.
	hitStall = time.Millisecond
)

// hitMessage is a hit on the bus. Its network is the cut form, there is no other.
type hitMessage struct {
	ID        string            `json:"id"`
	Kind      posthaste.HitKind `json:"kind"`
	Campaign  int64             `json:"campaign"`
	Number    int64             `json:"number"`
	Recipient int64             `json:"recipient"`
	Link      int               `json:"link,omitempty"`
	Network   string            `json:"network,omitempty"`
	At        int64             `json:"at"` // Unix seconds, cut to the minute
}

// PublishHit hands a hit to the recorder. It does not wait for the broker: a
// hit that is lost with it only undercounts.
func (b *Bus) PublishHit(h posthaste.Hit) error {
	body, err := json.Marshal(hitMessage{h.ID, h.Kind, h.CampaignID, h.Number, h.RecipientID, h.Link, h.Network.String(), h.At.Unix()})
	if err != nil {
		return err
	}
	if _, err := b.js.PublishAsync(hitSubject, body, jetstream.WithStallWait(hitStall)); err != nil {
		return unavailable(err)
	}
	return nil
}

// QueuedHits is how many hits wait to be recorded.
func (b *Bus) QueuedHits(ctx context.Context) (uint64, error) { return depth(ctx, b.hits) }

// ConsumeHits gives batches of hits to record until ctx ends. A batch is
// removed from the stream once record returned nil; otherwise it comes again.
func (b *Bus) ConsumeHits(ctx context.Context, record func(context.Context, []posthaste.Hit) error) error {
	consumer, err := b.hits.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "recorder", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1,
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

func recordBatch(ctx context.Context, consumer jetstream.Consumer, record func(context.Context, []posthaste.Hit) error) error {
	wait, cancel := context.WithTimeout(ctx, hitWait)
	defer cancel()
	batch, err := consumer.Fetch(hitBatch, jetstream.FetchContext(wait))
	if err != nil && ctx.Err() != nil {
		return nil // it ended before anything was fetched
	}
	if err != nil {
		return unavailable(err)
	}
	var hits []posthaste.Hit
	var messages []jetstream.Msg
	for msg := range batch.Messages() {
		var m hitMessage
		messages = append(messages, msg)
		if json.Unmarshal(msg.Data(), &m) == nil {
			hits = append(hits, posthaste.Hit{ID: m.ID, Kind: m.Kind, CampaignID: m.Campaign, Number: m.Number, RecipientID: m.Recipient,
				Link: m.Link, Network: posthaste.ParseNetwork(m.Network), At: time.Unix(m.At, 0).UTC()})
		}
	}
	if len(messages) == 0 {
		return nil
	}
	// What was fetched is recorded even when ctx ends now: a stop waits for it.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWait)
	defer cancel()
	if err := record(recording, hits); err != nil {
		for _, msg := range messages {
			_ = msg.NakWithDelay(hitWait)
		}
		return err
	}
	for _, msg := range messages {
		if err := msg.Ack(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}
