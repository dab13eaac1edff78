package bus

import (
	"context"
	"encoding/json"
	"errors"
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

// NoticeJob is a few messages taken from the queue together. One goroutine at a time.
type NoticeJob struct {
	tasks []task
	IDs   []int64
}

// Done removes the messages from the queue. What came of the notices must be
// durable before; one that is not removed comes again, and the ledger refuses it.
func (j *NoticeJob) Done() error {
	for _, t := range j.tasks {
		if err := t.msg.Ack(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Return gives the messages back to the queue for another worker to take.
func (j *NoticeJob) Return() (err error) {
	for _, t := range j.tasks {
		err = errors.Join(err, t.Return())
	}
	return err
}

// KeepAlive tells the broker that the job is being worked on until the returned function is called.
func (j *NoticeJob) KeepAlive() (stop func()) {
	stops := make([]func(), len(j.tasks))
	for i, t := range j.tasks {
		stops[i] = t.KeepAlive()
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
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

// Next waits for a message, and takes with it what else is there, up to so many
// messages; nil without an error means that none came for a while.
func (q *NoticeJobs) Next(ctx context.Context, most int) (*NoticeJob, error) {
	msg, err := next(ctx, q.consumer)
	if msg == nil {
		return nil, err
	}
	job := &NoticeJob{}
	if err := job.add(msg); err != nil || most <= 1 {
		return job, err
	}
	more, err := q.consumer.FetchNoWait(most - 1)
	if err != nil {
		return job, nil //nolint:nilerr // the first is there
	}
	for msg := range more.Messages() {
		err = errors.Join(err, job.add(msg))
	}
	return job, err
}

func (j *NoticeJob) add(msg jetstream.Msg) error {
	var ids []int64
	if err := json.Unmarshal(msg.Data(), &ids); err != nil {
		return fmt.Errorf("read notices: %w (removed: %w)", err, msg.TermWithReason("no notices"))
	}
	j.tasks, j.IDs = append(j.tasks, task{msg, noticeProgressEvery}), append(j.IDs, ids...)
	return nil
}
