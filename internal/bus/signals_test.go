package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/testkit"
)

func TestWatchStatesTellsThePastAndThenTheNew(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		must(t, b.AnnounceState(bounded(t), 1, posthaste.Sending))
		must(t, b.AnnounceState(bounded(t), 1, posthaste.Paused)) // only the latest counts
		must(t, b.AnnounceState(bounded(t), 2, posthaste.CampaignCancelled))
		heard := make(chan string, 16) // more than is announced
		ctx, stop := context.WithCancel(t.Context())
		must(t, b.WatchStates(ctx, func(id int64, s posthaste.CampaignState) { heard <- fmt.Sprint(id, " ", s) }))
		past := []string{<-heard, <-heard} // told before WatchStates returned
		slices.Sort(past)
		if !slices.Equal(past, []string{"1 paused", "2 cancelled"}) {
			t.Errorf("past %v", past)
		}
		must(t, b.AnnounceState(bounded(t), 1, posthaste.Sending))
		if got := await(t, heard, "the new state"); got != "1 sending" {
			t.Errorf("new %q", got)
		}
		stop()
		// A second watcher hears of it; the first has ended.
		done := make(chan struct{})
		must(t, b.WatchStates(bounded(t), func(id int64, _ posthaste.CampaignState) {
			if id == 9 {
				close(done)
			}
		}))
		must(t, b.AnnounceState(bounded(t), 9, posthaste.Paused))
		await(t, done, "the second watcher's news")
	})
}

func TestWatchStatesOfAnEmptyBucketReturns(t *testing.T) {
	t.Parallel()
	b := open(t, "embedded:"+t.TempDir())
	must(t, b.WatchStates(bounded(t), func(int64, posthaste.CampaignState) { t.Error("something was heard") }))
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := b.WatchStates(ended, func(int64, posthaste.CampaignState) {}); err == nil {
		t.Error("a watch that never began is no error")
	}
}

func TestAnOptOutIsToldToOneWorkerAndConfirmed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		var understood atomic.Bool
		stop, err := b.HearOptOuts("host-1-2", func(o posthaste.OptOut) {
			if o == (posthaste.OptOut{RecipientID: 5, TopicID: 6}) {
				understood.Store(true)
			}
		})
		must(t, err)
		stopOther, err := b.HearOptOuts("host-1-3", func(posthaste.OptOut) { t.Error("another worker was told") })
		must(t, err)
		defer stopOther()
		must(t, b.TellOptOut(bounded(t), "host-1-2", posthaste.OptOut{RecipientID: 5, TopicID: 6, Channel: posthaste.ByPage}))
		if !understood.Load() {
			t.Error("it was confirmed before the worker had understood")
		}
		wantKind(t, b.TellOptOut(bounded(t), "host-1-4", posthaste.OptOut{RecipientID: 5}), posthaste.Unavailable)
		stop()
		wantKind(t, b.TellOptOut(bounded(t), "host-1-2", posthaste.OptOut{RecipientID: 5}), posthaste.Unavailable)
	})
}

func TestOneSilentOptOutHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := open(t, "embedded:"+t.TempDir())
	release := make(chan struct{})
	stop, err := b.HearOptOuts("w", func(o posthaste.OptOut) {
		if o.RecipientID == 1 {
			<-release
		}
	})
	must(t, err)
	first := make(chan error, 1) // one send
	go func() { first <- b.TellOptOut(bounded(t), "w", posthaste.OptOut{RecipientID: 1}) }()
	must(t, b.TellOptOut(bounded(t), "w", posthaste.OptOut{RecipientID: 2}))
	wantKind(t, await(t, first, "the end of waiting"), posthaste.Unavailable)
	close(release)
	stop()
}

func TestTestMails(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		_, err := b.RequestTest(bounded(t), 1, 2)
		wantKind(t, err, posthaste.Unavailable)
		if !strings.Contains(err.Error(), "no worker is running") {
			t.Errorf("error %v", err)
		}
		var sent atomic.Int64
		serve := func(campaignID, recipientID int64) (posthaste.Reply, error) {
			sent.Add(1)
			if recipientID == 3 {
				return posthaste.Reply{}, &posthaste.Error{Kind: posthaste.Unavailable, Message: "the next hop is away"}
			}
			return posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: fmt.Sprint("ok ", campaignID, recipientID)}, nil
		}
		for range 2 { // two workers share the work
			stop, err := b.ServeTests(serve)
			must(t, err)
			t.Cleanup(stop)
		}
		reply, err := b.RequestTest(bounded(t), 1, 2)
		must(t, err)
		if reply != (posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "ok 1 2"}) || sent.Load() != 1 {
			t.Errorf("reply %+v, sent %d times", reply, sent.Load())
		}
		_, err = b.RequestTest(bounded(t), 1, 3)
		wantKind(t, err, posthaste.Unavailable)
		if !strings.Contains(err.Error(), "the next hop is away") {
			t.Errorf("error %v", err)
		}
	})
}

func TestHitsAreRecordedAndAFailedBatchComesAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		at := time.Now().UTC().Truncate(time.Millisecond)
		var want []posthaste.Hit
		for i := range 5 {
			want = append(want, posthaste.Hit{ID: int64(i + 1), Kind: posthaste.Click, CampaignID: 1, Number: int64(i), RecipientID: 2, Link: 3,
				Network: posthaste.ParseNetwork("192.0.2.77/32"), Region: "DE-BY", Agent: "browser", Place: "datacentre", At: at})
		}
		must(t, b.PublishHits(bounded(t), want[:2]))
		must(t, b.PublishHits(bounded(t), want[2:]))
		failure := errors.New("database is away")
		err := b.ConsumeHits(bounded(t), func(context.Context, []posthaste.Hit) error { return failure })
		if !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
		ctx, stop := context.WithCancel(bounded(t))
		got := map[int64]posthaste.Hit{}
		must(t, b.ConsumeHits(ctx, func(ctx context.Context, hits []posthaste.Hit) error {
			for _, h := range hits {
				got[h.ID] = h
			}
			if len(got) == len(want) {
				stop()
			}
			return ctx.Err() // the batch at hand is recorded even while it stops
		}))
		stop()
		for _, h := range want {
			if got[h.ID] != h {
				t.Errorf("got %+v, want %+v", got[h.ID], h)
			}
		}
		empty, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		must(t, b.ConsumeHits(empty, func(_ context.Context, hits []posthaste.Hit) error {
			t.Errorf("recorded hits came again: %v", hits)
			return nil
		}))
	})
}

// One message that can never be recorded delays the others by seconds.
func TestHitsThatCannotBeRecordedHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	b := open(t, "embedded:"+t.TempDir())
	for id := range int64(5) {
		must(t, b.PublishHits(bounded(t), []posthaste.Hit{{ID: id + 1, Kind: posthaste.Open, CampaignID: 1, At: time.Now()}}))
	}
	const poisonous = 3
	got := map[int64]bool{}
	for ctx := bounded(t); len(got) < 4; {
		run, stop := context.WithCancel(ctx)
		err := b.ConsumeHits(run, func(_ context.Context, hits []posthaste.Hit) error {
			if slices.ContainsFunc(hits, func(h posthaste.Hit) bool { return h.ID == poisonous }) {
				return errors.New("no such character")
			}
			for _, h := range hits {
				got[h.ID] = true
			}
			if len(got) == 4 {
				stop()
			}
			return nil
		})
		stop()
		if ctx.Err() != nil {
			t.Fatalf("recorded %v: %v", got, err)
		}
	}
}

// A consumer that somebody removed is made again by whoever calls ConsumeHits again.
func TestALostConsumerOfHitsIsNoticed(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	b := open(t, url)
	consuming, gone := bounded(t), make(chan error, 1)
	go func() {
		gone <- b.ConsumeHits(consuming, func(context.Context, []posthaste.Hit) error { return nil })
	}()
	connection, err := nats.Connect(url)
	must(t, err)
	defer connection.Close()
	js, err := jetstream.New(connection)
	must(t, err)
	for js.DeleteConsumer(consuming, "POSTHASTE_HITS", "recorder") != nil {
		if consuming.Err() != nil {
			t.Fatal("there is no consumer")
		}
	}
	wantKind(t, <-gone, posthaste.Unavailable)
}

func TestOneLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	b := open(t, "embedded:"+t.TempDir())
	var mu sync.Mutex
	leading := 0
	became := make(chan string, 4) // more than there are leaders
	lead := func(ctx context.Context, name string) <-chan struct{} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.LeadScheduling(ctx, name, func(ctx context.Context) {
				mu.Lock()
				leading++
				if leading > 1 {
					t.Error("two lead at once")
				}
				mu.Unlock()
				became <- name
				<-ctx.Done()
				mu.Lock()
				leading--
				mu.Unlock()
			})
		}()
		return ended
	}
	first, stopFirst := context.WithCancel(t.Context())
	firstEnded := lead(first, "a")
	if got := await(t, became, "the first leader"); got != "a" {
		t.Fatalf("%s leads", got)
	}
	second, stopSecond := context.WithCancel(t.Context())
	secondEnded := lead(second, "b")
	select {
	case name := <-became:
		t.Fatalf("%s leads beside the first", name)
	case <-time.After(200 * time.Millisecond):
	}
	stopFirst()
	await(t, firstEnded, "the end of the first")
	start := time.Now()
	if got := await(t, became, "the second leader"); got != "b" {
		t.Fatalf("%s leads", got)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the hand-over took %s", took)
	}
	stopSecond()
	await(t, secondEnded, "the end of the second")
}

func TestARestartedEmbeddedBrokerLeadsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, "embedded:"+dir)
	held := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.LeadScheduling(ctx, "a", func(ctx context.Context) { close(held); <-ctx.Done() })
	}()
	await(t, held, "the leader")
	b.Close() // as a crash: the lease is not given back
	stop()
	await(t, ended, "the end of the leader")

	b = open(t, "embedded:"+dir)
	start, leads := time.Now(), make(chan struct{})
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	go b.LeadScheduling(ctx, "b", func(context.Context) { close(leads); stop() })
	await(t, leads, "the next leader")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the next leader waited %s for a lease that nobody holds", took)
	}
}
