package mailer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"posthaste"
)

const (
	// tick is how often the scheduler looks for what is due.
	tick = 500 * time.Millisecond
	// sweepEvery is how often it looks for lost workers.
	sweepEvery = 2 * time.Second
	// queueBatch is the most chunks that are published at once.
	queueBatch = 500
)

// Scheduler freezes what is due, queues what is ready, takes the chunks of lost
// workers, and ends what is done. One process runs it at a time; two would do
// no harm, since each step is a transaction that checks the state it starts from.
type Scheduler struct {
	steps
	schedule  Schedule
	publisher Publisher
}

// NewScheduler makes a Scheduler.
func NewScheduler(schedule Schedule, publisher Publisher) *Scheduler {
	return &Scheduler{schedule: schedule, publisher: publisher}
}

// Run works until ctx ends. A step that fails is logged and tried again at the next tick.
func (s *Scheduler) Run(ctx context.Context) {
	s.metrics.Leads(true)
	defer s.metrics.Leads(false)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var swept time.Time
	reached := time.Now() // since when the ledger answers without a break
	for {
		now := time.Now()
		s.step(ctx, "freeze campaigns", s.freeze)
		s.step(ctx, "queue chunks", s.queue)
		if !s.step(ctx, "finish campaigns", s.finish) { // which asks nothing but the ledger
			reached = time.Now()
		}
		// While nobody could reach the ledger, no worker could beat either: that
		// silence tells nothing of them.
		if now.Sub(swept) >= sweepEvery && now.Sub(reached) >= silence {
			s.step(ctx, "release lost chunks", s.releaseLost)
			swept = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Scheduler) freeze(ctx context.Context) error {
	due, err := s.schedule.ListDueCampaigns(ctx, time.Now())
	if err != nil {
		return err
	}
	for _, id := range due {
		campaign, freezeErr := s.schedule.Freeze(ctx, id)
		if freezeErr != nil { // the others are due all the same
			err = errors.Join(err, fmt.Errorf("campaign %d: %w", id, freezeErr))
			continue
		}
		slog.Info("campaign frozen", "campaign", id, "audience", campaign.Audience)
		err = errors.Join(err, s.publisher.AnnounceState(ctx, id, posthaste.Sending))
	}
	return err
}

func (s *Scheduler) queue(ctx context.Context) error {
	for {
		now := time.Now()
		chunks, err := s.schedule.QueueReady(ctx, now, queueBatch)
		if err != nil || len(chunks) == 0 {
			return err
		}
		if err := s.publisher.PublishChunks(ctx, chunks); err != nil {
			taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerLimit)
			defer cancel()
			return errors.Join(err, s.schedule.Unqueue(taking, chunks))
		}
		if len(chunks) < queueBatch {
			return nil
		}
	}
}

func (s *Scheduler) releaseLost(ctx context.Context) error {
	uncertain, err := s.schedule.ReleaseLost(ctx, silence)
	if uncertain > 0 {
		slog.Warn("a worker was lost; deliveries are uncertain", "count", uncertain)
		s.metrics.Lost(uncertain)
	}
	return err
}

func (s *Scheduler) finish(ctx context.Context) error {
	sent, err := s.schedule.Finish(ctx)
	for _, id := range sent {
		slog.Info("campaign sent", "campaign", id)
	}
	return err
}
