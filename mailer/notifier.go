package mailer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/mailer/bounce"
	"posthaste/mailer/relay"
)

// Notifier sends account notices over connections of its own, so that no
// campaign delays them. What it hands over without a known answer goes again,
// with the same Message-ID: a notice that comes twice is better than one that
// never comes.
type Notifier struct {
	*pulse
	connections int
	ledger      NoticeLedger
	queue       NoticeQueue
	hearing     Hearing
	composer    *NoticeComposer
	hop         relay.Dialer
	optOuts     *optOuts
	inHand      sync.Map // ids of notices that some lane has
}

// NewNotifier makes a notifier; its arguments are as NewWorker's.
func NewNotifier(id string, connections int, ledger NoticeLedger, queue NoticeQueue, hearing Hearing, composer *NoticeComposer, hop relay.Dialer) *Notifier {
	return &Notifier{pulse: &pulse{id: id, beats: ledger}, connections: connections, ledger: ledger, queue: queue, hearing: hearing,
		composer: composer, hop: hop, optOuts: newOptOuts()}
}

// Measure has the notifier tell what it does. It is called before Run.
func (n *Notifier) Measure(m *metrics.Metrics) { n.metrics = m }

// Run sends until ctx ends; then it begins nothing more, waits for the answers
// to what is under way, and gives back what it had claimed.
func (n *Notifier) Run(ctx context.Context) error {
	stopHearing, err := n.hearing.HearOptOuts(n.id, n.optOuts.hear)
	if err != nil {
		return err
	}
	defer stopHearing()
	stopBeating, err := n.start(ctx)
	if err != nil {
		return err
	}
	var lanes errgroup.Group
	for range n.connections {
		lanes.Go(func() error { (&noticeLane{link: n.link(n.hop), notifier: n, size: 1}).run(ctx); return nil })
	}
	err = lanes.Wait()
	stopBeating()
	return errors.Join(err, n.leave(ctx))
}

const (
	// A job is of one message at first, of more while it is done within
	// noticesFast, and of one again when it took longer than noticesSlow. Outcomes
	// wait for others until the oldest is older than noticesFast: what comes next then,
	// or the end of the job, has them written.
	noticesFast, noticesSlow = 20 * time.Millisecond, 50 * time.Millisecond
	noticesMost              = 16
	// makeRetry is after how long a notice that could not be made now is tried again.
	makeRetry = 15 * time.Second
)

// noticeLane is one connection's worth of a notifier.
type noticeLane struct {
	*link
	notifier *Notifier
	sending  context.Context           // outlasts a stop, for a while
	size     int                       // messages of the next job, at most
	outcomes []posthaste.NoticeOutcome // not recorded yet
	oldest   time.Time                 // of them
}

// run takes jobs until ctx ends.
func (l *noticeLane) run(ctx context.Context) {
	sending, cut := outlasting(ctx, answersFor)
	defer cut()
	l.sending = sending
	defer l.hangUp()
	for ctx.Err() == nil {
		job, err := l.notifier.queue.Next(ctx, l.size)
		if err != nil && ctx.Err() == nil {
			slog.Warn("queue of notices does not answer", "worker", l.id, "error", err)
			pause(ctx, storeRetry)
		}
		if job != nil {
			l.work(ctx, job)
		}
		l.hangUpIfIdle()
	}
}

// work does one job. Its message is removed once everything that came of it is
// durable; the ledger refuses what comes twice.
func (l *noticeLane) work(ctx context.Context, job NoticeJob) {
	stop := job.KeepAlive()
	defer stop()
	// A connection comes before a claim: when the next hop is away, nothing is claimed.
	if !l.connect(ctx) {
		_ = job.Return() // it would come again by itself, only later
		return
	}
	ids := l.take(job.IDs())
	defer l.leave(ids)
	if len(ids) == 0 { // all are in the hands of other lanes, which end them
		_ = job.Done()
		return
	}
	claimed := time.Now()
	mails, err := l.notifier.ledger.ClaimNotices(ctx, ids, l.id)
	if err != nil { // they may be claimed all the same
		if ctx.Err() == nil {
			slog.Error("notices not claimed", "worker", l.id, "error", err)
		}
		l.giveBack(ctx, ids)
		_ = job.Return()
		pause(ctx, storeRetry)
		return
	}
	for i, mail := range mails {
		// The connection may be gone with the notice before this one.
		if ctx.Err() != nil || !l.mayBegin(claimed) || l.connection == nil && !l.redial(ctx) {
			var rest []int64
			for _, m := range mails[i:] {
				rest = append(rest, m.ID)
			}
			l.giveBack(ctx, rest)
			break
		}
		l.note(ctx, l.deliver(ctx, mail, claimed))
	}
	l.record(ctx)
	l.resize(time.Since(claimed), len(job.IDs()))
	if err := job.Done(); err != nil {
		slog.Warn("message of notices not removed", "worker", l.id, "error", err)
	}
}

// take gives those of the ids that no other lane has. A message may come twice,
// and the ledger knows workers, not lanes: one must not give back what another is sending.
func (l *noticeLane) take(ids []int64) (taken []int64) {
	for _, id := range ids {
		if _, other := l.notifier.inHand.LoadOrStore(id, l); !other {
			taken = append(taken, id)
		}
	}
	return taken
}

func (l *noticeLane) leave(ids []int64) {
	for _, id := range ids {
		l.notifier.inHand.Delete(id)
	}
}

// resize has a lane take more at a time while it is quick, and one at a time
// when it is not, so that no notice waits behind another that could go elsewhere.
func (l *noticeLane) resize(took time.Duration, notices int) {
	switch {
	case took > noticesSlow:
		l.size = 1
	case took < noticesFast && notices >= l.size:
		l.size = min(2*l.size, noticesMost)
	}
}

// giveBack queues again what is claimed here and did not begin.
func (l *noticeLane) giveBack(ctx context.Context, ids []int64) {
	outcomes := make([]posthaste.NoticeOutcome, len(ids))
	for i, id := range ids {
		outcomes[i] = posthaste.NoticeOutcome{ID: id, State: posthaste.NoticeQueued, At: time.Now()}
	}
	l.outcomes = append(l.outcomes, outcomes...)
	l.record(ctx)
}

// note keeps an outcome to be recorded with others, for a moment.
func (l *noticeLane) note(ctx context.Context, o posthaste.NoticeOutcome) {
	if len(l.outcomes) == 0 {
		l.oldest = time.Now()
	}
	if l.outcomes = append(l.outcomes, o); time.Since(l.oldest) > noticesFast {
		l.record(ctx)
	}
}

// record goes on trying; what it must give up is sent again after the worker is
// taken for lost.
func (l *noticeLane) record(ctx context.Context) {
	if len(l.outcomes) == 0 {
		return
	}
	if insist(ctx, l.id, "record notices", func(ctx context.Context) error {
		return l.notifier.ledger.RecordNotices(ctx, l.id, l.outcomes)
	}) {
		l.metrics.NoticesRecorded(l.outcomes)
	}
	l.outcomes = l.outcomes[:0]
}

// deliver decides what becomes of one notice, and hands it over if it may go.
func (l *noticeLane) deliver(ctx context.Context, mail posthaste.NoticeMail, claimed time.Time) posthaste.NoticeOutcome {
	outcome := posthaste.NoticeOutcome{ID: mail.ID, At: time.Now()}
	ends := func(state posthaste.NoticeState, why string) posthaste.NoticeOutcome {
		outcome.State, outcome.Reply.Text = state, why
		return outcome
	}
	if !outcome.At.Before(mail.ValidUntil) {
		return ends(posthaste.NoticeExpired, "its time had run out")
	}
	if mail.Recipient.ID == 0 {
		return ends(posthaste.NoticeSuppressed, "the recipient's data were erased")
	}
	form, err := l.notifier.composer.form(ctx, mail.TypeID, mail.TypeVersion)
	if err != nil {
		return l.cannotBeMade(outcome, err, posthaste.FieldsOf(err) == nil)
	}
	if len(mail.Stopped) > 0 && form.Kind != posthaste.Mandatory {
		return ends(posthaste.NoticeSuppressed, string(mail.Stopped[0]))
	}
	item, err := l.notifier.composer.compose(ctx, form, mail)
	if err != nil {
		return l.cannotBeMade(outcome, err, errors.Is(err, errLater))
	}
	if form.Kind == posthaste.Mandatory {
		outcome.Despite, outcome.Because = mail.Stopped, form.MandatoryReason
	}
	first := sync.OnceFunc(func() {
		if mail.Attempts == 0 {
			l.metrics.NoticeHandedOver(mail.CreatedAt)
		}
	})
	answer, instead := l.send(ctx, item, func() (func(), posthaste.NoticeState) {
		begun, instead := l.begin(form, mail, claimed)
		return func() { begun(); first() }, instead
	})
	switch instead {
	case "":
		return l.decide(outcome, mail, answer)
	case posthaste.NoticeSuppressed:
		return ends(instead, string(posthaste.OptedOut))
	}
	outcome.State = instead
	return outcome
}

// begin reports that a notice may start now, or else what becomes of it instead.
// A mandatory one does not heed opt-outs.
func (l *noticeLane) begin(form *noticeForm, mail posthaste.NoticeMail, claimed time.Time) (begun func(), instead posthaste.NoticeState) {
	begun = func() {}
	if form.Kind != posthaste.Mandatory {
		var ok bool
		if begun, ok = l.notifier.optOuts.begin(mail.RecipientID, posthaste.TypeAsTopic(mail.TypeID), claimed); !ok {
			return nil, posthaste.NoticeSuppressed
		}
	}
	if !l.mayBegin(claimed) { // the above may have had to wait
		begun()
		return nil, posthaste.NoticeQueued
	}
	return begun, ""
}

// cannotBeMade says what becomes of a notice without a message.
func (l *noticeLane) cannotBeMade(outcome posthaste.NoticeOutcome, err error, later bool) posthaste.NoticeOutcome {
	outcome.State = posthaste.NoticeFailed
	outcome.Reply.Text = "this notice cannot be made: " + err.Error()
	if later {
		outcome.State, outcome.RetryAt = posthaste.NoticeDeferred, outcome.At.Add(makeRetry)
		outcome.Reply.Text = ""
	}
	return outcome
}

// send hands a message over; once more over a new connection when the old one
// turns out to be gone before the message went. It is asked before each whether
// it may begin: an opt-out that came between is confirmed already.
func (l *noticeLane) send(ctx context.Context, item relay.Item, begin func() (begun func(), instead posthaste.NoticeState)) (answer relay.Answer, instead posthaste.NoticeState) {
	for again := false; ; again = true {
		begun, instead := begin()
		if instead != "" {
			return answer, instead
		}
		item.Begun = begun
		answer = relay.SendOne(l.sending, l.connection, item)
		begun()
		l.used = time.Now()
		if answer.Lost {
			l.hangUp()
		}
		if again || !answer.Unanswered() || ctx.Err() != nil || !l.redial(ctx) {
			return answer, ""
		}
	}
}

// decide says what an answer means for a notice. One that the next hop may have
// taken without saying so goes again, as long as it is valid.
func (l *noticeLane) decide(outcome posthaste.NoticeOutcome, mail posthaste.NoticeMail, answer relay.Answer) posthaste.NoticeOutcome {
	outcome.At, outcome.Tried, outcome.Reply = time.Now(), true, answer.Reply
	reply := answer.Reply
	if answer.Unknown {
		reply = posthaste.Reply{Stage: posthaste.AtConnect} // a fault of the way there, as far as the next attempt goes
	}
	state, retry := bounce.Notices.Decide(reply, mail.Attempts+1, mail.CreatedAt, outcome.At, mail.ValidUntil, rand.Float64())
	switch state {
	case posthaste.Accepted:
		outcome.State = posthaste.NoticeAccepted
	case posthaste.Bounced:
		outcome.State = posthaste.NoticeBounced
	case posthaste.Deferred:
		outcome.State, outcome.RetryAt = posthaste.NoticeDeferred, retry
	default:
		outcome.State = posthaste.NoticeFailed
		if reply.Code/100 != 5 { // there was no time for another attempt
			outcome.State = posthaste.NoticeExpired
		}
	}
	return outcome
}
