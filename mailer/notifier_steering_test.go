package mailer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
)

// optOut opts an address out of a type, or of everything, as the unsubscribe page
// does, and gives how many notifiers confirmed.
func (h *noticeHouse) optOut(address string, typeID int64) (confirmed int) {
	h.tb.Helper()
	r, err := h.store.FindRecipientByAddress(h.tb.Context(), address)
	must(h.tb, err)
	out := posthaste.OptOut{RecipientID: r.ID, TopicID: posthaste.TypeAsTopic(typeID), Channel: posthaste.ByOneClick}
	_, err = h.store.OptOut(h.tb.Context(), out)
	must(h.tb, err)
	workers, err := h.store.ListSending(h.tb.Context(), out)
	must(h.tb, err)
	for _, w := range workers {
		if err := h.bus.TellOptOut(h.tb.Context(), w, out); err != nil {
			h.tb.Error(err)
			continue
		}
		confirmed++
	}
	return confirmed
}

// TestOptOutBetweenClaimAndMailFrom: an optional notice that was claimed is not
// begun any more; a mandatory one goes; a necessary one heeds "stop all mail" only.
func TestOptOutBetweenClaimAndMailFrom(t *testing.T) {
	t.Parallel()
	const everything = 0
	tests := []struct {
		name   string
		kind   posthaste.NoticeKind
		of     func(typeID int64) int64
		want   posthaste.NoticeState
		reason string
	}{
		{"an optional one, of its type", posthaste.Optional, func(id int64) int64 { return id }, posthaste.NoticeSuppressed, "opted_out"},
		{"an optional one, of everything", posthaste.Optional, func(int64) int64 { return everything }, posthaste.NoticeSuppressed, "opted_out"},
		{"an optional one, of another type", posthaste.Optional, func(id int64) int64 { return id + 1 }, posthaste.NoticeAccepted, ""},
		{"a necessary one, of everything", posthaste.Necessary, func(int64) int64 { return everything }, posthaste.NoticeSuppressed, "opted_out"},
		{"a mandatory one, of everything", posthaste.Mandatory, func(int64) int64 { return everything }, posthaste.NoticeAccepted, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := buildNotices(t)
			kind := h.kind(tt.kind)
			hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
			ids := h.accept(callTo(kind.Key, email(0), email(1), email(2)))
			h.run(hop, 1)
			if first := <-hop.arrived; first != email(0) {
				t.Fatalf("%s comes first", first)
			}
			h.optOut(email(1), tt.of(kind.ID))
			close(hop.mail)
			h.until(ids, posthaste.NoticeAccepted, tt.want, posthaste.NoticeAccepted)
			n, attempts := h.find(ids[1])
			if tt.reason != "" && (n.Reply.Text != tt.reason || len(attempts) != 0) {
				t.Errorf("it is %s for %q after %d attempts", n.State, n.Reply.Text, len(attempts))
			}
			for sent := range len(hop.arrived) {
				if to := <-hop.arrived; to == email(1) && tt.want == posthaste.NoticeSuppressed {
					t.Errorf("the %d. after the first went to one who opted out", sent+1)
				}
			}
		})
	}
}

// TestOptOutWaitsForANoticeThatIsBeginning until its MAIL FROM is on its way, and
// not for one that is mandatory.
func TestOptOutWaitsForANoticeThatIsBeginning(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	optional, mandatory := h.kind(posthaste.Optional), h.kind(posthaste.Mandatory)
	hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
	h.run(hop, 1)

	recall := h.accept(callTo(mandatory.Key, email(0)))
	<-hop.arrived
	if confirmed := h.optOut(email(0), mandatory.ID); confirmed != 1 {
		t.Errorf("%d notifiers heard of it, want the one that has the notice", confirmed)
	}
	hop.mail <- struct{}{}
	h.until(recall, posthaste.NoticeAccepted)

	ids := h.accept(callTo(optional.Key, email(1)))
	<-hop.arrived
	confirmed := make(chan int)
	go func() { confirmed <- h.optOut(email(1), optional.ID) }()
	select {
	case <-confirmed:
		t.Fatal("the opt-out was confirmed while the notice was before its MAIL FROM")
	case <-time.After(200 * time.Millisecond):
	}
	hop.mail <- struct{}{}
	if n := <-confirmed; n != 1 {
		t.Errorf("%d notifiers heard of it", n)
	}
	h.until(ids, posthaste.NoticeAccepted)
}

// fickle is a next hop of which the first connection is lost after MAIL FROM,
// and the second comes about once the test lets it.
type fickle struct {
	dialled *atomic.Int32
	lost    chan struct{} // closed when the second connection is asked for
	let     chan struct{}
	sent    chan string // recipients that the second was given
}

func (f fickle) Dial(context.Context) (relay.Connection, error) {
	if f.dialled.Add(1) == 2 {
		close(f.lost)
		<-f.let
	}
	return f, nil
}

func (f fickle) Send(_ context.Context, s relay.Source) {
	item := s.Next()
	item.HasBegun()
	if f.dialled.Load() == 1 {
		s.Answered(relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtMail}, Lost: true})
		return
	}
	f.sent <- item.To
	s.Answered(relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250}})
}

func (fickle) Close() error { return nil }

// TestOptOutBetweenTwoTries: a notice whose connection was lost is not begun anew
// after an opt-out was confirmed meanwhile.
func TestOptOutBetweenTwoTries(t *testing.T) {
	t.Parallel()
	for kind, want := range map[posthaste.NoticeKind]posthaste.NoticeState{posthaste.Optional: posthaste.NoticeSuppressed, posthaste.Mandatory: posthaste.NoticeAccepted} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := buildNotices(t)
			h.kind(kind)
			hop := fickle{&atomic.Int32{}, make(chan struct{}), make(chan struct{}), make(chan string, 10)}
			ids := h.accept(callTo(string(kind), email(0), email(1)))
			h.run(hop, 1)
			<-hop.lost
			if confirmed := h.optOut(email(0), 0); confirmed != 1 {
				t.Errorf("%d notifiers confirmed", confirmed)
			}
			close(hop.let)
			h.until(ids, want, posthaste.NoticeAccepted)
			if to := <-hop.sent; (to == email(0)) != (want == posthaste.NoticeAccepted) {
				t.Errorf("the new connection was given the notice to %s first", to)
			}
		})
	}
}

// TestNoticeExpiresInTheHandsOfItsWorker: one that waits behind a slow one for too long does not begin.
func TestNoticeExpiresInTheHandsOfItsWorker(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
	h.run(hop, 1)
	first := h.accept(callTo("receipt", email(2))) // so that what comes next is not the first of its type
	<-hop.arrived
	hop.mail <- struct{}{}
	h.until(first, posthaste.NoticeAccepted)
	c := callTo("receipt", email(0), email(1))
	c.ValidUntil = time.Now().Add(1500 * time.Millisecond)
	ids := h.accept(c)
	<-hop.arrived
	time.AfterFunc(time.Until(c.ValidUntil)+10*time.Millisecond, func() { close(hop.mail) })
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeExpired)
	if got := h.noticeSays(ids[1]); got != "expired" || len(hop.arrived) != 0 {
		t.Errorf("the ledger says %s, %d more were begun", got, len(hop.arrived))
	}
}

// TestNotifierStopsInOrder: the notice under way comes to its end, what is claimed
// and did not begin is given back, and the next notifier sends it.
func TestNotifierStopsInOrder(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	sink := newSlowSink(t)
	stop := h.run(dialerPatient(t, sink.URL()), 1)
	ids := h.accept(callTo("receipt", email(0), email(1), email(2), email(3)))
	<-sink.begun
	for _, id := range ids {
		if n, _ := h.find(id); n.State != posthaste.NoticeClaimed {
			t.Errorf("before the stop one is %s", n.State)
		}
	}
	stopping := make(chan struct{})
	go func() { defer close(stopping); stop() }()
	sink.proceed <- struct{}{}
	<-stopping
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeQueued, posthaste.NoticeQueued, posthaste.NoticeQueued)
	for _, id := range ids[1:] {
		if got := h.noticeSays(id); got != "queued" {
			t.Errorf("after the stop the ledger says %s", got)
		}
	}
	close(sink.proceed)
	h.schedule()
	h.run(dialerPatient(t, sink.URL()), 2)
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeAccepted, posthaste.NoticeAccepted, posthaste.NoticeAccepted)
	if got := sink.Count(); got != 4 {
		t.Errorf("%d messages for 4 notices", got)
	}
}

// standing is a notifier of three notices that stands before the first one's MAIL
// FROM; TestWorkerWithoutBeatsBeginsNothing takes its beats away.
type standing struct {
	*noticeHouse
	hop gate
	ids []int64
}

func stand(tb testing.TB, silent *atomic.Bool) standing {
	tb.Helper()
	h := buildNotices(tb)
	h.add(receipt())
	hop := gate{arrived: make(chan string, 10), mail: make(chan struct{})}
	ids := h.accept(callTo("receipt", email(0), email(1), email(2)))
	h.runOn(silentLedger{h.store, silent}, hop, 1)
	<-hop.arrived
	return standing{h, hop, ids}
}

// givesBack: once its MAIL FROM went, the one under way comes to its end, and no other begins.
func (s standing) givesBack() {
	s.tb.Helper()
	s.until(s.ids, posthaste.NoticeAccepted, posthaste.NoticeQueued, posthaste.NoticeQueued)
	s.schedule() // which queues them again and again, while the notifier gives them back
	if len(s.hop.arrived) != 0 {
		s.tb.Errorf("a notifier without beats began %d more", len(s.hop.arrived))
	}
}

// goesOn: with its beats it sends the others.
func (s standing) goesOn() {
	s.tb.Helper()
	close(s.hop.mail)
	s.until(s.ids, posthaste.NoticeAccepted, posthaste.NoticeAccepted, posthaste.NoticeAccepted)
	for _, id := range s.ids {
		if got := s.noticeSays(id); got != "accepted, accepted 250" {
			s.tb.Errorf("the ledger says %s", got)
		}
	}
}

// TestManyNotifiersSendEachNoticeOnce, although every message of the queue comes twice.
func TestManyNotifiersSendEachNoticeOnce(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	sink := testkit.NewSink(t, testkit.SinkOptions{})
	for range 3 {
		h.run(dialerPatient(t, sink.URL()), 2)
	}
	const calls, each = 10, 25
	var all sync.WaitGroup
	ids := make([][]int64, calls)
	for i := range calls {
		all.Go(func() {
			var to []string
			for n := range each {
				to = append(to, fmt.Sprintf("r%d-%d@example.com", i, n))
			}
			ids[i] = h.accept(callTo("receipt", to...))
			must(t, h.bus.PublishNotices(t.Context(), ids[i]))
		})
	}
	all.Wait()
	must(t, sink.Wait(t.Context(), calls*each))
	for i := range calls {
		for _, id := range ids[i] {
			h.until([]int64{id}, posthaste.NoticeAccepted)
			if got := h.noticeSays(id); got != "accepted, accepted 250" {
				t.Errorf("the ledger says %s", got)
			}
		}
	}
	seen := map[string]bool{}
	for _, m := range sink.Messages() {
		if seen[m.To] {
			t.Errorf("%s got two", m.To)
		}
		seen[m.To] = true
	}
	if len(seen) != calls*each {
		t.Errorf("%d got one, want %d", len(seen), calls*each)
	}
}
