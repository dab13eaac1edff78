package tracker_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthaste"
	"posthaste/internal/web"
	"posthaste/tracker"
)

// away is a broker that stores nothing until it is back.
type away struct {
	catcher
	back  atomic.Bool
	tries atomic.Int64
}

func (a *away) PublishHits(ctx context.Context, hits []posthaste.Hit) error {
	a.tries.Add(1)
	if !a.back.Load() {
		return errors.New("away")
	}
	return a.catcher.PublishHits(ctx, hits)
}

// Hits that come while the broker is away are counted once it is back, and
// those that do not reach it until the service ends delay it by seconds, not more.
func TestHitsWaitForTheBroker(t *testing.T) {
	t.Parallel()
	p := open(t) // whose goroutines stay outside of the bubble
	p.end()
	path := p.pixelPath()
	for _, comes := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			broker := &away{}
			e := web.New(web.Options{Name: "public", Pages: true})
			service := tracker.New(&manyLinks{}, broker, rules(t), p.keys)
			service.Register(e)
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { service.Run(ctx) })
			for range 1050 {
				w := httptest.NewRecorder()
				if e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != http.StatusOK {
					t.Fatal(w.Code)
				}
			}
			time.Sleep(30 * time.Second)
			if n := len(broker.taken()); n > 0 || broker.tries.Load() < 10 {
				t.Errorf("%d were stored in %d tries", n, broker.tries.Load())
			}
			if comes {
				broker.back.Store(true)
				time.Sleep(2 * time.Second)
				hits := broker.taken()
				ids := map[int64]bool{}
				for _, h := range hits {
					ids[h.ID] = true
				}
				if len(hits) != 1050 || len(ids) != 1050 {
					t.Errorf("%d hits came back, %d different ones", len(hits), len(ids))
				}
			}
			start := time.Now()
			stop()
			running.Wait()
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s to stop", took)
			}
		})
	}
}

// The first hit waits for others for a moment only.
func TestAHitIsPublishedSoon(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.do(http.MethodGet, p.pixelPath())
	start := time.Now()
	for len(p.hits.taken()) == 0 {
		if time.Since(start) > 10*time.Second {
			t.Fatal("the hit is not published")
		}
	}
}
