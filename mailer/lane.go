package mailer

import (
	"context"
	"log/slog"
	"time"

	"posthaste"
	"posthaste/mailer/journal"
)

// lane is one connection's worth of a worker. It has one chunk at a time.
type lane struct {
	*link
	worker   *Worker
	number   int
	outcomes []posthaste.Outcome // not recorded yet
	chunk    posthaste.Chunk
	claimed  time.Time // just before the open window was
	size     int       // of the next window
	recorded time.Time
	owing    bool // an outcome could not be recorded
	journal  *journal.Lane
	handover handover
	sending  context.Context // a stop lets a message that has begun come to its end, for a while
}

// run takes jobs until ctx ends.
func (l *lane) run(ctx context.Context) {
	sending, cut := outlasting(ctx, answersFor)
	defer cut()
	l.sending = sending
	defer l.hangUp()
	for ctx.Err() == nil {
		job, err := l.worker.queue.Next(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("queue does not answer", "worker", l.id, "error", err)
			pause(ctx, storeRetry)
		}
		if job != nil {
			l.work(ctx, job)
		}
		l.hangUpIfIdle()
	}
}

// work does one job as far as it can be done now. The message is acknowledged
// only when the chunk's state is durable; otherwise it comes again.
func (l *lane) work(ctx context.Context, job Job) {
	stop := job.KeepAlive()
	defer stop()
	chunk := job.Chunk()
	// A connection comes before a claim: when the next hop is away, nothing is claimed.
	if !l.connect(ctx) {
		_ = job.Return() // it would come again by itself, only later
		return
	}
	// A message that came twice must not let this lane release what another of
	// this worker is sending: the ledger knows workers, not lanes. It comes once
	// more, since the other may be about to give back what is queued here.
	if _, twice := l.worker.inHand.LoadOrStore(chunk, l); twice {
		_ = job.Return()
		return
	}
	known := l.workOn(ctx, chunk)
	l.metrics.Released(l.number)
	l.worker.inHand.Delete(chunk)
	if !known { // else it would be queued again only when its message is taken for lost
		_ = job.Return()
		pause(ctx, storeRetry) // the next chunk would fare no better
		return
	}
	if err := job.Done(context.WithoutCancel(ctx)); err != nil {
		slog.Warn("queue message not removed", "campaign", chunk.CampaignID, "first", chunk.First, "error", err)
	}
}

// workOn takes a chunk, sends what it can of it, and gives it back. It reports
// whether it is known that the chunk could be taken, or that it could not.
func (l *lane) workOn(ctx context.Context, chunk posthaste.Chunk) (known bool) {
	asked := time.Now()
	taken, err := l.worker.ledger.TakeChunk(ctx, chunk, l.id)
	known = err == nil
	if err == nil && taken {
		l.worker.unhalt(chunk.CampaignID, asked)
		err = l.sendChunk(ctx, chunk)
	}
	// Also after an error, since the chunk may have been taken all the same. But
	// what could not be recorded must not be released: it would be sent again.
	if (taken || err != nil) && !l.owing {
		released := insist(ctx, l.id, "release chunk", func(ctx context.Context) error {
			return l.worker.ledger.Release(ctx, chunk, l.id, l.outcomes)
		})
		if released {
			l.isRecorded()
		} else {
			l.owe()
		}
	}
	if err != nil && ctx.Err() == nil {
		slog.Error("chunk not finished", "campaign", chunk.CampaignID, "first", chunk.First, "error", err)
	}
	return known
}

// sendChunk claims and sends window after window. It ends early, without an
// error, when the campaign or the worker stops or the connection cannot be had
// again: Release then gives back what is left.
func (l *lane) sendChunk(ctx context.Context, chunk posthaste.Chunk) error {
	mailing, err := l.worker.composer.Mailing(ctx, chunk.CampaignID)
	if err != nil {
		return err
	}
	l.recorded, l.claimed, l.chunk = time.Now(), time.Now(), chunk
	for !l.stops(ctx) {
		l.claimed = time.Now()
		mails, err := l.worker.ledger.Claim(ctx, chunk, l.id, l.outcomes, l.size)
		if err != nil {
			return err
		}
		l.isRecorded()
		l.metrics.Claimed(l.number, l.claimed)
		if len(mails) == 0 || !l.sendWindow(ctx, mailing, mails) {
			return nil
		}
	}
	return nil
}

// stops reports that nothing more of the chunk may begin here.
func (l *lane) stops(ctx context.Context) bool {
	return ctx.Err() != nil || l.worker.halts(l.chunk.CampaignID) || l.owing || !l.worker.mayBegin(l.claimed)
}

// sendWindow sends the mails of a window and reports whether it came to its end.
func (l *lane) sendWindow(ctx context.Context, mailing *Mailing, mails []posthaste.Mail) bool {
	begun := time.Now()
	h := &l.handover
	h.open(ctx, l, mailing, mails)
	for h.goesOn() {
		if l.connection == nil && !l.redial(ctx) {
			return false
		}
		l.connection.Send(l.sending, h)
		l.used = time.Now()
		if h.lost {
			l.hangUp()
		}
	}
	switch took := time.Since(begun); {
	case took < windowFast && len(mails) == l.size:
		l.size = min(2*l.size, windowMost)
	case took > windowSlow:
		l.size = max(l.size/2, windowLeast)
	}
	return !h.halted
}

// record writes what is known. It goes on trying: an outcome that is forgotten
// would be a mail that nobody can account for.
func (l *lane) record(ctx context.Context) {
	recorded := insist(ctx, l.id, "record outcomes", func(ctx context.Context) error {
		return l.worker.ledger.Record(ctx, l.chunk, l.id, l.outcomes)
	})
	if recorded {
		l.isRecorded()
	} else {
		l.owe()
	}
}

// isRecorded notes that the ledger has all outcomes.
func (l *lane) isRecorded() {
	l.metrics.Recorded(l.outcomes)
	l.outcomes, l.recorded = l.outcomes[:0], time.Now()
	l.journal.Clear()
}

// owe notes that the ledger lacks something that happened here.
func (l *lane) owe() {
	l.owing = true
	l.worker.owing.Store(true)
}
