package tracker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"posthaste"
)

// Links gives the destinations of campaigns' redirects.
type Links interface {
	ListLinks(ctx context.Context, campaignID int64) ([]string, error)
	// ListLinksSince gives those of up to limit campaigns frozen after an instant, in the order of that.
	ListLinksSince(ctx context.Context, frozen time.Time, limit int) ([]posthaste.CampaignLinks, error)
}

const (
	// keepLinks bounds the campaigns whose links are kept in memory: some 2 kB each.
	keepLinks = 50_000
	// learnEvery is how long the links of a campaign that begins to send may be
	// unknown as long as nobody asks for them.
	learnEvery = 5 * time.Second
	learnBatch = 500
	// learnAgain is how much later than another of a later instant a freeze may be
	// committed, and so be seen.
	learnAgain = 5 * time.Minute
)

// links keeps the links of campaigns, learnt before anybody follows one, so that
// redirects work when the database does not. What is known never changes: a mail
// that bears links was made after they were fixed.
type links struct {
	source Links

	mu    sync.RWMutex
	known map[int64][]string // by campaign
}

func newLinks(source Links) *links { return &links{source: source, known: map[int64][]string{}} }

func (l *links) of(ctx context.Context, campaignID int64) ([]string, error) {
	l.mu.RLock()
	links, known := l.known[campaignID]
	l.mu.RUnlock()
	if known {
		return links, nil
	}
	links, err := l.source.ListLinks(ctx, campaignID)
	if err == nil && len(links) > 0 { // none yet: a draft's test mail was clicked
		l.keep(campaignID, links)
	}
	return links, err
}

func (l *links) keep(campaignID int64, links []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= keepLinks {
		for any := range l.known {
			delete(l.known, any)
			break
		}
	}
	l.known[campaignID] = links
}

// learn keeps the links of all campaigns that began to send, and then those of
// each new one, until ctx ends.
func (l *links) learn(ctx context.Context) {
	tick := time.NewTicker(learnEvery)
	defer tick.Stop()
	var since time.Time
	for {
		since = l.learnSince(ctx, since.Add(-learnAgain))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *links) learnSince(ctx context.Context, since time.Time) time.Time {
	for {
		batch, err := l.source.ListLinksSince(ctx, since, learnBatch)
		if err != nil {
			if ctx.Err() == nil {
				slog.Warn("links are not learnt ahead", "error", err)
			}
			return since
		}
		for _, c := range batch {
			l.keep(c.CampaignID, c.URLs)
			since = c.FrozenAt
		}
		if len(batch) < learnBatch {
			return since
		}
	}
}
