package mailer

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"posthaste/internal/metrics"
)

// pulse is by what the ledger knows that a worker lives, and by what the worker
// knows that it may be taken for lost. It is safe for concurrent use.
type pulse struct {
	id      string
	beats   Beats
	beaten  atomic.Pointer[time.Time] // the last beat
	lapsed  atomic.Pointer[time.Time] // the last beat that came late
	metrics *metrics.Metrics          // nil: nobody measures
}

// start makes the first beat and goes on, whatever becomes of ctx, until stop is called.
func (p *pulse) start(ctx context.Context) (stop func(), err error) {
	if err := p.beatOnce(ctx); err != nil {
		return nil, err
	}
	beating, cancel := context.WithCancel(context.WithoutCancel(ctx))
	beats := make(chan struct{})
	go func() { defer close(beats); p.beat(beating) }()
	return func() { cancel(); <-beats }, nil
}

// leave says goodbye to the ledger.
func (p *pulse) leave(ctx context.Context) error {
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerLimit)
	defer cancel()
	return p.beats.Leave(leaving, p.id)
}

func (p *pulse) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.beatOnce(ctx); err != nil && ctx.Err() == nil {
				slog.Warn("worker cannot reach the ledger", "worker", p.id, "error", err)
			}
		}
	}
}

func (p *pulse) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fence)
	defer cancel()
	asked := time.Now()
	if err := p.beats.Beat(ctx, p.id); err != nil {
		return err
	}
	if last := p.beaten.Load(); last != nil && late(*last) {
		now := time.Now()
		p.lapsed.Store(&now)
	}
	p.beaten.Store(&asked)
	p.metrics.Beaten(p.id, asked)
	return nil
}

// mayBegin reports whether something that was claimed at an instant may begin.
// It may not when the last beat is so long ago that the worker may be taken for
// lost, as after it was stopped for a while, nor when that was so since: the
// claim may have been taken away.
func (p *pulse) mayBegin(claimed time.Time) bool {
	lapsed := p.lapsed.Load()
	return !late(*p.beaten.Load()) && (lapsed == nil || lapsed.Before(claimed))
}

// late counts by both clocks, since the monotonic one may stand still with the machine.
func late(beat time.Time) bool {
	return time.Since(beat) > fence || time.Now().Round(0).Sub(beat.Round(0)) > fence
}
