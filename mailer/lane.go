package mailer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"posthaste"
	"posthaste/mailer/bounce"
	"posthaste/mailer/journal"
	"posthaste/mailer/relay"
)

const (
	// dialFirst and dialMost bound the back-off after a connection that did not
	// come about; it says nothing about any recipient, so no attempt is counted.
	dialFirst = time.Second
	dialMost  = time.Minute
	// storeRetry is how long a lane waits before it asks the ledger again for
	// what it must not lose.
	storeRetry = 500 * time.Millisecond
)

// lane is one connection's worth of a worker. It has one chunk at a time.
type lane struct {
	worker     *Worker
	connection relay.Connection
	used       time.Time
	space      Space
	outcomes   []posthaste.Outcome
	chunk      posthaste.Chunk
	claimed    time.Time // just before the open window was
	recorded   time.Time
	owing      bool // an outcome could not be recorded
	journal    *journal.Lane
	noted      bool // the journal has a beginning without its outcome
}

// run takes jobs until ctx ends.
func (l *lane) run(ctx context.Context) {
	defer l.hangUp()
	for ctx.Err() == nil {
		job, err := l.worker.queue.Next(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("queue does not answer", "worker", l.worker.id, "error", err)
			pause(ctx, storeRetry)
		}
		if job != nil {
			l.work(ctx, job)
		}
		if l.connection != nil && time.Since(l.used) > idleLimit {
			l.hangUp()
		}
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
	l.workOn(ctx, chunk)
	l.worker.inHand.Delete(chunk)
	if err := job.Done(context.WithoutCancel(ctx)); err != nil {
		slog.Warn("queue message not removed", "campaign", chunk.CampaignID, "first", chunk.First, "error", err)
	}
}

// workOn takes a chunk, sends what it can of it, and gives it back.
func (l *lane) workOn(ctx context.Context, chunk posthaste.Chunk) {
	asked := time.Now()
	taken, err := l.worker.ledger.TakeChunk(ctx, chunk, l.worker.id)
	if err == nil && taken {
		l.worker.unhalt(chunk.CampaignID, asked)
		err = l.sendChunk(ctx, chunk)
	}
	// Also after an error, since the chunk may have been taken all the same. But
	// what could not be recorded must not be released: it would be sent again.
	if (taken || err != nil) && !l.owing {
		released := l.insist(ctx, "release chunk", func(ctx context.Context) error { return l.worker.ledger.Release(ctx, chunk, l.worker.id) })
		if !released {
			l.owe()
		}
	}
	if err != nil && ctx.Err() == nil {
		slog.Error("chunk not finished", "campaign", chunk.CampaignID, "first", chunk.First, "error", err)
	}
}

// connect makes sure that there is a connection, and waits for one as long as ctx lasts.
func (l *lane) connect(ctx context.Context) bool {
	for wait := dialFirst; l.connection == nil; wait = min(2*wait, dialMost) {
		connection, err := l.worker.hop.Dial(ctx)
		if err == nil {
			l.connection = connection
			break
		}
		if ctx.Err() != nil {
			return false
		}
		slog.Warn("next hop does not take connections", "worker", l.worker.id, "error", err, "wait", wait)
		pause(ctx, wait)
		if ctx.Err() != nil {
			return false
		}
	}
	l.used = time.Now()
	return true
}

func (l *lane) hangUp() {
	if l.connection != nil {
		_ = l.connection.Close() // whatever it says, the messages are decided
		l.connection = nil
	}
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
	for !l.stops(ctx, chunk) {
		l.claimed = time.Now()
		mails, err := l.worker.ledger.Claim(ctx, chunk, l.worker.id, window)
		if err != nil || len(mails) == 0 {
			return err
		}
		whole := l.sendWindow(ctx, chunk, mailing, mails)
		l.record(ctx, chunk)
		if !whole {
			return nil
		}
	}
	return nil
}

// stops reports that nothing more of the chunk may begin here.
func (l *lane) stops(ctx context.Context, chunk posthaste.Chunk) bool {
	return ctx.Err() != nil || l.worker.halts(chunk.CampaignID) || l.owing || !l.worker.mayBegin(l.claimed)
}

// sendWindow sends the mails of a window and reports whether it came to its end.
func (l *lane) sendWindow(ctx context.Context, chunk posthaste.Chunk, mailing *Mailing, mails []posthaste.Mail) bool {
	for _, mail := range mails {
		if l.stops(ctx, chunk) {
			return false
		}
		outcome, sent := l.sendMail(ctx, mailing, mail)
		if !sent {
			return false
		}
		l.outcomes = append(l.outcomes, outcome)
		if time.Since(l.recorded) > recordEvery {
			l.record(ctx, chunk)
		}
	}
	return true
}

// sendMail decides one mail; false when it could not be handed over for want of a connection.
func (l *lane) sendMail(ctx context.Context, mailing *Mailing, mail posthaste.Mail) (posthaste.Outcome, bool) {
	outcome := posthaste.Outcome{Number: mail.Number, RecipientID: mail.Recipient.ID}
	var letter Letter
	var err error
	if mail.Allowed {
		letter, err = mailing.Compose(&l.space, mail, mailing.campaign.FrozenAt)
	}
	if err != nil {
		outcome.State, outcome.Reply.Text, outcome.At = posthaste.Failed, "this mail cannot be made: "+err.Error(), time.Now()
		return outcome, true
	}
	answer, begun, connected := l.handOver(ctx, mailing, mail, letter)
	if !connected {
		outcome.State = posthaste.Queued
		l.answered(outcome)
		return outcome, false
	}
	outcome.At = time.Now()
	switch {
	case !begun:
		outcome.State = posthaste.Suppressed
	case answer.Unknown:
		outcome.State, outcome.Reply = posthaste.Uncertain, answer.Reply
	default:
		outcome.Reply = answer.Reply
		since := mailing.campaign.SendingSince
		outcome.State, outcome.RetryAt = bounce.Decide(answer.Reply, mail.Attempts+1, since, outcome.At, since.Add(mailingLife), rand.Float64())
	}
	l.answered(outcome)
	return outcome, true
}

// answered ends in the journal what was begun in it.
func (l *lane) answered(o posthaste.Outcome) {
	if l.noted {
		l.journal.Answered(o)
		l.noted = false
	}
}

// handOver looks for an opt-out for the last time and sends. A connection that
// is lost before the final dot, as servers do after some number of messages, is
// opened again once for the same message.
func (l *lane) handOver(ctx context.Context, mailing *Mailing, mail posthaste.Mail, letter Letter) (answer relay.Answer, begun, connected bool) {
	if !mail.Allowed {
		return answer, false, true
	}
	for again := false; ; again = true {
		if l.connection == nil && !l.redial(ctx) {
			return answer, false, false
		}
		begun, ok := l.worker.optOuts.begin(mail.Recipient.ID, mailing.topic.ID, l.claimed)
		if !ok {
			return answer, false, true
		}
		// Asked after begin, which may have had to wait.
		if !l.worker.mayBegin(l.claimed) || !l.journal.Begin(l.chunk, mail.Number, mail.Recipient.ID) {
			begun()
			return answer, false, false
		}
		l.noted = true
		// A stop lets a message that has begun come to its end.
		letter.Envelope.Begun = begun
		answer = l.connection.Send(context.WithoutCancel(ctx), letter.Envelope, letter.Message)
		begun()
		l.used = time.Now()
		if !answer.Lost {
			return answer, true, true
		}
		l.connection = nil
		silent := answer.Reply.Code == 0 || answer.Reply.Code == 421
		if again || answer.Unknown || !silent || answer.Reply.Stage == posthaste.AtDot {
			return answer, true, true
		}
	}
}

// redial opens the connection again in the middle of a window, with one try:
// nothing claimed should wait for long.
func (l *lane) redial(ctx context.Context) bool {
	connection, err := l.worker.hop.Dial(ctx)
	if err != nil {
		if refused, ok := errors.AsType[*relay.ConnectError](err); ok && ctx.Err() == nil {
			slog.Warn("next hop does not take connections", "worker", l.worker.id, "error", refused)
		}
		return false
	}
	l.connection = connection
	return true
}

// record writes what is known. It goes on trying: an outcome that is forgotten
// would be a mail that nobody can account for.
func (l *lane) record(ctx context.Context, chunk posthaste.Chunk) {
	if len(l.outcomes) > 0 {
		recorded := l.insist(ctx, "record outcomes", func(ctx context.Context) error {
			return l.worker.ledger.Record(ctx, chunk, l.worker.id, l.outcomes)
		})
		if !recorded {
			l.owe()
			return
		}
		l.outcomes = l.outcomes[:0]
	}
	l.journal.Clear()
	l.recorded = time.Now()
}

// owe notes that the ledger lacks something that happened here.
func (l *lane) owe() {
	l.owing = true
	l.worker.owing.Store(true)
}

// insistFor bounds how long a stopping worker tries to reach the ledger; what
// it cannot record becomes uncertain.
const insistFor = 20 * time.Second

// insist repeats do until it succeeds, or, once ctx has ended, for insistFor;
// it reports whether it succeeded.
func (l *lane) insist(ctx context.Context, what string, do func(context.Context) error) bool {
	var deadline time.Time
	for {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerLimit)
		err := do(limited)
		cancel()
		if err == nil {
			return true
		}
		slog.Error("ledger does not answer", "worker", l.worker.id, "operation", what, "error", err)
		if ctx.Err() != nil {
			if deadline.IsZero() {
				deadline = time.Now().Add(insistFor)
			}
			if time.Now().After(deadline) {
				return false
			}
		}
		pause(context.WithoutCancel(ctx), storeRetry)
	}
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
