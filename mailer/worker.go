package mailer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/mailer/journal"
	"posthaste/mailer/relay"
)

// Worker sends what is queued over a number of connections of its own.
type Worker struct {
	id          string
	connections int
	ledger      Ledger
	queue       Queue
	signals     Signals
	composer    *Composer
	hop         relay.Dialer
	optOuts     *optOuts
	halted      sync.Map                  // campaign id → time.Time at which it was heard to stand still
	beaten      atomic.Pointer[time.Time] // the last beat
	lapsed      atomic.Pointer[time.Time] // the last beat that came late
	owing       atomic.Bool               // some outcome could not be recorded
	inHand      sync.Map                  // posthaste.Chunk → the lane that has it
	journal     *journal.Journal
	metrics     *metrics.Metrics // nil: nobody measures
}

// NewWorker makes a worker. id must be new at every start of a process: a lost
// worker is known by it. connections is the number of SMTP connections at most; j
// has as many lanes, or is nil for a worker that keeps no journal.
func NewWorker(id string, connections int, j *journal.Journal, ledger Ledger, queue Queue, signals Signals, composer *Composer, hop relay.Dialer) *Worker {
	return &Worker{id: id, connections: connections, journal: j, ledger: ledger, queue: queue, signals: signals,
		composer: composer, hop: hop, optOuts: newOptOuts()}
}

// Measure has the worker tell what it does. It is called before Run.
func (w *Worker) Measure(m *metrics.Metrics) { w.metrics = m }

// Run sends until ctx ends; then it starts no more mail, waits for the answers
// to those under way, records them and gives back what it had claimed.
func (w *Worker) Run(ctx context.Context) error {
	defer func() {
		if !w.owing.Load() { // else the next start records what the journal says
			w.journal.Close()
		}
	}()
	stopHearing, err := w.signals.HearOptOuts(w.id, w.optOuts.hear)
	if err != nil {
		return err
	}
	defer stopHearing()
	if err := w.signals.WatchStates(ctx, w.hearState); err != nil {
		return err
	}
	stopTests, err := w.signals.ServeTests(func(campaignID, recipientID int64) (posthaste.Reply, error) {
		return w.sendTest(ctx, campaignID, recipientID)
	})
	if err != nil {
		return err
	}
	defer stopTests()
	if err := w.beatOnce(ctx); err != nil {
		return err
	}
	// The beat goes on until the last connection has given back its chunk.
	beating, stopBeating := context.WithCancel(context.WithoutCancel(ctx))
	beats := make(chan struct{})
	go func() { defer close(beats); w.beat(beating) }()

	var lanes errgroup.Group
	for n := range w.connections {
		l := &lane{worker: w, number: n, journal: w.journal.Lane(n), size: windowFirst}
		lanes.Go(func() error { l.run(ctx); return nil })
	}
	err = lanes.Wait()
	stopBeating()
	<-beats
	if w.owing.Load() {
		return errors.Join(err, errors.New("outcomes could not be recorded; their deliveries become uncertain"))
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerLimit)
	defer cancel()
	return errors.Join(err, w.ledger.Leave(leaving, w.id))
}

func (w *Worker) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.beatOnce(ctx); err != nil && ctx.Err() == nil {
				slog.Warn("worker cannot reach the ledger", "worker", w.id, "error", err)
			}
		}
	}
}

func (w *Worker) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fence)
	defer cancel()
	asked := time.Now()
	if err := w.ledger.Beat(ctx, w.id); err != nil {
		return err
	}
	if last := w.beaten.Load(); last != nil && late(*last) {
		now := time.Now()
		w.lapsed.Store(&now)
	}
	w.beaten.Store(&asked)
	w.metrics.Beaten(asked)
	return nil
}

// mayBegin reports whether something of a window that was opened at an instant
// may begin. It may not when the last beat is so long ago that the worker may
// be taken for lost, as after it was stopped for a while, nor when that was so
// since: the window may have been taken away.
func (w *Worker) mayBegin(opened time.Time) bool {
	lapsed := w.lapsed.Load()
	return !late(*w.beaten.Load()) && (lapsed == nil || lapsed.Before(opened))
}

// late counts by both clocks, since the monotonic one may stand still with the machine.
func late(beat time.Time) bool {
	return time.Since(beat) > fence || time.Now().Round(0).Sub(beat.Round(0)) > fence
}

func (w *Worker) hearState(campaignID int64, state posthaste.CampaignState) {
	w.composer.Forget(campaignID) // a resume gives its retries new time
	if state == posthaste.Sending {
		w.halted.Delete(campaignID)
		return
	}
	w.halted.Store(campaignID, time.Now())
}

// unhalt forgets a signal that was heard before an instant at which the ledger
// said that the campaign is sending: the one that said so too may be lost.
func (w *Worker) unhalt(campaignID int64, sending time.Time) {
	if heard, halted := w.halted.Load(campaignID); halted && heard.(time.Time).Before(sending) {
		w.halted.CompareAndDelete(campaignID, heard)
	}
}

func (w *Worker) halts(campaignID int64) bool {
	_, halted := w.halted.Load(campaignID)
	return halted
}

// sendTest sends one mail outside any audience, by the same way as the others.
func (w *Worker) sendTest(ctx context.Context, campaignID, recipientID int64) (posthaste.Reply, error) {
	mailing, err := w.composer.Mailing(ctx, campaignID)
	if err != nil {
		return posthaste.Reply{}, err
	}
	connection, err := w.hop.Dial(ctx)
	if err != nil {
		return posthaste.Reply{}, &posthaste.Error{Kind: posthaste.Unavailable, Message: err.Error()} // it names the hop and the phase
	}
	defer connection.Close()
	// Consent is read as late as can be: no window tells opt-outs of this mail.
	claimed := time.Now()
	mail, err := w.composer.content.FindMail(ctx, mailing.topic.ID, recipientID)
	if err != nil {
		return posthaste.Reply{}, err
	}
	refused := &posthaste.Error{Kind: posthaste.Conflict, Message: "the recipient has not consented to the topic, or is suppressed"}
	if !mail.Allowed {
		return posthaste.Reply{}, refused
	}
	begun, ok := w.optOuts.begin(recipientID, mailing.topic.ID, claimed)
	if !ok {
		return posthaste.Reply{}, refused
	}
	defer begun()
	letter, err := mailing.Compose(new(Space), mail, time.Now())
	if err != nil {
		return posthaste.Reply{}, err
	}
	letter.Begun = begun
	return relay.SendOne(ctx, connection, letter.Item).Reply, nil
}
