package mailer

import (
	"context"
	"errors"
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
	*pulse
	connections int
	ledger      Ledger
	queue       Queue
	signals     Signals
	composer    *Composer
	hop         relay.Dialer
	optOuts     *optOuts
	halted      sync.Map    // campaign id → time.Time at which it was heard to stand still
	owing       atomic.Bool // some outcome could not be recorded
	inHand      sync.Map    // posthaste.Chunk → the lane that has it
	journal     *journal.Journal
}

// NewWorker makes a worker. id must be new at every start of a process: a lost
// worker is known by it. connections is the number of SMTP connections at most; j
// has as many lanes, or is nil for a worker that keeps no journal.
func NewWorker(id string, connections int, j *journal.Journal, ledger Ledger, queue Queue, signals Signals, composer *Composer, hop relay.Dialer) *Worker {
	return &Worker{pulse: &pulse{id: id, beats: ledger}, connections: connections, journal: j, ledger: ledger, queue: queue, signals: signals,
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
	// The beat goes on until the last connection has given back its chunk.
	stopBeating, err := w.start(ctx)
	if err != nil {
		return err
	}
	var lanes errgroup.Group
	for n := range w.connections {
		l := &lane{link: w.link(w.hop), worker: w, number: n, journal: w.journal.Lane(n), size: windowFirst}
		lanes.Go(func() error { l.run(ctx); return nil })
	}
	err = lanes.Wait()
	stopBeating()
	if w.owing.Load() {
		return errors.Join(err, errors.New("outcomes could not be recorded; their deliveries become uncertain"))
	}
	return errors.Join(err, w.leave(ctx))
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
