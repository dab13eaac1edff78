package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/tracker/report"
)

// hostile is text that must not become anything else.
const hostile = `=HYPERLINK("https://evil.test")</title><script>alert(1)</script>&"'` + "\u202e"

func sample() posthaste.Report {
	start := time.Date(2026, 11, 2, 7, 0, 0, 0, time.UTC)
	r := posthaste.Report{CampaignID: 7, Name: "November " + hostile, State: posthaste.Sent, SentAt: start, OptedOut: 14,
		Counts: posthaste.Counts{Audience: 12_500, Accepted: 12_310, Bounced: 90, Suppressed: 80, Failed: 20},
		Opens: posthaste.Measure{Mode: posthaste.TrackIndividual, Borne: 5_200, People: posthaste.Figure{Hits: 3_900, Mails: 2_610}, Machines: posthaste.Figure{Hits: 4_100, Mails: 3_000},
			Classes: map[posthaste.HitClass]posthaste.Figure{posthaste.ByHuman: {Hits: 2_400, Mails: 1_700}}},
		Clicks: posthaste.Measure{Mode: posthaste.TrackIndividual, Borne: 4_800, People: posthaste.Figure{Hits: 610, Mails: 480}, Machines: posthaste.Figure{Hits: 900, Mails: 210}}}
	for i := range 60 {
		r.Times = append(r.Times, posthaste.TimeFigure{From: start.Add(time.Duration(i) * time.Hour), Opens: posthaste.Figure{Hits: int64(900 / (i + 1)), Mails: int64(700 / (i + 1))},
			Clicks: posthaste.Figure{Hits: int64(90 / (i + 1)), Mails: int64(80 / (i + 1))}, MachineFetches: int64(1_200 / (i*i + 1))})
	}
	for i := range 18 {
		r.Links = append(r.Links, posthaste.LinkFigure{Number: i + 1, URL: fmt.Sprintf("https://shop.example.com/books/a-rather-long-way-to-number-%d?from=mail", i+1),
			People: posthaste.Figure{Hits: int64(200 - i*10), Mails: int64(150 - i*8)}, MachineFetches: int64(50 - i)})
	}
	r.Links[3].URL = "https://example.com/" + hostile
	r.Regions = []posthaste.RegionFigure{{Region: "DE-BY", Opens: posthaste.Figure{Hits: 500, Mails: 400}, Clicks: posthaste.Figure{Hits: 90, Mails: 80}},
		{Region: "FR", Opens: posthaste.Figure{Hits: 90, Mails: 60}, Clicks: posthaste.Figure{Hits: posthaste.Hidden, Mails: posthaste.Hidden}}, {Opens: posthaste.Figure{Hits: 30, Mails: 22}}}
	r.Domains = []posthaste.DomainFigure{{Domain: "example.com", Mails: 9_000, Accepted: 8_950, Bounced: 30, MayOpen: 4_000, Opened: 2_000, MayClick: 3_500, Clicked: 300},
		{Domain: "", Mails: 3_500, Accepted: 3_360, Bounced: 60, MayOpen: 1_200, Opened: 610, MayClick: 1_300, Clicked: posthaste.Hidden}}
	return r
}

func file(tb testing.TB, r posthaste.Report, name string) string {
	tb.Helper()
	var out bytes.Buffer
	if err := (report.Files{}).Write(&out, r, name); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// variants are reports of every shape.
func variants() map[string]posthaste.Report {
	totals := sample()
	totals.Opens = posthaste.Measure{Mode: posthaste.TrackTotals, People: posthaste.Figure{Hits: 900}, Machines: posthaste.Figure{Hits: posthaste.Hidden, Mails: posthaste.Hidden}}
	totals.Clicks.Mode = posthaste.TrackNone
	long := sample()
	long.Times = append(long.Times, posthaste.TimeFigure{From: long.Times[0].From.Add(70 * 24 * time.Hour), Opens: posthaste.Figure{Hits: 1, Mails: 1}})
	one := sample()
	one.Times = one.Times[:1]
	return map[string]posthaste.Report{"individual": sample(), "totals": totals, "long": long, "one hour": one, "draft": {Name: "A draft", State: posthaste.Draft}}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, r := range variants() {
		for _, part := range report.Parts {
			lines, err := csv.NewReader(strings.NewReader(file(t, r, string(part)+".csv"))).ReadAll()
			if err != nil || len(lines) == 0 {
				t.Fatalf("%s %s: %v", name, part, err)
			}
			if table := report.TableOf(r, part); len(lines) != len(table.Rows)+1 || len(lines[0]) != len(table.Columns) {
				t.Errorf("%s %s: %d lines of %d", name, part, len(lines), len(lines[0]))
			}
			for _, line := range lines {
				for _, cell := range line {
					if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
						t.Errorf("%s %s: a spreadsheet would calculate %q", name, part, cell)
					}
				}
			}
		}
	}
	got := file(t, sample(), "regions.csv")
	if want := "Region,Opened,Clicked\r\nDE-BY,400,80\r\nFR,60,\r\nOthers,22,0\r\n"; got != want {
		t.Errorf("regions %q, want %q", got, want)
	}
	formula := sample()
	formula.Links = []posthaste.LinkFigure{{Number: 1, URL: "=1+1"}}
	if got := file(t, formula, "links.csv"); !strings.Contains(got, "\r\n'=1+1,0,0,0\r\n") {
		t.Errorf("links %q", got)
	}
}

func TestHoursBecomeDays(t *testing.T) {
	t.Parallel()
	table := report.TableOf(variants()["long"].Told(), report.Hours)
	if n := len(table.Rows); n < 70 || n > 72 || table.Rows[0].Name != "2026-11-02" {
		t.Errorf("%d rows from %s", n, table.Rows[0].Name)
	}
	var sum, want int64
	for _, row := range table.Rows {
		sum += row.Numbers[0]
	}
	for _, h := range variants()["long"].Times {
		want += h.Opens.Mails
	}
	if sum != want {
		t.Errorf("the days have %d, the hours %d", sum, want)
	}
}

// TestSVG holds every drawing to being XML that runs nothing and fetches nothing,
// and that tells its numbers to who cannot see it.
func TestSVG(t *testing.T) {
	t.Parallel()
	for name, r := range variants() {
		for _, part := range report.Parts {
			text := file(t, r, string(part)+".svg")
			decoder := xml.NewDecoder(strings.NewReader(text))
			var elements []string
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s %s: %v\n%s", name, part, err, text)
				}
				if e, ok := token.(xml.StartElement); ok {
					elements = append(elements, e.Name.Local)
					for _, a := range e.Attr {
						if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
							t.Errorf("%s %s: %s=%q", name, part, a.Name.Local, a.Value)
						}
					}
				}
			}
			for _, e := range elements {
				if !slices.Contains([]string{"svg", "title", "desc", "style", "rect", "text", "path"}, e) {
					t.Errorf("%s %s: <%s>", name, part, e)
				}
			}
			if !strings.Contains(text, `role="img"`) || !strings.Contains(text, "<desc id=") {
				t.Errorf("%s %s says nothing to a screen reader", name, part)
			}
		}
	}
	if text := file(t, sample(), "regions.svg"); !strings.Contains(text, "DE-BY: Opened 400, Clicked 80; FR: Opened 60, Clicked fewer than 10; Others: Opened 22, Clicked 0.") {
		t.Errorf("described as %s", text)
	}
}

// TestPageIsReadable looks at the page in Chromium: on a telephone and a desk, in
// the light and the dark, with an automated audit (WCAG 2.2 AA), and nothing wider
// than the window.
func TestPageIsReadable(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("../../templates/pages/testdata/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testkit.Browser(t)
	for name, r := range variants() {
		page := file(t, r, "page.html")
		if strings.Contains(page, "<script") {
			t.Errorf("%s: text became a script", name)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			_, _ = io.WriteString(w, page)
		}))
		for _, width := range []int64{360, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				testkit.Visit(t, ctx, server.URL, width, scheme)
				testkit.Evaluate[bool](t, ctx, "document.querySelectorAll('details').forEach(d => d.open = true); true")
				testkit.Evaluate[bool](t, ctx, string(axe)+"; true")
				faults, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})
					.then(found => found.violations.flatMap(rule => rule.nodes.map(node => rule.id + ' ' + node.target.join(' ') + ': ' + node.failureSummary)))`, chromedp.EvalAwaitPromise))
				if err != nil {
					t.Fatal(err)
				}
				for _, fault := range faults {
					t.Errorf("%s, %d px, %s: %s", name, width, scheme, fault)
				}
				if wide := testkit.Evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); wide > width {
					t.Errorf("%s is %d px wide in a window of %d", name, wide, width)
				}
				// No text of a drawing runs over its edge or over another on its line.
				if over := testkit.Evaluate[[]string](t, ctx, overlaps); len(over) > 0 {
					t.Errorf("%s, %d px: %v", name, width, over)
				}
			}
		}
		server.Close()
	}
}

const overlaps = `[...document.querySelectorAll('svg')].flatMap(svg => {
  const edge = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([name, box], i) => (box.right > edge.right + 1 || box.left < edge.left - 1 || box.bottom > edge.bottom + 1 ? [name + ' leaves the drawing'] : [])
    .concat(texts.slice(i + 1).filter(([, other]) => box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 2 && other.top < box.bottom - 2).map(([other]) => name + ' over ' + other)));
})`
