package store_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// benchHits is how many hits are stored before anything is measured: few, unless
// POSTHASTE_BENCH_HITS says otherwise (docs/performance.md has 10 million).
func benchHits(b *testing.B) int {
	b.Helper()
	text := os.Getenv("POSTHASTE_BENCH_HITS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	must(b, err)
	return n
}

const (
	benchBatch     = 2000
	benchCampaigns = 50
	benchWindow    = 500_000 // hits of which the slowest is reported
)

// BenchmarkHits records hits on top of many that are stored, and reads the report
// of one campaign of them.
func BenchmarkHits(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres"} {
		url := "sqlite:" + filepath.Join(b.TempDir(), "bench.db")
		if name == "postgres" {
			url = testkit.Postgres(b)
		}
		s := open(b, url)
		stored := benchHits(b)
		people := max(5_000, stored/3/benchCampaigns) // each mail is fetched three times
		topic, err := s.AddTopic(b.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
		must(b, err)
		var emails []string
		for i := range people {
			emails = append(emails, email(i))
		}
		_, err = s.Import(b.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(emails...))
		must(b, err)
		tamper(b, testkit.RawSQL(b, url), "INSERT INTO consent_states (recipient_id, purpose, topic_id, decision) SELECT id, 'opens', 0, 'given' FROM recipients",
			"INSERT INTO consent_states (recipient_id, purpose, topic_id, decision) SELECT id, 'clicks', 0, 'given' FROM recipients")
		var campaigns []posthaste.Campaign
		for range benchCampaigns {
			c, err := s.Freeze(b.Context(), scheduled(b, s, topic).ID)
			must(b, err)
			campaigns = append(campaigns, c)
		}
		tamper(b, testkit.RawSQL(b, url), "UPDATE deliveries SET state = 'accepted', measured = 3")
		at, slowest := time.Now().Add(-60*24*time.Hour), 0.0
		all, recorded := campaigns, 0
		record := func(n int) {
			for done := 0; done < n; {
				start, window := time.Now(), min(benchWindow, n-done)
				for in := 0; in < window; in += benchBatch {
					at = at.Add(time.Second)
					newest := min(recorded*benchCampaigns/stored, benchCampaigns-1)
					must(b, s.RecordHits(b.Context(), benchmarked(all[:newest+1], people, at), rules(b)))
					recorded += benchBatch
				}
				done += window
				slowest = max(slowest, time.Since(start).Seconds()/float64(window))
			}
		}
		record(stored)
		fill := slowest
		b.Run(name+"/record", func(b *testing.B) {
			slowest = 0
			for b.Loop() {
				record(benchBatch)
			}
			b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "hits/s")
			b.ReportMetric(1/fill, "slowest-hits/s")
		})
		b.Run(name+"/report", func(b *testing.B) { report(b, s, campaigns) })
	}
}

func report(b *testing.B, s *store.Store, campaigns []posthaste.Campaign) {
	var worst time.Duration
	for b.Loop() {
		start := time.Now()
		r, err := s.FindReport(b.Context(), campaigns[rand.IntN(len(campaigns))].ID)
		must(b, err)
		worst = max(worst, time.Since(start))
		if r.Opens.People.Mails == 0 {
			b.Fatal("the report is empty")
		}
	}
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
}

// benchmarked is a batch: nine opens for each click, of random mails, nine of ten
// of the newest campaign and the others of any.
func benchmarked(campaigns []posthaste.Campaign, people int, at time.Time) []posthaste.Hit {
	agents := []string{"browser", "browser", "google-proxy", "apple-privacy", "scanner"}
	regions := []string{"DE-BY", "DE-BE", "FR", "US-CA", "", "GB-ENG"}
	hits := make([]posthaste.Hit, benchBatch)
	for i := range hits {
		n := int64(rand.IntN(people) + 1)
		c := campaigns[len(campaigns)-1]
		if rand.IntN(10) == 0 {
			c = campaigns[rand.IntN(len(campaigns))]
		}
		h := posthaste.Hit{ID: posthaste.NewHitID(at), Kind: posthaste.Open, CampaignID: c.ID, Number: n, RecipientID: n,
			Network: posthaste.ParseNetwork("192.0.2.0/24"), Region: regions[rand.IntN(len(regions))], Agent: agents[rand.IntN(len(agents))], At: at}
		if i%10 == 0 {
			h.Kind, h.Link = posthaste.Click, 1+rand.IntN(2)
		}
		hits[i] = h
	}
	return hits
}
