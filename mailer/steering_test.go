package mailer_test

import (
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
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

// TestOptOutInsideTheWindow: a claimed recipient who opts out is not begun, and
// the confirmation of one whose mail is under way waits for it.
func TestOptOutInsideTheWindow(t *testing.T) {
	t.Parallel()
	h := build(t, 10)
	sink := newSlowSink(t)
	h.run(dialerPatient(t, sink.URL()), 1)
	underway := <-sink.begun

	stop := func(address string) []string {
		r, err := h.store.FindRecipientByAddress(t.Context(), address)
		must(t, err)
		out := posthaste.OptOut{RecipientID: r.ID, TopicID: h.topic.ID, Channel: posthaste.ByOneClick}
		must(t, h.store.OptOut(t.Context(), out))
		workers, err := h.store.ListSending(t.Context(), out)
		must(t, err)
		for _, w := range workers {
			if err := h.bus.TellOptOut(t.Context(), w, out); err != nil {
				return []string{err.Error()}
			}
		}
		return workers
	}
	if told := stop(email(7)); len(told) != 1 {
		t.Fatalf("told %v, want the one worker whose window is open", told)
	}
	waiting := make(chan []string)
	go func() { waiting <- stop(underway) }()
	select {
	case <-waiting:
		t.Fatal("the opt-out was confirmed while the mail was before its data")
	case <-time.After(300 * time.Millisecond):
	}
	sink.proceed <- struct{}{}
	if told := <-waiting; len(told) != 1 {
		t.Fatalf("told %v", told)
	}
	close(sink.proceed)
	got := h.until("the end", settled)
	if got.Accepted != 9 || got.Suppressed != 1 {
		t.Errorf("at the end %+v", got)
	}
	for _, m := range sink.Messages() {
		if m.To == email(7) {
			t.Error("the one who opted out got it")
		}
	}
}
