package posthaste

import "time"

// SmallestCount is the least number of opens or clicks that a report gives of a
// region or a mail domain: fewer could be told to be somebody. Of a campaign that
// counts totals it holds for every number.
const SmallestCount = 10

// Report is what became of one campaign. Opens and clicks of people stand first;
// what machines fetched is apart, and never part of a rate. Nothing is said of
// recipients who do not allow to be measured: no figure is extrapolated.
type Report struct {
	CampaignID int64
	Name       string
	State      CampaignState
	SentAt     time.Time // its freeze; zero before
	Counts     Counts
	OptedOut   int64 // by the mail's own unsubscribe link
	Opens      Measure
	Clicks     Measure
	Step       time.Duration  // an hour, or, once there is more than three days to tell of, a day
	Times      []TimeFigure   // steps since the first hit, those without one left out
	Links      []LinkFigure   // all of the campaign's, in their order
	Regions    []RegionFigure // of people whose region is known, most first; small ones are together, last
	Domains    []DomainFigure // most mails first; nil where they were not asked for
}

// Measure is what one kind of beacon tells.
type Measure struct {
	Mode     TrackingMode
	Borne    int64 // accepted mails that bore a beacon of their own: their recipients allow it
	People   Figure
	Machines Figure
	Classes  map[HitClass]Figure
}

// Figure counts fetches, and the mails that had any: of totals, hits alone.
type Figure struct {
	Hits  int64
	Mails int64
}

// TimeFigure is one step of both kinds. Mails are counted in that of their first hit.
type TimeFigure struct {
	From           time.Time // UTC
	Opens, Clicks  Figure
	MachineFetches int64
}

// LinkFigure is one link of a campaign.
type LinkFigure struct {
	Number         int
	URL            string
	People         Figure
	MachineFetches int64
}

// RegionFigure is a country or region (ISO 3166). Mails are counted where they
// were opened or followed first.
type RegionFigure struct {
	Region string // empty: all that are too small to be named
	Opens  Figure
	Clicks Figure
}

// DomainFigure is what became of a campaign's mails to one mail domain.
type DomainFigure struct {
	Domain   string // empty: all that are too small to be named, and those whose recipients are erased
	Mails    int64
	Accepted int64
	Bounced  int64
	MayOpen  int64 // accepted mails that bore an open beacon of their own
	Opened   int64
	MayClick int64
	Clicked  int64
}

// Hidden stands in the place of a count that is too small to be told.
const Hidden = -1

func small(n int64) bool { return n > 0 && n < SmallestCount }

// conceal hides the small ones of numbers whose sum is known, or may be: when it
// would be one alone, the next smallest with it, so that it cannot be calculated.
func conceal(numbers ...*int64) {
	hidden := 0
	var next *int64
	for _, n := range numbers {
		switch {
		case small(*n):
			*n = Hidden
			hidden++
		case *n > 0 && (next == nil || *n < *next):
			next = n
		}
	}
	if hidden == 1 && next != nil {
		*next = Hidden
	}
}

// concealEach is conceal of the hits of figures. Where hits are hidden mails are as well.
func concealEach(figures []*Figure) {
	numbers := make([]*int64, len(figures))
	for i, f := range figures {
		numbers[i] = &f.Hits
	}
	conceal(numbers...)
	for _, f := range figures {
		if f.Hits == Hidden {
			f.Mails = Hidden
		}
	}
}

// hourly is for how long a report tells of hours.
const hourly = 72 * time.Hour

// Told is the report as it is given to anybody: of days, once hours are too many,
// and without what could be told to be somebody. Regions of few are together, if
// those are not few; of totals every small number is Hidden.
func (r Report) Told() Report {
	r.byStep()
	if r.Opens.Mode == TrackTotals {
		r.concealTotals(&r.Opens, func(t *TimeFigure) *Figure { return &t.Opens })
	}
	if r.Clicks.Mode == TrackTotals {
		r.concealTotals(&r.Clicks, func(t *TimeFigure) *Figure { return &t.Clicks })
		var links []*Figure
		var machines []*int64
		for i := range r.Links {
			links, machines = append(links, &r.Links[i].People), append(machines, &r.Links[i].MachineFetches)
		}
		concealEach(links)
		conceal(machines...)
	}
	r.tellRegions()
	return r
}

// byStep makes days of hours when there are too many.
func (r *Report) byStep() {
	r.Step = time.Hour
	if n := len(r.Times); n == 0 || r.Times[n-1].From.Sub(r.Times[0].From) <= hourly {
		return
	}
	r.Step = 24 * time.Hour
	var days []TimeFigure
	for _, h := range r.Times {
		day := h.From.Truncate(r.Step)
		if n := len(days); n == 0 || !days[n-1].From.Equal(day) {
			days = append(days, TimeFigure{From: day})
		}
		d := &days[len(days)-1]
		d.Opens, d.Clicks, d.MachineFetches = d.Opens.plus(h.Opens), d.Clicks.plus(h.Clicks), d.MachineFetches+h.MachineFetches
	}
	r.Times = days
}

func (r *Report) concealTotals(m *Measure, of func(*TimeFigure) *Figure) {
	figures := make([]Figure, len(HitClasses))
	all := make([]*Figure, len(HitClasses))
	for i, class := range HitClasses {
		figures[i], all[i] = m.Classes[class], &figures[i]
	}
	concealEach(all)
	m.Classes = map[HitClass]Figure{}
	for i, class := range HitClasses {
		if figures[i].Hits != 0 {
			m.Classes[class] = figures[i]
		}
	}
	concealEach([]*Figure{&m.People, &m.Machines})
	var steps []*Figure
	var machines []*int64
	for i := range r.Times {
		steps, machines = append(steps, of(&r.Times[i])), append(machines, &r.Times[i].MachineFetches)
	}
	concealEach(steps)
	conceal(machines...)
}

func (r *Report) tellRegions() {
	var large []RegionFigure
	var rest RegionFigure
	for _, g := range r.Regions {
		if g.size(r.Opens.Mode, r.Clicks.Mode) >= SmallestCount {
			large = append(large, g)
			continue
		}
		rest.Opens, rest.Clicks = rest.Opens.plus(g.Opens), rest.Clicks.plus(g.Clicks)
	}
	if rest.size(r.Opens.Mode, r.Clicks.Mode) >= SmallestCount {
		large = append(large, rest)
	}
	for i := range large {
		for _, k := range []struct {
			f    *Figure
			mode TrackingMode
		}{{&large[i].Opens, r.Opens.Mode}, {&large[i].Clicks, r.Clicks.Mode}} {
			if small(sizeOf(*k.f, k.mode)) {
				*k.f = Figure{Hidden, Hidden}
			}
		}
	}
	r.Regions = large
}

// size is how many a region is.
func (g RegionFigure) size(opens, clicks TrackingMode) int64 {
	return max(sizeOf(g.Opens, opens), sizeOf(g.Clicks, clicks))
}

// sizeOf is how many mails, or hits where those are all that is counted.
func sizeOf(f Figure, mode TrackingMode) int64 {
	if mode == TrackTotals {
		return f.Hits
	}
	return f.Mails
}

func (f Figure) plus(g Figure) Figure { return Figure{f.Hits + g.Hits, f.Mails + g.Mails} }

// ToldDomains puts domains of few mails together, under no name, and hides the opens
// and clicks of those in which few allow them to be counted.
func ToldDomains(all []DomainFigure) []DomainFigure {
	var large []DomainFigure
	var rest DomainFigure
	for _, d := range all {
		if d.Domain != "" && d.Mails >= SmallestCount {
			large = append(large, d)
			continue
		}
		rest.Mails, rest.Accepted, rest.Bounced = rest.Mails+d.Mails, rest.Accepted+d.Accepted, rest.Bounced+d.Bounced
		rest.MayOpen, rest.Opened = rest.MayOpen+d.MayOpen, rest.Opened+d.Opened
		rest.MayClick, rest.Clicked = rest.MayClick+d.MayClick, rest.Clicked+d.Clicked
	}
	if rest.Mails > 0 {
		large = append(large, rest)
	}
	var opened, clicked []*int64
	for i := range large {
		d := &large[i]
		opened, clicked = append(opened, &d.Opened), append(clicked, &d.Clicked)
	}
	conceal(opened...)
	conceal(clicked...)
	for i := range large {
		d := &large[i]
		if small(d.MayOpen) {
			d.Opened = Hidden
		}
		if small(d.MayClick) {
			d.Clicked = Hidden
		}
	}
	return large
}
