package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"posthaste"
	"posthaste/internal/web"
	"posthaste/tracker"
)

// servePublic answers recipients. What beacons told while the last of them was
// answered is published before it returns.
func (svc *service) servePublic(ctx context.Context) error {
	e := web.New(web.Options{Name: "public", TrustedProxies: svc.config.TrustedProxies, Region: svc.regions.Of, Pages: true, Actor: posthaste.ByRecipient, Metrics: svc.metrics})
	svc.unsub.Register(e)
	beacons := tracker.New(svc.store, svc.bus, svc.rules, svc.keys)
	beacons.Measure(svc.metrics)
	beacons.Register(e)
	answered, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { beacons.Run(answered) })
	err := web.Serve(ctx, e, svc.public, publicTimeout, grace)
	end()
	running.Wait()
	return err
}

// hitsTick is how often it is looked whether hits are to be judged again, and
// whether moments are to be forgotten that no new hit makes it forget.
const hitsTick = time.Minute

// recordHits records until ctx ends; when a part is away it tries again.
func (svc *service) recordHits(ctx context.Context) {
	var last atomic.Int64 // Unix seconds of the last record
	record := func(ctx context.Context, hits []posthaste.Hit) error {
		last.Store(time.Now().Unix())
		return svc.store.RecordHits(ctx, hits, svc.rules)
	}
	var tidying sync.WaitGroup
	tidying.Go(func() { svc.tidyHits(ctx, &last) })
	defer tidying.Wait()
	for ctx.Err() == nil {
		err := svc.bus.ConsumeHits(ctx, record)
		if err == nil || ctx.Err() != nil {
			return
		}
		slog.Warn("hits wait to be recorded", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(awayRetry):
		}
	}
}

// tidyHits classes hits again whose rules are not the present ones, and forgets
// when clicks were once none come any more.
func (svc *service) tidyHits(ctx context.Context, last *atomic.Int64) {
	tick := time.NewTicker(hitsTick)
	defer tick.Stop()
	for {
		judged, err := svc.store.JudgeAgain(ctx, svc.rules)
		if judged > 0 {
			slog.Info("hits were judged by new rules", "hits", judged, "rules", svc.rules.Version())
		}
		if quiet := time.Now().Add(-hitsTick); err == nil && last.Load() < quiet.Unix() {
			err = svc.store.ForgetMoments(ctx, quiet)
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn("hits are not tidied", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
