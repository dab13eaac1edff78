package tracker_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/tracker"
)

// Links that nobody followed before the database went away lead on all the same:
// they are learnt when the campaign begins to send.
func TestLinksAreKnownBeforeTheyAreFollowed(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, err := p.store.Freeze(t.Context(), p.campaign.ID)
	must(t, err)
	p.serve(p.hits)
	for deadline := time.Now().Add(20 * time.Second); ; {
		learned, err := p.store.ListLinksSince(t.Context(), time.Time{}, 10)
		must(t, err)
		if len(learned) != 1 || len(learned[0].URLs) != len(links) {
			t.Fatalf("links %+v", learned)
		}
		if tracker.Knows(p.service, p.campaign.ID) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the links are not learnt")
		}
	}
	must(t, p.store.Close())
	for i, want := range links {
		if a := p.do(http.MethodGet, p.clickPath(i+1)); a.status != http.StatusFound || a.header.Get("Location") != want {
			t.Errorf("%d to %q, want %q", a.status, a.header.Get("Location"), want)
		}
	}
}

// manyLinks has links for any campaign and counts how often it is asked.
type manyLinks struct {
	mu    sync.Mutex
	asked map[int64]int
}

func (m *manyLinks) ListLinks(_ context.Context, id int64) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked[id]++
	return []string{fmt.Sprintf("https://example.com/%d", id)}, nil
}

func (m *manyLinks) ListLinksSince(context.Context, time.Time, int) ([]posthaste.CampaignLinks, error) {
	return nil, nil
}

func TestManyCampaignsAtOnce(t *testing.T) {
	t.Parallel()
	keys, err := token.Load(filepath.Join(t.TempDir(), "secret"))
	must(t, err)
	source := &manyLinks{asked: map[int64]int{}}
	e := web.New(web.Options{Name: "public", Pages: true})
	tracker.New(source, &catcher{}, rules(t), keys).Register(e)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for id := int64(1); id <= 400; id++ {
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/c/"+keys.Seal(token.ClickLink, token.Claims{CampaignID: id, Link: 1}), nil))
				if want := fmt.Sprintf("https://example.com/%d", id); w.Header().Get("Location") != want {
					t.Errorf("%q, want %q", w.Header().Get("Location"), want)
				}
			}
		})
	}
	wait.Wait()
	asked := source.asked[1]
	if asked < 1 || asked > 4 {
		t.Errorf("asked %d times for one campaign", asked)
	}
}
