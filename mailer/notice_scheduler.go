package mailer

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// noticeTick is how often what waits of notices is looked for.
	noticeTick = 500 * time.Millisecond
	// noticeBatch is the most notices that are published, or expire, at once.
	noticeBatch = 1000
	// forgetBatch is how many calls are looked at to be forgotten at once.
	forgetBatch = 500
)

// NoticeScheduler queues the notices whose retry is due or whose message was
// lost, ends those whose time ran out, takes back those of lost workers, and
// forgets what finished ones held. One process runs it at a time; two would do no harm.
type NoticeScheduler struct {
	steps
	schedule  NoticeSchedule
	publisher NoticePublisher
	forgotten int64 // up to which call was looked last
}

// NewNoticeScheduler makes a NoticeScheduler.
func NewNoticeScheduler(schedule NoticeSchedule, publisher NoticePublisher) *NoticeScheduler {
	return &NoticeScheduler{schedule: schedule, publisher: publisher}
}

// Run works until ctx ends. A step that fails is logged and tried again at the next tick.
func (s *NoticeScheduler) Run(ctx context.Context) {
	ticker := time.NewTicker(noticeTick)
	defer ticker.Stop()
	reached := time.Now() // since when the ledger answers without a break
	for {
		reachable := s.step(ctx, "expire notices", s.expire)
		if !reachable {
			reached = time.Now()
		}
		if time.Since(reached) >= silence { // as for campaigns
			s.step(ctx, "release lost notices", s.releaseLost)
		}
		s.step(ctx, "queue notices", s.queue)
		s.step(ctx, "forget notices", func(ctx context.Context) (err error) {
			s.forgotten, err = s.schedule.ForgetNotices(ctx, s.forgotten, forgetBatch)
			return err
		})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *NoticeScheduler) expire(ctx context.Context) error {
	for {
		expired, err := s.schedule.ExpireNotices(ctx, time.Now(), noticeBatch)
		if expired > 0 {
			slog.Warn("notices were not sent in time", "count", expired)
		}
		if err != nil || expired < noticeBatch {
			return err
		}
	}
}

func (s *NoticeScheduler) releaseLost(ctx context.Context) error {
	released, err := s.schedule.ReleaseLostNotices(ctx, silence)
	if released > 0 {
		slog.Warn("a worker was lost; its notices go again", "count", released)
	}
	return err
}

// queue publishes until nothing is due. The depth is asked first: what is
// committed after it is younger than any message that could be missing.
func (s *NoticeScheduler) queue(ctx context.Context) error {
	for {
		depth, err := s.publisher.QueuedNotices(ctx)
		if err != nil {
			return err
		}
		ids, err := s.schedule.QueueNotices(ctx, time.Now(), depth == 0, noticeBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := s.publisher.PublishNotices(ctx, ids); err != nil {
			taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerLimit)
			defer cancel()
			return errors.Join(err, s.schedule.UnqueueNotices(taking, ids))
		}
		if len(ids) < noticeBatch {
			return nil
		}
	}
}
