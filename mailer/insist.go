package mailer

import (
	"context"
	"log/slog"
	"time"
)

// storeRetry is how long a lane waits before it asks the ledger again for what
// it must not lose.
const storeRetry = 500 * time.Millisecond

// insist repeats do until it succeeds, or, once ctx has ended, for insistFor;
// it reports whether it succeeded. What cannot be recorded becomes uncertain.
func insist(ctx context.Context, worker, what string, do func(ctx context.Context) error) bool {
	// From the end of ctx on the time is counted, also of a call that is under way.
	trying, giveUp := outlasting(ctx, insistFor)
	defer giveUp()
	for {
		limited, cancel := context.WithTimeout(trying, ledgerLimit)
		err := do(limited)
		cancel()
		if err == nil {
			return true
		}
		slog.Error("ledger does not answer", "worker", worker, "operation", what, "error", err)
		if trying.Err() != nil {
			return false
		}
		pause(trying, storeRetry)
	}
}

// outlasting is a context that ends a while after ctx, or when cut is called.
func outlasting(ctx context.Context, by time.Duration) (_ context.Context, cut func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		pause(longer, by)
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
