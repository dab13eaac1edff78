package mailer_test

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/mailer"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a scheduler and workers over real parts, and a campaign to send.
type house struct {
	tb       testing.TB
	store    *store.Store
	bus      *bus.Bus
	keys     *token.Keys
	composer *mailer.Composer
	topic    posthaste.Topic
	campaign posthaste.Campaign
}

type queue struct{ jobs *bus.Jobs }

type job struct{ *bus.Job }

func (j job) Chunk() posthaste.Chunk { return j.Job.Chunk }

func (q queue) Next(ctx context.Context) (mailer.Job, error) {
	j, err := q.jobs.Next(ctx)
	if j == nil {
		return nil, err
	}
	return job{j}, err
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func email(n int) string { return fmt.Sprintf("r%03d@example.com", n) }

// build makes a house with a due campaign to n recipients.
func build(tb testing.TB, n int) *house {
	tb.Helper()
	h := &house{tb: tb}
	dir := tb.TempDir()
	var err error
	h.keys, err = token.Load(filepath.Join(dir, "secret"))
	must(tb, err)
	h.store, err = store.Open(tb.Context(), "sqlite:"+filepath.Join(dir, "test.db"), h.keys)
	must(tb, err)
	tb.Cleanup(func() { must(tb, h.store.Close()) })
	_, err = h.store.Migrate(tb.Context())
	must(tb, err)
	h.bus, err = bus.Open(tb.Context(), "embedded:"+filepath.Join(dir, "nats"))
	must(tb, err)
	tb.Cleanup(h.bus.Close)
	h.composer = mailer.NewComposer(h.store, nil, h.keys, mailer.Sender{Name: "Example Ltd", PostalAddress: "1 Sample Street",
		PublicURL: "https://mail.example.com", BounceDomain: "bounces.example.com", ListDomain: "lists.example.com"})

	h.topic, err = h.store.AddTopic(tb.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
	must(tb, err)
	_, err = h.store.Import(tb.Context(), posthaste.Import{TopicID: h.topic.ID, Evidence: posthaste.Evidence{Source: "form", Wording: "yes"}}, rows(n))
	must(tb, err)
	draft := posthaste.Campaign{Name: "c", TopicID: h.topic.ID, From: "News <news@example.com>", Subject: "Hello", Format: posthaste.Markdown,
		Body: "Hello {{ recipient.name }}", Layout: "plain", Tracking: posthaste.Tracking{Opens: posthaste.TrackNone, Clicks: posthaste.TrackNone}}
	links, err := h.composer.Check(tb.Context(), draft)
	must(tb, err)
	h.campaign, err = h.store.AddCampaign(tb.Context(), draft)
	must(tb, err)
	h.campaign, err = h.store.Schedule(tb.Context(), h.campaign.ID, h.campaign.Version, time.Now(), "UTC", links)
	must(tb, err)
	return h
}

func rows(n int) iter.Seq2[posthaste.ImportRow, error] {
	return func(yield func(posthaste.ImportRow, error) bool) {
		for i := range n {
			if !yield(posthaste.ImportRow{Line: i + 2, Email: email(i), Canonical: email(i)}, nil) {
				return
			}
		}
	}
}

// dialer talks to a server of the test, with short patience.
func dialer(tb testing.TB, url string) relay.Dialer {
	tb.Helper()
	d, err := smtpclient.New(url, smtpclient.Options{Timeouts: smtpclient.Timeouts{
		Connect: 2 * time.Second, Command: 500 * time.Millisecond, Data: time.Second, Dot: time.Second}})
	must(tb, err)
	return d
}

// dialerPatient waits for a server that takes its time.
func dialerPatient(tb testing.TB, url string) relay.Dialer {
	tb.Helper()
	d, err := smtpclient.New(url, smtpclient.Options{})
	must(tb, err)
	return d
}

// run starts a scheduler and one worker; the returned function stops them in order.
func (h *house) run(hop relay.Dialer, connections int) (stop func()) {
	h.tb.Helper()
	return h.runOn(h.store, hop, connections)
}

func (h *house) runOn(ledger mailer.Ledger, hop relay.Dialer, connections int) (stop func()) {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := h.runIn(ctx, ledger, hop, connections)
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.tb.Error("stop:", err)
		}
	})
	h.tb.Cleanup(stop)
	return stop
}

// runIn runs until ctx ends, and then tells how the worker ended.
func (h *house) runIn(ctx context.Context, ledger mailer.Ledger, hop relay.Dialer, connections int) <-chan error {
	h.tb.Helper()
	jobs, err := h.bus.Jobs(ctx)
	must(h.tb, err)
	worker := mailer.NewWorker(fmt.Sprintf("w%d", time.Now().UnixNano()), connections, nil, ledger, queue{jobs}, h.bus, h.composer, hop)
	ended := make(chan error, 1)
	go func() {
		var scheduling sync.WaitGroup
		scheduling.Go(func() { mailer.NewScheduler(h.store, h.bus).Run(ctx) })
		err := worker.Run(ctx)
		scheduling.Wait()
		ended <- err
	}()
	return ended
}

// until waits for the ledger to be as wanted; it must add up at every look.
func (h *house) until(what string, wanted func(posthaste.Counts) bool) posthaste.Counts {
	h.tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		counts, err := h.store.CountDeliveries(h.tb.Context(), h.campaign.ID)
		must(h.tb, err)
		if !counts.AddsUp() {
			h.tb.Fatalf("the ledger does not add up: %+v", counts)
		}
		if counts.Audience > 0 && wanted(counts) {
			return counts
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.tb.Fatalf("waited too long for %s: %+v", what, counts)
		}
	}
}

func settled(c posthaste.Counts) bool { return c.Queued+c.Claimed == 0 }
