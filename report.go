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
	Hours      []HourFigure   // since the first hit, those without one left out
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

// HourFigure is one hour of both kinds. Mails are counted in the hour of their first hit.
type HourFigure struct {
	From           time.Time
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

// hide leaves out what is too small to be told; of a campaign that counts totals
// that is every number.
func (m Measure) hide() Measure {
	if m.Mode != TrackTotals {
		return m
	}
	m.People, m.Machines = m.People.hide(), m.Machines.hide()
	classes := map[HitClass]Figure{}
	for class, f := range m.Classes {
		classes[class] = f.hide()
	}
	m.Classes = classes
	return m
}

// Hidden stands in the place of a count that is too small to be told.
const Hidden = -1

// hide leaves out both if there are few mails, or, where mails are not told apart, few hits.
func (f Figure) hide() Figure {
	if hide(f.Mails) == Hidden || hide(f.Hits) == Hidden {
		return Figure{Hidden, Hidden}
	}
	return f
}

func hide(n int64) int64 {
	if n > 0 && n < SmallestCount {
		return Hidden
	}
	return n
}

// WithoutSmall is the report without what could be told to be somebody: regions of
// few are together, if those are not few, and of totals every small number is Hidden.
func (r Report) WithoutSmall() Report {
	r.Opens, r.Clicks = r.Opens.hide(), r.Clicks.hide()
	for i, h := range r.Hours {
		if r.Opens.Mode == TrackTotals {
			h.Opens = h.Opens.hide()
		}
		if r.Clicks.Mode == TrackTotals {
			h.Clicks = h.Clicks.hide()
		}
		if r.Opens.Mode == TrackTotals || r.Clicks.Mode == TrackTotals {
			h.MachineFetches = hide(h.MachineFetches)
		}
		r.Hours[i] = h
	}
	for i, l := range r.Links {
		if r.Clicks.Mode == TrackTotals {
			r.Links[i].People, r.Links[i].MachineFetches = l.People.hide(), hide(l.MachineFetches)
		}
	}
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
	for i, g := range large {
		large[i].Opens, large[i].Clicks = g.Opens.hide(), g.Clicks.hide()
	}
	r.Regions = large
	return r
}

// size is how many a region is: mails, or hits where those are all that is counted.
func (g RegionFigure) size(opens, clicks TrackingMode) int64 {
	of := func(f Figure, mode TrackingMode) int64 {
		if mode == TrackTotals {
			return f.Hits
		}
		return f.Mails
	}
	return max(of(g.Opens, opens), of(g.Clicks, clicks))
}

func (f Figure) plus(g Figure) Figure { return Figure{f.Hits + g.Hits, f.Mails + g.Mails} }

// WithoutSmallDomains puts domains of few mails together, under no name.
func WithoutSmallDomains(all []DomainFigure) []DomainFigure {
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
	for i, d := range large {
		large[i].Opened, large[i].Clicked = hide(d.Opened), hide(d.Clicked)
	}
	return large
}
