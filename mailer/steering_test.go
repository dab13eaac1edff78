package mailer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
)

// slowSink takes one message at a time: each waits for a tick of the test.
type slowSink struct {
	*testkit.Sink
	begun   chan string // recipients, as their RCPT comes
	proceed chan struct{}
}

func newSlowSink(t *testing.T) *slowSink {
	s := &slowSink{begun: make(chan string, 1000), proceed: make(chan struct{})}
	done := make(chan struct{})
	s.Sink = testkit.NewSink(t, testkit.SinkOptions{OnRcpt: func(to string) error {
		s.begun <- to
		select {
		case <-s.proceed:
		case <-done:
		}
		return nil
	}})
	t.Cleanup(func() { close(done) })
	return s
}

// TestPauseStopsAfterTheMessageUnderWay and a resume sends the rest.
func TestPauseStopsAfterTheMessageUnderWay(t *testing.T) {
	t.Parallel()
	h := build(t, 20)
	sink := newSlowSink(t)
	h.run(dialerPatient(t, sink.URL()), 1)
	<-sink.begun
	c, err := h.store.Pause(t.Context(), h.campaign.ID)
	must(t, err)
	must(t, h.bus.AnnounceState(t.Context(), c.ID, c.State))
	paused := time.Now()
	// The signal is heard before the message is let go, or the next one begins.
	time.AfterFunc(200*time.Millisecond, func() { sink.proceed <- struct{}{} })
	got := h.until("the pause", func(c posthaste.Counts) bool { return c.Claimed == 0 && c.Accepted > 0 })
	if got.Accepted != 1 || got.Queued != 19 {
		t.Errorf("after the pause %+v", got)
	}
	t.Logf("paused %s after the request", time.Since(paused))

	c, err = h.store.Resume(t.Context(), h.campaign.ID)
	must(t, err)
	must(t, h.bus.AnnounceState(t.Context(), c.ID, c.State))
	close(sink.proceed)
	if got := h.until("the end", settled); got.Accepted != 20 {
		t.Errorf("at the end %+v", got)
	}
}

// TestStopGivesBackWhatIsClaimed: a worker that stops in order leaves nothing
// uncertain, and the next one sends the rest.
func TestStopGivesBackWhatIsClaimed(t *testing.T) {
	t.Parallel()
	h := build(t, 40)
	sink := newSlowSink(t)
	stop := h.run(dialerPatient(t, sink.URL()), 2)
	<-sink.begun
	<-sink.begun
	stopping := make(chan struct{})
	go func() { defer close(stopping); stop() }()
	go func() {
		for range 2 {
			sink.proceed <- struct{}{}
		}
	}()
	<-stopping
	got := h.until("the stop", func(c posthaste.Counts) bool { return c.Claimed == 0 })
	if got.Uncertain != 0 || got.Accepted+got.Queued != 40 || got.Accepted > 4 {
		t.Fatalf("after the stop %+v", got)
	}
	close(sink.proceed)
	h.run(dialerPatient(t, sink.URL()), 2)
	if got := h.until("the end", settled); got.Accepted != 40 {
		t.Errorf("at the end %+v", got)
	}
}

// TestStopDoesNotWaitForEver: a next hop that does not answer a final dot is
// given up, and what it had is uncertain; the rest is given back.
func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	testkit.Slow(t, "it waits until the worker gives up, fifteen seconds")
	h := build(t, 10)
	script := testkit.NewScript(t, testkit.At(testkit.Dot, testkit.Stall()))
	stop := h.run(dialerPatient(t, script.URL()), 1)
	must(t, script.Arrived(t.Context(), testkit.Dot))
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the worker took %s to stop", took)
	}
	got := h.until("the stop", func(c posthaste.Counts) bool { return c.Claimed == 0 })
	if got.Uncertain != 1 || got.Queued != 9 {
		t.Errorf("after the stop %+v", got)
	}
}

// gate is a next hop that holds every message before its MAIL FROM, and accepts it.
type gate struct {
	arrived chan string // recipients
	mail    chan struct{}
}

func (g gate) Dial(context.Context) (relay.Connection, error) { return g, nil }

func (g gate) Send(_ context.Context, s relay.Source) {
	for item := s.Next(); item != nil; item = s.Next() {
		g.arrived <- item.To
		<-g.mail
		item.HasBegun()
		if s.Permit() {
			s.Answered(relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250}})
		} else {
			s.Answered(relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtData}, Lost: true})
			return
		}
	}
}

func (gate) Close() error { return nil }

// optOut opts an address out as the unsubscribe page does, and names the workers that confirmed.
func (h *house) optOut(address string) []string {
	h.tb.Helper()
	r, err := h.store.FindRecipientByAddress(h.tb.Context(), address)
	must(h.tb, err)
	out := posthaste.OptOut{RecipientID: r.ID, TopicID: h.topic.ID, Channel: posthaste.ByOneClick}
	_, err = h.store.OptOut(h.tb.Context(), out)
	must(h.tb, err)
	workers, err := h.store.ListSending(h.tb.Context(), out)
	must(h.tb, err)
	for _, w := range workers {
		if err := h.bus.TellOptOut(h.tb.Context(), w, out); err != nil {
			h.tb.Error(err)
		}
	}
	return workers
}

// TestOptOutInsideTheWindow: a claimed recipient who opts out is not begun, and
// the confirmation to one whose mail is just beginning waits for its MAIL FROM.
func TestOptOutInsideTheWindow(t *testing.T) {
	t.Parallel()
	h := build(t, 10)
	hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
	h.run(hop, 1)
	beginning := <-hop.arrived

	if told := h.optOut(email(7)); len(told) != 1 {
		t.Fatalf("told %v, want the one worker whose window is open", told)
	}
	confirmed := make(chan []string)
	go func() { confirmed <- h.optOut(beginning) }()
	select {
	case <-confirmed:
		t.Fatal("the opt-out was confirmed while the mail was before its MAIL FROM")
	case <-time.After(300 * time.Millisecond):
	}
	hop.mail <- struct{}{}
	if told := <-confirmed; len(told) != 1 {
		t.Fatalf("told %v", told)
	}
	close(hop.mail)
	got := h.until("the end", settled)
	if got.Accepted != 9 || got.Suppressed != 1 {
		t.Errorf("at the end %+v", got)
	}
}

// TestOptOutDoesNotWaitForASlowServer: past its MAIL FROM a mail has begun, and
// nobody waits for its end.
func TestOptOutDoesNotWaitForASlowServer(t *testing.T) {
	t.Parallel()
	h := build(t, 3)
	sink := newSlowSink(t)
	h.run(dialerPatient(t, sink.URL()), 1)
	if told := h.optOut(<-sink.begun); len(told) != 1 {
		t.Errorf("told %v", told)
	}
	close(sink.proceed)
	if got := h.until("the end", settled); got.Accepted != 3 {
		t.Errorf("at the end %+v", got)
	}
}

// silentLedger is a ledger to which a worker's beats do not come through.
type silentLedger struct {
	*store.Store
	silent *atomic.Bool
}

func (l silentLedger) Beat(ctx context.Context, worker string) error {
	if l.silent.Load() {
		return context.DeadlineExceeded
	}
	return l.Store.Beat(ctx, worker)
}

// TestWorkerWithoutBeatsBeginsNothing: one that may be taken for lost soon stops
// by itself, and goes on when its beats come through again. So does a notifier.
func TestWorkerWithoutBeatsBeginsNothing(t *testing.T) {
	t.Parallel()
	testkit.Slow(t, "it waits for the fence, ten seconds")
	h := build(t, 40)
	hop := gate{arrived: make(chan string, 40), mail: make(chan struct{})}
	silent := &atomic.Bool{}
	h.runOn(silentLedger{h.store, silent}, hop, 1)
	<-hop.arrived
	notices := stand(t, silent)
	silent.Store(true)
	let := make(chan struct{})
	time.AfterFunc(11*time.Second, func() { hop.mail <- struct{}{}; notices.hop.mail <- struct{}{}; close(let) })
	<-let
	got := h.until("the worker to give back its chunk", func(c posthaste.Counts) bool { return c.Claimed == 0 })
	if got.Queued != 40 || len(hop.arrived) != 0 { // not even the message that had only its MAIL FROM went
		t.Errorf("a worker without beats went on: %+v, %d more begun", got, len(hop.arrived))
	}
	notices.givesBack()
	silent.Store(false)
	notices.goesOn()
	close(hop.mail)
	if got := h.until("the end", settled); got.Accepted != 40 {
		t.Errorf("at the end %+v", got)
	}
}

// brokenLedger records nothing.
type brokenLedger struct{ *store.Store }

func (brokenLedger) Record(context.Context, posthaste.Chunk, string, []posthaste.Outcome) error {
	return context.DeadlineExceeded
}

func (l brokenLedger) Claim(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome, size int) ([]posthaste.Mail, error) {
	if len(outcomes) > 0 {
		return nil, context.DeadlineExceeded
	}
	return l.Store.Claim(ctx, c, worker, nil, size)
}

func (l brokenLedger) Release(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error {
	if len(outcomes) > 0 {
		return context.DeadlineExceeded
	}
	return l.Store.Release(ctx, c, worker, nil)
}

// TestWhatCannotBeRecordedIsNotReleased: a worker that stops while the ledger is
// away leaves its window open, so that what it had sent is not sent again.
func TestWhatCannotBeRecordedIsNotReleased(t *testing.T) {
	t.Parallel()
	testkit.Slow(t, "it waits until the worker gives up, ten seconds")
	h := build(t, 5)
	sink := testkit.NewSink(t, testkit.SinkOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := h.runIn(ctx, brokenLedger{h.store}, dialerPatient(t, sink.URL()), 1)
	must(t, sink.Wait(t.Context(), 5))
	cancel()
	if err := <-ended; err == nil {
		t.Error("the worker does not say that outcomes could not be recorded")
	}
	lost, err := h.store.ReleaseLost(t.Context(), 0)
	must(t, err)
	if got := h.until("the end", settled); lost != 5 || got.Uncertain != 5 {
		t.Errorf("%d lost, %+v", lost, got)
	}
}

// TestWorkerThatWasSilentGoesOnWithNothing: its window may have been taken away
// meanwhile, so that a beat that gets through again is no leave to go on with it.
func TestWorkerThatWasSilentGoesOnWithNothing(t *testing.T) {
	t.Parallel()
	testkit.Slow(t, "it waits for the fence, ten seconds")
	h := build(t, 40)
	hop := gate{arrived: make(chan string, 40), mail: make(chan struct{})}
	silent := &atomic.Bool{}
	h.runOn(silentLedger{h.store, silent}, hop, 1)
	<-hop.arrived
	silent.Store(true)
	lost := make(chan struct{})
	time.AfterFunc(12*time.Second, func() {
		defer close(lost)
		if _, err := h.store.ReleaseLost(t.Context(), 0); err != nil { // as another process's scheduler does
			t.Error(err)
		}
		silent.Store(false)
	})
	<-lost
	time.AfterFunc(4*time.Second, func() { close(hop.mail) }) // after a beat got through
	got := h.until("the end", settled)
	if got.Uncertain != 16 || got.Accepted != 24 {
		t.Errorf("at the end %+v, want the whole first window uncertain", got)
	}
}

// TestRefusedTestMailBlocksNobody: a test mail to someone who may not have one
// leaves no trace, and the campaign reaches that recipient later.
func TestRefusedTestMailBlocksNobody(t *testing.T) {
	t.Parallel()
	h := build(t, 3)
	_, err := h.store.Unschedule(t.Context(), h.campaign.ID)
	must(t, err)
	x, err := h.store.Suppress(t.Context(), email(1), posthaste.Suppression{Reason: posthaste.Manual})
	must(t, err)
	sink := testkit.NewSink(t, testkit.SinkOptions{})
	h.run(dialerPatient(t, sink.URL()), 1)
	r, err := h.store.FindRecipientByAddress(t.Context(), email(1))
	must(t, err)
	refuse := func() error {
		_, err := h.bus.RequestTest(t.Context(), h.campaign.ID, r.ID)
		return err
	}
	for tick := time.Tick(20 * time.Millisecond); errors.Is(refuse(), posthaste.Unavailable); <-tick { // until a worker is there
	}
	if err := refuse(); !errors.Is(err, posthaste.Conflict) {
		t.Fatalf("a test mail to a suppressed recipient: %v", err)
	}
	must(t, h.store.LiftSuppression(t.Context(), x.ID))
	if reply, err := h.bus.RequestTest(t.Context(), h.campaign.ID, r.ID); err != nil || reply.Code != 250 {
		t.Fatalf("test mail: %+v, %v", reply, err)
	}
	now, err := h.store.FindCampaign(t.Context(), h.campaign.ID)
	must(t, err)
	_, err = h.store.Schedule(t.Context(), now.ID, now.Version, time.Now(), "UTC", nil)
	must(t, err)
	if got := h.until("the end", func(c posthaste.Counts) bool { return settled(c) }); got.Accepted != 3 {
		t.Errorf("at the end %+v", got)
	}
}

// doubtfulLedger fails to answer TakeChunk once it is told to, as a database
// does whose connection is cut.
type doubtfulLedger struct {
	*store.Store
	doubt *atomic.Bool
	asked chan struct{}
}

func (l doubtfulLedger) TakeChunk(ctx context.Context, c posthaste.Chunk, worker string) (bool, error) {
	if l.doubt.Load() {
		select {
		case l.asked <- struct{}{}:
		default:
		}
		return false, context.DeadlineExceeded
	}
	return l.Store.TakeChunk(ctx, c, worker)
}

// TestAMessageThatComesTwiceDoesNotReleaseAWindow: one lane sends a chunk, another
// of the same worker gets its message again while the ledger does not answer.
func TestAMessageThatComesTwiceDoesNotReleaseAWindow(t *testing.T) {
	t.Parallel()
	h := build(t, 5)
	hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
	ledger := doubtfulLedger{h.store, &atomic.Bool{}, make(chan struct{}, 1)}
	h.runOn(ledger, hop, 2)
	<-hop.arrived
	ledger.doubt.Store(true)
	must(t, h.bus.PublishChunks(t.Context(), []posthaste.Chunk{{CampaignID: h.campaign.ID, First: 1, Last: 5}}))
	select { // either the second lane asks the ledger, which it must not, or it is done without
	case <-ledger.asked:
		t.Error("two lanes of one worker are at one chunk")
	case <-time.After(time.Second):
	}
	if counts, err := h.store.CountDeliveries(t.Context(), h.campaign.ID); err != nil || counts.Claimed != 5 {
		t.Errorf("the window was released under the lane that has it: %+v (%v)", counts, err)
	}
	ledger.doubt.Store(false)
	close(hop.mail)
	if got := h.until("the end", settled); got.Accepted != 5 || len(hop.arrived) != 4 {
		t.Errorf("at the end %+v, %d more begun", got, len(hop.arrived))
	}
}
