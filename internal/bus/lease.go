package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// leaseLife is how long a leader that fell silent stays leader.
	leaseLife = 15 * time.Second
	// leaseEvery is how often a leader renews and a follower asks.
	leaseEvery = 4 * time.Second
)

// LeadScheduling runs do in at most one process at a time, in this one whenever
// it holds the lease, until ctx ends. The context of do ends when the lease
// is lost. Everything that do does is safe to be done twice, since two clocks
// may overlap by a moment.
func (b *Bus) LeadScheduling(ctx context.Context, holder string, do func(context.Context)) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		revision, err := b.leases.Create(ctx, schedulerLease, []byte(holder))
		if err == nil { // else another leads, or the broker is away: ask again
			b.hold(ctx, holder, revision, do)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// hold runs do while the lease can be renewed, and gives it back at the end.
func (b *Bus) hold(ctx context.Context, holder string, revision uint64, do func(context.Context)) {
	leading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(leading)
	}()
	defer func() {
		stop()
		<-done
		_ = b.leases.Delete(context.WithoutCancel(ctx), schedulerLease, jetstream.LastRevision(revision))
	}()
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-tick.C:
			next, err := b.leases.Update(ctx, schedulerLease, []byte(holder), revision)
			if err != nil {
				return
			}
			revision = next
		}
	}
}
