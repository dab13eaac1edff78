// Package report writes what became of a campaign: as tables (CSV), as plots
// (SVG, light and dark, readable on a telephone) and as one page of both, on which
// every plot stands beside its table. It is given posthaste.Report and decides
// nothing about it: what is too small to be told is hidden there.
package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthaste"
)

// Part is a part of a report.
type Part string

// The parts.
const (
	Summary Part = "summary"
	Hours   Part = "hours"
	Links   Part = "links"
	Regions Part = "regions"
	Domains Part = "domains" // needs Report.Domains

	// Campaigns is of a topic, not of a campaign.
	Campaigns Part = "campaigns"
)

// Parts lists those of a campaign, in the order of the page.
var Parts = []Part{Summary, Hours, Links, Regions, Domains}

// Table is a part in words and numbers.
type Table struct {
	Part    Part
	Title   string
	Note    string // what the numbers mean, and do not
	Columns []string
	Rows    []Row
}

// Row is one line: what it is about, and a number for each other column. A
// number that is Hidden or None is shown as words.
type Row struct {
	Name    string
	Numbers []int64
}

// None stands in the place of a number that there cannot be.
const None = -2

// fewer is shown for posthaste.Hidden.
var fewer = fmt.Sprintf("fewer than %d", posthaste.SmallestCount)

// Text is a number as it is shown.
func Text(n int64) string {
	switch n {
	case posthaste.Hidden:
		return fewer
	case None:
		return "–"
	}
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// TableOf makes the table of a part.
func TableOf(r posthaste.Report, part Part) Table {
	t := Table{Part: part}
	switch part {
	case Summary:
		t.summary(r)
	case Hours:
		t.hours(r)
	case Links:
		t.links(r)
	case Regions:
		t.regions(r)
	case Domains:
		t.domains(r)
	}
	return t
}

// mails is the number that is about people: of totals only fetches are known.
func mails(f posthaste.Figure, m posthaste.Measure) int64 {
	switch m.Mode {
	case posthaste.TrackIndividual:
		return f.Mails
	case posthaste.TrackTotals:
		return f.Hits
	}
	return None
}

// what names that number.
func what(m posthaste.Measure, individual, totals string) string {
	if m.Mode == posthaste.TrackTotals {
		return totals
	}
	return individual
}

func (t *Table) summary(r posthaste.Report) {
	t.Title = "What became of it"
	t.Columns = []string{"What", "Mails"}
	add := func(name string, n int64) { t.Rows = append(t.Rows, Row{name, []int64{n}}) }
	add("To be sent", r.Counts.Audience)
	add("Accepted by the next mail server", r.Counts.Accepted)
	add("Bounced", r.Counts.Bounced)
	add("Not sent: opted out or stopped", r.Counts.Suppressed)
	add("Not sent: failed, cancelled or uncertain", r.Counts.Failed+r.Counts.Cancelled+r.Counts.Uncertain)
	add("Still to be sent", r.Counts.Open())
	add("Unsubscribed by its link", r.OptedOut)
	for _, k := range []struct {
		m                posthaste.Measure
		may, did, totals string
	}{{r.Opens, "Whose opening may be counted", "Opened", "Opens, in all"}, {r.Clicks, "Whose clicks may be counted", "Clicked", "Clicks, in all"}} {
		if k.m.Mode == posthaste.TrackIndividual {
			add(k.may, k.m.Borne)
		}
		if k.m.Mode != posthaste.TrackNone {
			add(what(k.m, k.did, k.totals), mails(k.m.People, k.m))
			add(what(k.m, k.did, k.totals)+", not by people", mails(k.m.Machines, k.m))
		}
	}
	t.Note = "Opens and clicks are those of people who allow them to be counted; nothing is concluded about the others. What is not by people is by programs that fetch pictures or follow links ahead of them, or instead of them, or nothing tells."
}

// mostSteps is how many rows there can be for steps without a hit to have one too.
const mostSteps = 100

func (t *Table) hours(r posthaste.Report) {
	t.Title = "Over time"
	t.Note = "Each mail is counted where it was opened, or a link of it followed, for the first time (UTC)."
	t.Columns = []string{"From", what(r.Opens, "Opened", "Opens"), what(r.Clicks, "Clicked", "Clicks"), "Fetches not by people"}
	layout := "2006-01-02 15:04"
	if r.Step > time.Hour {
		layout = "2006-01-02"
	}
	gaps := len(r.Times) > 0 && r.Times[len(r.Times)-1].From.Sub(r.Times[0].From) < mostSteps*r.Step
	for i, h := range r.Times {
		if gaps && i > 0 {
			for from := r.Times[i-1].From.Add(r.Step); from.Before(h.From); from = from.Add(r.Step) {
				t.Rows = append(t.Rows, Row{from.Format(layout), []int64{mails(posthaste.Figure{}, r.Opens), mails(posthaste.Figure{}, r.Clicks), 0}})
			}
		}
		t.Rows = append(t.Rows, Row{h.From.Format(layout), []int64{mails(h.Opens, r.Opens), mails(h.Clicks, r.Clicks), h.MachineFetches}})
	}
}

func (t *Table) links(r posthaste.Report) {
	t.Title = "By link"
	t.Note = "How many mails had the link followed, and how often it was."
	t.Columns = []string{"Link", "Clicked", "Clicks", "Fetches not by people"}
	if r.Clicks.Mode == posthaste.TrackTotals {
		t.Columns = slices.Delete(t.Columns, 1, 2)
	}
	for _, l := range r.Links {
		numbers := []int64{l.People.Mails, l.People.Hits, l.MachineFetches}
		if r.Clicks.Mode == posthaste.TrackTotals {
			numbers = numbers[1:]
		}
		t.Rows = append(t.Rows, Row{l.URL, numbers})
	}
}

// TableOfTopic makes the table of a topic's campaigns, which are given newest first.
func TableOfTopic(reports []posthaste.Report) Table {
	t := Table{Part: Campaigns, Title: "Campaigns over time", Note: "Opens and clicks are those of people who allow them to be counted; of totals, how often.",
		Columns: []string{"Campaign", "Accepted", "Opened", "Clicked", "Unsubscribed", "May be counted: opens", "May be counted: clicks"}}
	for _, r := range slices.Backward(reports) {
		t.Rows = append(t.Rows, Row{r.SentAt.UTC().Format("2006-01-02") + " " + r.Name, []int64{r.Counts.Accepted, mails(r.Opens.People, r.Opens), mails(r.Clicks.People, r.Clicks), r.OptedOut,
			r.Opens.Borne, r.Clicks.Borne}})
	}
	return t
}

func (t *Table) regions(r posthaste.Report) {
	t.Title = "By region"
	t.Note = "Country or state (ISO 3166), as far as the network tells; of those whose provider fetches for them it is not known. " + strings.ToUpper(fewer[:1]) + fewer[1:] + " are not told."
	t.Columns = []string{"Region", what(r.Opens, "Opened", "Opens"), what(r.Clicks, "Clicked", "Clicks")}
	for _, g := range r.Regions {
		name := g.Region
		if name == "" {
			name = "Others"
		}
		t.Rows = append(t.Rows, Row{name, []int64{mails(g.Opens, r.Opens), mails(g.Clicks, r.Clicks)}})
	}
}

func (t *Table) domains(r posthaste.Report) {
	t.Title = "By mail domain"
	t.Note = "Domains of few mails are together."
	t.Columns = []string{"Domain", "Mails", "Accepted", "Bounced", "May be counted: opens", "Opened", "May be counted: clicks", "Clicked"}
	individual := func(n int64, m posthaste.Measure) int64 {
		if m.Mode != posthaste.TrackIndividual {
			return None
		}
		return n
	}
	for _, d := range r.Domains {
		name := d.Domain
		if name == "" {
			name = "Others"
		}
		t.Rows = append(t.Rows, Row{name, []int64{d.Mails, d.Accepted, d.Bounced, individual(d.MayOpen, r.Opens), individual(d.Opened, r.Opens),
			individual(d.MayClick, r.Clicks), individual(d.Clicked, r.Clicks)}})
	}
}
