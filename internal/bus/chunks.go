package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

// PublishChunks puts chunks into the work queue and returns when the broker has
// acknowledged all of them. After an error some may have been queued; queueing
// one twice does no harm.
func (b *Bus) PublishChunks(ctx context.Context, chunks []posthaste.Chunk) error {
	messages := make([]message, len(chunks))
	for i, c := range chunks {
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		messages[i] = message{fmt.Sprintf("%s.%d", chunkSubject, c.CampaignID), body}
	}
	return b.publish(ctx, messages)
}

// QueuedChunks is how many chunks wait in the queue or are worked on.
func (b *Bus) QueuedChunks(ctx context.Context) (uint64, error) { return depth(ctx, b.chunks) }

func depth(ctx context.Context, stream jetstream.Stream) (uint64, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return info.State.Msgs, nil
}

// Job is a chunk taken from the queue. One goroutine at a time.
type Job struct {
	task
	Chunk posthaste.Chunk
}

// Jobs is a reader of the work queue, safe for concurrent use.
type Jobs struct{ consumer jetstream.Consumer }

// Jobs joins the one consumer that all workers share. It sets AckWait and no
// BackOff, which would override it and have chunks delivered twice.
func (b *Bus) Jobs(ctx context.Context) (*Jobs, error) {
	consumer, err := b.chunks.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 4096, MaxDeliver: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("join work queue: %w", err)
	}
	return &Jobs{consumer}, nil
}

// Next waits for a job; nil without an error means that none came for a while.
func (q *Jobs) Next(ctx context.Context) (*Job, error) {
	msg, err := next(ctx, q.consumer)
	if msg == nil {
		return nil, err
	}
	job := &Job{task: task{msg, progressEvery}}
	if err := json.Unmarshal(msg.Data(), &job.Chunk); err != nil {
		return nil, fmt.Errorf("read chunk: %w (removed: %w)", err, msg.TermWithReason("not a chunk"))
	}
	return job, nil
}
