package tracker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"posthaste"
	"posthaste/internal/metrics"
)

// Hits takes hits for the recorder.
type Hits interface {
	// PublishHits returns nil once they are stored for good.
	PublishHits(ctx context.Context, hits []posthaste.Hit) error
}

const (
	// gatherSize is the most hits that are published at once, and gatherWait how
	// long the first of them may wait for others: what a killed process loses.
	gatherSize = 100
	gatherWait = 10 * time.Millisecond
	// gatherMost bounds the hits that wait while the broker is away; past it the
	// newest are not counted.
	gatherMost = 200_000
	// gatherLanes is how many messages may be on their way at once.
	gatherLanes = 4
	// publishLimit is how long the broker may take to store one, and publishPause
	// how long it is left alone after it did not.
	publishLimit = 5 * time.Second
	publishPause = time.Second
	// gatherGrace is how long a stop waits until what was gathered is published.
	gatherGrace = 3 * time.Second
)

// gatherer publishes hits a hundred at a time: one by one they would cost more
// than the answers. An answer never waits for it.
type gatherer struct {
	hits    Hits
	metrics *metrics.Metrics

	mu      sync.Mutex
	full    [][]posthaste.Hit // of gatherSize each, oldest first
	filling []posthaste.Hit
	wake    chan struct{} // full when there is something to publish
}

func newGatherer(hits Hits) *gatherer {
	return &gatherer{hits: hits, wake: make(chan struct{}, 1)}
}

func (g *gatherer) add(h posthaste.Hit) {
	g.mu.Lock()
	if len(g.full) >= gatherMost/gatherSize {
		g.mu.Unlock()
		g.metrics.HitsLost(1)
		return
	}
	if g.filling == nil {
		g.filling = make([]posthaste.Hit, 0, gatherSize)
	}
	g.filling = append(g.filling, h)
	n := len(g.filling)
	if n == gatherSize {
		g.full, g.filling = append(g.full, g.filling), nil
	}
	g.mu.Unlock()
	g.metrics.Hit(h.Kind)
	if n == 1 || n == gatherSize {
		select {
		case g.wake <- struct{}{}:
		default: // somebody is awake
		}
	}
}

// take gives the oldest hits, at most gatherSize; with full, only as many.
func (g *gatherer) take(full bool) (taken []posthaste.Hit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.full) > 0:
		taken, g.full = g.full[0], g.full[1:]
	case !full:
		taken, g.filling = g.filling, nil
	}
	return taken
}

func (g *gatherer) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.full)*gatherSize + len(g.filling)
}

// run publishes until ctx ends, and then what is left, for gatherGrace at most.
func (g *gatherer) run(ctx context.Context) {
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(gatherGrace):
		case <-ended.Done():
		}
		cancel()
	})()
	var lanes sync.WaitGroup
	batches := make(chan []posthaste.Hit) // what no lane is ready for stays with the others
	for range gatherLanes {
		lanes.Go(func() {
			for batch := range batches {
				g.publish(ended, batch)
			}
		})
	}
	for ctx.Err() == nil {
		g.wait(ctx)
		if batch := g.take(false); len(batch) > 0 {
			batches <- batch
		}
		for batch := g.take(true); len(batch) > 0; batch = g.take(true) {
			batches <- batch
		}
	}
	for batch := g.take(false); len(batch) > 0; batch = g.take(false) {
		batches <- batch
	}
	close(batches)
	lanes.Wait()
}

// wait returns when a message is full, when its first hit has waited for long
// enough, or when ctx ends.
func (g *gatherer) wait(ctx context.Context) {
	if g.count() == 0 {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
	}
	if g.count() >= gatherSize {
		return
	}
	timer := time.NewTimer(gatherWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-g.wake:
	}
}

// publish repeats until the broker has stored the hits, or until ended is.
func (g *gatherer) publish(ended context.Context, batch []posthaste.Hit) {
	for {
		try, done := context.WithTimeout(ended, publishLimit)
		err := g.hits.PublishHits(try, batch)
		done()
		if err == nil {
			return
		}
		if ended.Err() != nil {
			g.metrics.HitsLost(len(batch))
			slog.Warn("hits are not counted", "hits", len(batch), "error", err)
			return
		}
		slog.Warn("hits wait for the broker", "error", err)
		select {
		case <-ended.Done():
		case <-time.After(publishPause):
		}
	}
}
