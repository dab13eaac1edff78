package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/testkit"
)

// patience is far longer than anything here takes; it ends a test that hangs.
const patience = 20 * time.Second

// declareLimit is how long a cluster may take to form.
const declareLimit = time.Minute

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantKind(tb testing.TB, err error, kind posthaste.Kind) {
	tb.Helper()
	if !errors.Is(err, kind) {
		tb.Fatalf("error %v, want %s", err, kind)
	}
}

// open is a bus of its own, closed with the test.
func open(tb testing.TB, url string) *bus.Bus {
	tb.Helper()
	b, err := bus.Open(tb.Context(), url)
	must(tb, err)
	tb.Cleanup(b.Close)
	return b
}

// onBoth runs a test in this process and against a server.
func onBoth(t *testing.T, test func(t *testing.T, b *bus.Bus)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { t.Parallel(); test(t, open(t, "embedded:"+t.TempDir())) })
	t.Run("server", func(t *testing.T) { t.Parallel(); test(t, open(t, testkit.NATS(t))) })
}

// bounded is a context that ends with the test, or when it hangs.
func bounded(tb testing.TB) context.Context {
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(stop)
	return ctx
}

func await[T any](tb testing.TB, c <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		tb.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func TestOpenRefusesWhatItCannotReach(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for url, want := range map[string]posthaste.Kind{
		"": posthaste.Invalid, "http://example.com": posthaste.Invalid, "localhost:4222": posthaste.Invalid, "embedded": posthaste.Invalid, "embedded:": posthaste.Invalid,
		"NATS://127.0.0.1:1": posthaste.Invalid, "nats://127.0.0.1:1": posthaste.Unavailable, "tls://127.0.0.1:1": posthaste.Unavailable,
		"nats://%zz": posthaste.Unavailable, "nats://": posthaste.Unavailable, "embedded:" + file: posthaste.Unavailable, "embedded:" + file + "/sub": posthaste.Unavailable,
	} {
		b, err := bus.Open(t.Context(), url)
		if err == nil {
			b.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %s", url, err, want)
		}
		if want == posthaste.Invalid && (len(posthaste.FieldsOf(err)) != 1 || posthaste.FieldsOf(err)[0].Name != "POSTHASTE_NATS_URL") {
			t.Errorf("%q: fields %v", url, posthaste.FieldsOf(err))
		}
	}
}

// A process that starts beside its cluster waits until there are servers enough.
func TestOpenWaitsForAClusterThatForms(t *testing.T) {
	t.Parallel()
	cluster := testkit.NewNATSCluster(t)
	cluster.Kill(2)
	url := "nats://" + cluster.Addr(0) + "," + cluster.Addr(1) + "," + cluster.Addr(2)
	within(t, declareLimit, func(ctx context.Context) error {
		_, err := bus.InUse(ctx, url)
		return err
	})
	opened := make(chan error, 1)
	go func() {
		b, err := bus.Open(context.WithoutCancel(t.Context()), url)
		if err == nil {
			b.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("opened with %v while a server was away", err)
	case <-time.After(3 * time.Second):
	}
	cluster.Start(2)
	select {
	case err := <-opened:
		must(t, err)
	case <-time.After(declareLimit):
		t.Fatal("not opened though the cluster is whole")
	}
}

// within does again what fails, at most for a while.
func within(t *testing.T, limit time.Duration, do func(context.Context) error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		must(t, b.Ping(bounded(t)))
		b.Close()
		wantKind(t, b.Ping(bounded(t)), posthaste.Unavailable)
		wantKind(t, b.PublishHits(bounded(t), []posthaste.Hit{{}}), posthaste.Unavailable)
		wantKind(t, b.PublishChunks(bounded(t), []posthaste.Chunk{{CampaignID: 1}}), posthaste.Unavailable)
		wantKind(t, b.AnnounceState(bounded(t), 1, posthaste.Paused), posthaste.Unavailable)
		wantKind(t, b.TellOptOut(bounded(t), "w", posthaste.OptOut{}), posthaste.Unavailable)
		_, err := b.RequestTest(bounded(t), 1, 1)
		wantKind(t, err, posthaste.Unavailable)
		b.Close() // once more does no harm
	})
}

func chunks(campaign int64, n int) []posthaste.Chunk {
	var out []posthaste.Chunk
	for i := range int64(n) {
		out = append(out, posthaste.Chunk{CampaignID: campaign, First: i*10 + 1, Last: i*10 + 10})
	}
	return out
}

func jobs(tb testing.TB, b *bus.Bus) *bus.Jobs {
	tb.Helper()
	q, err := b.Jobs(bounded(tb))
	must(tb, err)
	return q
}

func next(tb testing.TB, q *bus.Jobs) *bus.Job {
	tb.Helper()
	ctx := bounded(tb)
	for {
		job, err := q.Next(ctx)
		must(tb, err)
		if job != nil {
			return job
		}
	}
}

// wantNone tells that nothing is in the queue for anybody.
func wantNone(tb testing.TB, q *bus.Jobs) {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), 300*time.Millisecond)
	defer stop()
	if job, err := q.Next(ctx); job != nil || err != nil && !errors.Is(err, context.DeadlineExceeded) {
		tb.Errorf("job %+v, error %v; want none", job, err)
	}
}

func TestChunksAreTakenOnceEach(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		want := chunks(7, 300)
		must(t, b.PublishChunks(bounded(t), want))
		must(t, b.PublishChunks(bounded(t), nil))
		first, second := jobs(t, b), jobs(t, b) // two workers share one queue
		var got []posthaste.Chunk
		for i := range want {
			job := next(t, []*bus.Jobs{first, second}[i%2])
			got = append(got, job.Chunk)
			must(t, job.Done(bounded(t)))
		}
		slices.SortFunc(got, func(a, b posthaste.Chunk) int { return int(a.First - b.First) })
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		wantNone(t, first)
	})
}

func TestAReturnedJobComesAgainAndADoneOneDoesNot(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bus.Bus) {
		must(t, b.PublishChunks(bounded(t), chunks(1, 2)))
		q := jobs(t, b)
		first, second := next(t, q), next(t, q)
		must(t, second.Done(bounded(t)))
		must(t, first.Return())
		again := next(t, q)
		if again.Chunk != first.Chunk {
			t.Errorf("%v came, %v was returned", again.Chunk, first.Chunk)
		}
		stop := again.KeepAlive()
		stop()
		must(t, again.Done(bounded(t)))
		wantNone(t, q)
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	q := jobs(t, open(t, "embedded:"+t.TempDir()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one send
	go func() {
		_, err := q.Next(ctx)
		ended <- err
	}()
	stop()
	if err := await(t, ended, "the end of Next"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAnEmbeddedBrokerKeepsItsChunksOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, "embedded:"+dir)
	must(t, b.PublishChunks(bounded(t), chunks(3, 3)))
	q := jobs(t, b)
	done := next(t, q)
	must(t, done.Done(bounded(t)))
	next(t, q) // taken by a process that ends
	must(t, b.AnnounceState(bounded(t), 3, posthaste.Paused))
	b.Close()

	b = open(t, "embedded:"+dir)
	past := make(chan posthaste.CampaignState, 1) // one announcement
	must(t, b.WatchStates(bounded(t), func(_ int64, s posthaste.CampaignState) { past <- s }))
	if got := await(t, past, "the state"); got != posthaste.Paused {
		t.Errorf("state %s", got)
	}
	// The untouched one comes at once; the taken one when its time is over.
	if left := next(t, jobs(t, b)); left.Chunk == done.Chunk || left.Chunk.CampaignID != 3 {
		t.Errorf("%v came after the restart", left.Chunk)
	}
}

func TestASecondProcessSharesTheServer(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	one, two := open(t, url), open(t, url)
	must(t, one.PublishChunks(bounded(t), chunks(1, 1)))
	must(t, next(t, jobs(t, two)).Done(bounded(t)))
	wantNone(t, jobs(t, one))
}

func TestTheBrokerComesBack(t *testing.T) {
	t.Parallel()
	server := testkit.NewNATS(t)
	b := open(t, server.URL())
	q := jobs(t, b)
	must(t, b.PublishChunks(bounded(t), chunks(1, 1)))
	server.Stop()
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	wantKind(t, b.PublishChunks(short, chunks(2, 1)), posthaste.Unavailable)
	hitting, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	wantKind(t, b.PublishHits(hitting, []posthaste.Hit{{ID: 1, Kind: posthaste.Open, At: time.Now()}}), posthaste.Unavailable)
	server.Start()
	ctx := bounded(t)
	for b.Ping(ctx) != nil {
		must(t, ctx.Err())
	}
	for range 2 { // what was queued before is there; what failed may have been
		job, err := q.Next(ctx)
		if err == nil && job != nil {
			must(t, job.Done(ctx))
			if job.Chunk == chunks(1, 1)[0] {
				return
			}
		}
	}
	t.Error("the chunk is lost")
}
