package posthaste_test

import (
	"testing"
	"time"

	"posthaste"
)

func figure(hits int64) posthaste.Figure { return posthaste.Figure{Hits: hits} }

// TestSmallNumbersAreNotTold: neither as they are, nor by what is left of a sum.
func TestSmallNumbersAreNotTold(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 2, 7, 0, 0, 0, time.UTC)
	totals := posthaste.Measure{Mode: posthaste.TrackTotals, People: figure(47), Classes: map[posthaste.HitClass]posthaste.Figure{posthaste.ByHuman: figure(44), posthaste.ByProxy: figure(3)}}
	r := posthaste.Report{Opens: totals, Clicks: posthaste.Measure{Mode: posthaste.TrackTotals}, Times: []posthaste.TimeFigure{{From: start, Opens: figure(46)}, {From: start.Add(time.Hour), Opens: figure(1)}},
		Links:   []posthaste.LinkFigure{{Number: 1, People: figure(30)}, {Number: 2, People: figure(4)}, {Number: 3, People: figure(90)}, {Number: 4}},
		Regions: []posthaste.RegionFigure{{Region: "FR", Opens: figure(40)}, {Region: "MT", Opens: figure(7)}}}.Told()
	for name, got := range map[string]int64{"human": r.Opens.Classes[posthaste.ByHuman].Hits, "proxy": r.Opens.Classes[posthaste.ByProxy].Hits, "first hour": r.Times[0].Opens.Hits,
		"second hour": r.Times[1].Opens.Hits, "small link": r.Links[1].People.Hits, "the next smallest": r.Links[0].People.Hits} {
		if got != posthaste.Hidden {
			t.Errorf("%s: %d is told", name, got)
		}
	}
	if r.Opens.People.Hits != 47 || r.Links[2].People.Hits != 90 || r.Links[3].People.Hits != 0 || len(r.Regions) != 1 {
		t.Errorf("what is large is hidden: %+v", r)
	}
	// Days are made of what the hours were, and then concealed.
	long := posthaste.Report{Opens: posthaste.Measure{Mode: posthaste.TrackTotals}}
	for i := range 100 {
		long.Times = append(long.Times, posthaste.TimeFigure{From: start.Add(time.Duration(i) * time.Hour), Opens: figure(9)})
	}
	long = long.Told()
	if len(long.Times) != 5 || long.Step != 24*time.Hour || long.Times[1].Opens.Hits != 216 {
		t.Errorf("days: %+v", long.Times)
	}
	domains := posthaste.ToldDomains([]posthaste.DomainFigure{{Domain: "example.com", Mails: 500, MayOpen: 300, Opened: 100}, {Domain: "example.org", Mails: 50, MayOpen: 20, Opened: 12},
		{Domain: "example.net", Mails: 10, MayOpen: 1}, {Domain: "one.example", Mails: 2, MayOpen: 2, Opened: 2}})
	for i, want := range []int64{100, posthaste.Hidden, posthaste.Hidden, posthaste.Hidden} {
		if domains[i].Opened != want {
			t.Errorf("%+v, want %d opened", domains[i], want)
		}
	}
}
