package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// ackWait is longer than anything a worker does between two signs of life. What
	// a killed worker had just taken from the queue waits for so long.
	ackWait = 20 * time.Second
	// progressEvery is how often a worker that holds a job says that it lives.
	progressEvery = 5 * time.Second
	// Somebody waits for a notice: that its worker was killed is noticed sooner.
	noticeAckWait, noticeProgressEvery = 10 * time.Second, 3 * time.Second
	// publishWait bounds the wait for the broker's acknowledgements of a batch.
	publishWait = 10 * time.Second
	// pull is how long one request for a job waits at the broker.
	pull = 5 * time.Second
)

// message is one to be published.
type message struct {
	subject string
	body    []byte
}

// publish returns when the broker has acknowledged all messages.
func (b *Bus) publish(ctx context.Context, messages []message) error {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, 0, len(messages))
	for _, m := range messages {
		future, err := b.js.PublishAsync(m.subject, m.body, jetstream.WithStallWait(publishWait))
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

// task is a message taken from a work queue. One goroutine at a time.
type task struct {
	msg   jetstream.Msg
	every time.Duration // between two signs of life
}

// Done removes the job from the queue and waits until the broker says so. What
// came of it must be durable before.
func (t task) Done(ctx context.Context) error {
	if err := t.msg.DoubleAck(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Return gives the job back to the queue for another worker to take.
func (t task) Return() error {
	if err := t.msg.NakWithDelay(time.Second); err != nil {
		return unavailable(err)
	}
	return nil
}

// KeepAlive tells the broker that the job is being worked on until the returned function is called.
func (t task) KeepAlive() (stop func()) {
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(t.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = t.msg.InProgress() // a missed sign means a redelivery, which the ledger refuses
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// next waits for a message; nil without an error means that none came for a while.
func next(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, pull)
	defer cancel()
	batch, err := consumer.Fetch(1, jetstream.FetchContext(wait))
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if msg, ok := <-batch.Messages(); ok {
		return msg, nil
	}
	if err := batch.Error(); err != nil && wait.Err() == nil {
		return nil, unavailable(err)
	}
	return nil, ctx.Err()
}
