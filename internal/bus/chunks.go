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
	// ackWait is longer than anything a worker does between two signs of life.
	ackWait = time.Minute
	// progressEvery is how often a worker that holds a chunk says that it lives.
	progressEvery = 15 * time.Second
	// publishWait bounds the wait for the broker's acknowledgements of a batch.
	publishWait = 10 * time.Second
	// pull is how long one request for a chunk waits at the broker.
	pull = 5 * time.Second
)

// PublishChunks puts chunks into the work queue and returns when the broker has
// acknowledged all of them. After an error some may have been queued; queueing
// one twice does no harm.
func (b *Bus) PublishChunks(ctx context.Context, chunks []posthaste.Chunk) error {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, 0, len(chunks))
	for _, c := range chunks {
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		future, err := b.js.PublishAsync(fmt.Sprintf("%s.%d", chunkSubject, c.CampaignID), body, jetstream.WithStallWait(publishWait))
		if err != nil {
			return unavailable(err)
		}
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return unavailable(err)
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
	}
	return nil
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
	Chunk posthaste.Chunk
	msg   jetstream.Msg
}

// Done removes the job from the queue and waits until the broker says so. What
// came of the chunk must be durable before.
func (j *Job) Done(ctx context.Context) error {
	if err := j.msg.DoubleAck(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Return gives the job back to the queue for another worker to take.
func (j *Job) Return() error {
	if err := j.msg.NakWithDelay(time.Second); err != nil {
		return unavailable(err)
	}
	return nil
}

// KeepAlive tells the broker that the job is being worked on until the returned function is called.
func (j *Job) KeepAlive() (stop func()) {
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = j.msg.InProgress() // a missed sign means a redelivery, which the ledger refuses
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-stopped }
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
	wait, cancel := context.WithTimeout(ctx, pull)
	defer cancel()
	batch, err := q.consumer.Fetch(1, jetstream.FetchContext(wait))
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if msg, ok := <-batch.Messages(); ok {
		job := &Job{msg: msg}
		if err := json.Unmarshal(msg.Data(), &job.Chunk); err != nil {
			return nil, fmt.Errorf("read chunk: %w (removed: %w)", err, msg.TermWithReason("not a chunk"))
		}
		return job, nil
	}
	if err := batch.Error(); err != nil && wait.Err() == nil {
		return nil, unavailable(err)
	}
	return nil, ctx.Err()
}
