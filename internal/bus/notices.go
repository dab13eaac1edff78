package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// noticesOfMessage is the most notices of one message: a call to many is shared
// by connections, and one who waits behind it does not wait long.
const noticesOfMessage = 10

// PublishNotices puts the ids of notices into their own work queue and returns
// when the broker has acknowledged them. After an error some may have been
// queued; queueing one twice does no harm.
func (b *Bus) PublishNotices(ctx context.Context, ids []int64) error {
	var messages []message
	for part := range slices.Chunk(ids, noticesOfMessage) {
		body, err := json.Marshal(part)
		if err != nil {
			return err
		}
		messages = append(messages, message{noticeSubject, body})
	}
	return b.publish(ctx, messages)
}

// QueuedNotices is how many messages of notices wait in the queue or are worked on.
func (b *Bus) QueuedNotices(ctx context.Context) (uint64, error) { return depth(ctx, b.notices) }

// NoticeJob is a few notices taken from the queue. One goroutine at a time.
type NoticeJob struct {
	task
	IDs []int64
}

// NoticeJobs is a reader of the notices' queue, safe for concurrent use.
type NoticeJobs struct{ consumer jetstream.Consumer }

// NoticeJobs joins the one consumer that all workers share; as Jobs does.
func (b *Bus) NoticeJobs(ctx context.Context) (*NoticeJobs, error) {
	consumer, err := b.notices.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: noticeAckWait, MaxAckPending: 4096, MaxDeliver: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("join notices: %w", err)
	}
	return &NoticeJobs{consumer}, nil
}

// Next waits for a job; nil without an error means that none came for a while.
func (q *NoticeJobs) Next(ctx context.Context) (*NoticeJob, error) {
	msg, err := next(ctx, q.consumer)
	if msg == nil {
		return nil, err
	}
	job := &NoticeJob{task: task{msg, noticeProgressEvery}}
	if err := json.Unmarshal(msg.Data(), &job.IDs); err != nil {
		return nil, fmt.Errorf("read notices: %w (removed: %w)", err, msg.TermWithReason("no notices"))
	}
	return job, nil
}
