package store_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
	"posthaste/tracker/machine"
)

func rules(tb testing.TB) *machine.Rules {
	tb.Helper()
	r, err := machine.Load("")
	must(tb, err)
	return r
}

// newer are rules of a later version, by which everybody is a scanner.
type newer struct{ *machine.Rules }

func (newer) Version() int { return 1000 }

func (newer) Judge(posthaste.Hit, int) posthaste.Verdict {
	return posthaste.Verdict{Class: posthaste.ByScanner, Rule: "all", Rules: 1000}
}

// measured is a campaign whose n recipients allow everything, and that was sent.
func measured(tb testing.TB, s *store.Store, n int) (posthaste.Campaign, []posthaste.Mail) {
	tb.Helper()
	c, chunks, ids := sending(tb, s, n)
	for _, id := range ids {
		must(tb, s.RecordConsents(tb.Context(), []posthaste.Consent{{RecipientID: id, Purpose: posthaste.ForOpens, Decision: posthaste.Given, Channel: posthaste.ByPreferences},
			{RecipientID: id, Purpose: posthaste.ForClicks, Decision: posthaste.Given, Channel: posthaste.ByPreferences}}))
	}
	var mails []posthaste.Mail
	for _, chunk := range chunks {
		taken := take(tb, s, chunk, "w", n)
		done := outcomes(taken, posthaste.Accepted)
		for i := range done {
			done[i].Measured = posthaste.MeasuredOpens | posthaste.MeasuredClicks
		}
		must(tb, s.Release(tb.Context(), chunk, "w", done))
		mails = append(mails, taken...)
	}
	return c, mails
}

func hitOf(c posthaste.Campaign, m posthaste.Mail, link int, at time.Time) posthaste.Hit {
	h := posthaste.Hit{ID: posthaste.NewHitID(at), Kind: posthaste.Open, CampaignID: c.ID, Number: m.Number, RecipientID: m.Recipient.ID, Link: link,
		Network: posthaste.ParseNetwork("192.0.2.0/24"), Region: "DE-BY", Agent: "browser", At: at}
	if link > 0 {
		h.Kind = posthaste.Click
	}
	return h
}

// countsNow reads what is counted; countsOf counts the rows of single hits anew.
func countsNow(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	return distinct(tb, db, "SELECT campaign_id || ' ' || kind || ' ' || facet || ' ' || value || ' ' || who || ' ' || hits || ' ' || people FROM hit_counts WHERE hits <> 0 OR people <> 0 ORDER BY 1")
}

func countsOf(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	const who = "CASE WHEN class IN ('human', 'proxy') THEN 'people' ELSE 'machines' END"
	// The first hit of a mail, of those of people or of machines.
	const first = "NOT EXISTS (SELECT 1 FROM hits e WHERE e.campaign_id = h.campaign_id AND e.number = h.number AND e.kind = h.kind AND e.id < h.id AND (e.class IN ('human', 'proxy')) = (h.class IN ('human', 'proxy')))"
	const hour = "CAST(at / 3600000000 * 3600 AS TEXT)"
	var all []string
	for _, f := range []struct{ facet, value, people, where string }{
		{"all", "''", "count(DISTINCT CASE WHEN number > 0 THEN number END)", "true"},
		{"class", "class", "count(DISTINCT CASE WHEN number > 0 THEN number END)", "true"},
		{"hour", hour, "sum(f)", "true"},
		{"link", "CAST(link AS TEXT)", "count(DISTINCT CASE WHEN number > 0 THEN number END)", "kind = 'click'"},
		{"region", "region", "sum(f)", "class IN ('human', 'proxy')"},
	} {
		all = append(all, distinct(tb, db, fmt.Sprintf(`SELECT campaign_id || ' ' || kind || ' %s ' || v || ' ' || w || ' ' || count(*) || ' ' || %s
			FROM (SELECT campaign_id, kind, number, %s AS v, %s AS w, CASE WHEN number > 0 AND %s THEN 1 ELSE 0 END AS f FROM hits h WHERE %s) AS h GROUP BY campaign_id, kind, v, w`,
			f.facet, f.people, f.value, who, first, f.where))...)
	}
	all = append(all, distinct(tb, db, "SELECT campaign_id || ' ' || kind || ' rules ' || rules || ' machines ' || count(*) || ' 0' FROM hits GROUP BY campaign_id, kind, rules")...)
	slices.Sort(all)
	return all
}

func wantCountsAddUp(tb rapid.TB, db *sql.DB, real testing.TB) {
	tb.Helper()
	got, want := countsNow(real, db), countsOf(real, db)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		tb.Fatalf("counted:\n%s\nthe hits say:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCountsAreThoseOfTheHits records random hits in random pieces, some of them
// twice, in any order, judges them again, and counts them anew each time.
func TestCountsAreThoseOfTheHits(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 4)
		db := testkit.RawSQL(t, url)
		start := time.Now().Add(-3 * time.Hour)
		agents := []string{"browser", "google-proxy", "apple-privacy", "scanner", "none", ""}
		judge := posthaste.Judge(rules(t))
		rapid.Check(t, func(rt *rapid.T) {
			tamper(t, db, "DELETE FROM hits", "DELETE FROM hit_counts", "DELETE FROM hit_moments")
			var hits []posthaste.Hit
			for range rapid.IntRange(1, 25).Draw(rt, "hits") {
				h := hitOf(c, rapid.SampledFrom(mails).Draw(rt, "mail"), rapid.IntRange(0, 2).Draw(rt, "link"), start.Add(time.Duration(rapid.IntRange(0, 9000).Draw(rt, "ms"))*time.Millisecond*
					time.Duration(rapid.SampledFrom([]int{1, 1, 1, 1000}).Draw(rt, "pace"))))
				h.Agent = rapid.SampledFrom(agents).Draw(rt, "agent")
				h.Region = rapid.SampledFrom([]string{"", "DE-BY", "FR"}).Draw(rt, "region")
				if rapid.IntRange(0, 9).Draw(rt, "nobody") == 0 {
					h.Number, h.RecipientID = 0, 0
				}
				hits = append(hits, h)
			}
			var again []posthaste.Hit
			for len(hits) > 0 {
				n := rapid.IntRange(1, len(hits)).Draw(rt, "batch")
				batch := append(slices.Clone(hits[:n]), again...)
				must(t, s.RecordHits(t.Context(), batch, judge))
				if hits = hits[n:]; rapid.Bool().Draw(rt, "comes again") {
					again = batch
				}
				wantCountsAddUp(rt, db, t)
			}
			if rapid.Bool().Draw(rt, "judge again") {
				_, err := s.JudgeAgain(t.Context(), newer{})
				must(t, err)
				wantCountsAddUp(rt, db, t)
				if left := distinct(t, db, "SELECT id FROM hits WHERE class <> 'scanner' OR region <> ''"); len(left) > 0 {
					rt.Fatalf("%d hits were not judged again", len(left))
				}
				_, err = s.JudgeAgain(t.Context(), judge)
				must(t, err)
				wantCountsAddUp(rt, db, t)
			}
		})
	})
}

// TestABurstTakesItsFirstClickAlong: a click that was counted as a person's is not
// any more once it turns out to have been the first of many, whatever batch they came in.
func TestABurstTakesItsFirstClickAlong(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 2)
		at := time.Now().Add(-time.Minute)
		must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, mails[0], 1, at), hitOf(c, mails[1], 1, at)}, rules(t)))
		if h, err := s.CountHits(t.Context(), c.ID); err != nil || h.Clicked != 2 {
			t.Fatalf("%+v %v", h, err)
		}
		must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, mails[0], 2, at.Add(1500*time.Millisecond))}, rules(t)))
		r, err := s.FindReport(t.Context(), c.ID)
		must(t, err)
		if r.Clicks.People != (posthaste.Figure{Hits: 1, Mails: 1}) || r.Clicks.Machines != (posthaste.Figure{Hits: 2, Mails: 1}) || r.Clicks.Classes[posthaste.ByScanner].Hits != 2 {
			t.Errorf("clicks %+v", r.Clicks)
		}
		// Once the minute is over nothing tells when it was.
		must(t, s.ForgetMoments(t.Context(), time.Now()))
		if kept := distinct(t, testkit.RawSQL(t, url), "SELECT at FROM hits WHERE at % 60000000 <> 0 UNION ALL SELECT at FROM hit_moments"); len(kept) > 0 {
			t.Errorf("kept more than the minute: %v", kept)
		}
	})
}

func TestHitsAreFoldedAndLaterOnesAreOfNobody(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 3)
		db := testkit.RawSQL(t, url)
		for _, m := range mails {
			must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, m, 0, time.Now()), hitOf(c, m, 1, time.Now())}, rules(t)))
		}
		before, err := s.FindReport(t.Context(), c.ID)
		must(t, err)
		if n, err := s.Forget(t.Context(), "hits", time.Now().Add(-posthaste.HitsKept)); err != nil || n != 0 {
			t.Fatalf("folded %d of a campaign of today: %v", n, err)
		}
		tamper(t, db, fmt.Sprintf("UPDATE campaigns SET frozen_at = %d", time.Now().Add(-posthaste.HitsKept-time.Hour).UnixMicro()))
		if n, err := s.Forget(t.Context(), "hits", time.Now().Add(-posthaste.HitsKept)); err != nil || n != 6 {
			t.Fatalf("folded %d: %v", n, err)
		}
		after, err := s.FindReport(t.Context(), c.ID)
		must(t, err)
		if after.Opens.People != before.Opens.People || after.Links[0] != before.Links[0] || len(distinct(t, db, "SELECT id FROM hits")) > 0 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, mails[0], 0, time.Now())}, rules(t)))
		late, err := s.FindReport(t.Context(), c.ID)
		must(t, err)
		if late.Opens.People != (posthaste.Figure{Hits: 4, Mails: 3}) {
			t.Errorf("after a late one %+v", late.Opens.People)
		}
		if whose := distinct(t, db, "SELECT number || ' ' || recipient_id || ' ' || network FROM hits"); !slices.Equal(whose, []string{"0 0 "}) {
			t.Errorf("a late hit is kept of %v", whose)
		}
		// What is folded, or soon will be, is not judged again.
		if n, err := s.JudgeAgain(t.Context(), newer{}); err != nil || n != 0 {
			t.Errorf("judged %d again: %v", n, err)
		}
	})
}

// TestOneMailCannotFillTheTable: past a number of hits nothing more of a mail is kept,
// whatever comes; that costs no time, and the counts stay those of what is kept.
func TestOneMailCannotFillTheTable(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 2)
		db := testkit.RawSQL(t, url)
		many := func(n int) (hits []posthaste.Hit) {
			for range n {
				hits = append(hits, hitOf(c, mails[0], 1+rand.IntN(2), time.Now().Add(-time.Duration(rand.IntN(3000))*time.Millisecond)))
			}
			return hits
		}
		start := time.Now()
		for range 3 {
			must(t, s.RecordHits(t.Context(), append(many(2000), hitOf(c, mails[1], 0, time.Now())), rules(t)))
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("6000 clicks of one mail took %s", took)
		}
		if n := len(distinct(t, db, fmt.Sprintf("SELECT id FROM hits WHERE number = %d", mails[0].Number))); n != 200 {
			t.Errorf("%d hits of one mail are kept", n)
		}
		wantCountsAddUp(t, db, t)
		must(t, s.RecordHits(t.Context(), many(3), newer{rules(t)}))
		wantCountsAddUp(t, db, t)
		_, err := s.JudgeAgain(t.Context(), newer{})
		must(t, err)
		wantCountsAddUp(t, db, t)
	})
}

// TestHitsAndErasures: what is recorded of a person who is erased at the same time is
// of nobody afterwards, and counts nothing twice.
func TestHitsAndErasures(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 12)
		db := testkit.RawSQL(t, url)
		var all sync.WaitGroup
		for _, m := range mails {
			all.Go(func() {
				for range 5 {
					if err := s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, m, 0, time.Now()), hitOf(c, m, 1, time.Now())}, rules(t)); err != nil {
						t.Error(err)
					}
				}
			})
			all.Go(func() {
				must(t, s.SuppressErased(t.Context(), m.Recipient.ID))
				if _, err := s.Erase(t.Context(), m.Recipient.ID, 0); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		wantCountsAddUp(t, db, t)
		if left := distinct(t, db, "SELECT recipient_id || ' ' || network FROM hits WHERE recipient_id <> 0 OR network <> ''"); len(left) > 0 {
			t.Errorf("left of people who are erased: %v", left)
		}
	})
}

// TestMomentsGoWhileOpensCome: no click need come for the moment of an earlier one to go.
func TestMomentsGoWhileOpensCome(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 2)
		db := testkit.RawSQL(t, url)
		at := time.Now().Add(-time.Hour)
		must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, mails[0], 1, at)}, rules(t)))
		if len(distinct(t, db, "SELECT at FROM hit_moments")) != 1 {
			t.Error("the moment of a click is not known")
		}
		must(t, s.RecordHits(t.Context(), []posthaste.Hit{hitOf(c, mails[1], 0, at.Add(2*time.Minute))}, rules(t)))
		if left := distinct(t, db, "SELECT at FROM hit_moments"); len(left) > 0 {
			t.Errorf("known for longer than a minute: %v", left)
		}
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		c, mails := measured(t, s, 60)
		hour := time.Now().Truncate(time.Hour).Add(-5 * time.Hour)
		var hits []posthaste.Hit
		for i, m := range mails[:40] {
			h := hitOf(c, m, 0, hour.Add(time.Duration(i%2)*time.Hour))
			switch {
			case i < 15:
				h.Region = "FR"
			case i < 20:
				h.Region = "MT"
			case i < 22:
				h.Region = ""
			}
			hits = append(hits, h)
		}
		for _, m := range mails[30:50] {
			h := hitOf(c, m, 0, hour)
			h.Agent = "apple-privacy"
			hits = append(hits, h)
		}
		for _, m := range mails[:12] {
			hits = append(hits, hitOf(c, m, 2, hour))
		}
		must(t, s.RecordHits(t.Context(), hits, rules(t)))
		_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: mails[5].Recipient.ID, TopicID: c.TopicID, Channel: posthaste.ByOneClick, CampaignID: c.ID, Number: mails[5].Number})
		must(t, err)
		// Somebody else's link does not count.
		_, err = s.OptOut(t.Context(), posthaste.OptOut{RecipientID: mails[6].Recipient.ID, TopicID: c.TopicID, Channel: posthaste.ByOneClick, CampaignID: c.ID, Number: mails[7].Number})
		must(t, err)
		r, err := s.FindReport(t.Context(), c.ID)
		must(t, err)
		if r.Counts.Accepted != 60 || r.OptedOut != 1 || r.Opens.Borne != 60 || r.Clicks.Borne != 60 {
			t.Errorf("%+v", r)
		}
		if r.Opens.People != (posthaste.Figure{Hits: 40, Mails: 40}) || r.Opens.Machines != (posthaste.Figure{Hits: 20, Mails: 20}) || r.Opens.Classes[posthaste.ByPrefetch].Mails != 20 {
			t.Errorf("opens %+v", r.Opens)
		}
		if len(r.Times) != 2 || !r.Times[0].From.Equal(hour) || r.Times[0].Opens.Mails != 20 || r.Times[0].MachineFetches != 20 || r.Times[0].Clicks.Mails != 12 {
			t.Errorf("hours %+v", r.Times)
		}
		if len(r.Links) != 2 || r.Links[1].People != (posthaste.Figure{Hits: 12, Mails: 12}) || r.Links[0].People.Hits != 0 {
			t.Errorf("links %+v", r.Links)
		}
		// Malta's five are fewer than may be told, and there are no others to be put with.
		want := []posthaste.RegionFigure{{Region: "FR", Opens: posthaste.Figure{Hits: 15, Mails: 15}}, {Region: "DE-BY", Opens: posthaste.Figure{Hits: 18, Mails: 18}, Clicks: posthaste.Figure{Hits: 12, Mails: 12}}}
		slices.SortFunc(want, func(a, b posthaste.RegionFigure) int {
			return cmp.Compare(b.Opens.Mails+b.Clicks.Mails, a.Opens.Mails+a.Clicks.Mails)
		})
		if !slices.Equal(r.Regions, want) {
			t.Errorf("regions %+v", r.Regions)
		}
		domains, err := s.ListDomains(t.Context(), c.ID)
		must(t, err)
		if len(domains) != 1 || domains[0] != (posthaste.DomainFigure{Domain: "example.com", Mails: 60, Accepted: 60, MayOpen: 60, MayClick: 60, Opened: 40, Clicked: 12}) {
			t.Errorf("domains %+v", domains)
		}
		reports, err := s.ListTopicReports(t.Context(), c.TopicID, 0, 10)
		must(t, err)
		if len(reports) != 1 || reports[0].Opens.People.Mails != 40 || reports[0].Links != nil {
			t.Errorf("reports of the topic %+v", reports)
		}
		_, err = s.FindReport(t.Context(), 999)
		wantKind(t, err, posthaste.NotFound)
	})
}
