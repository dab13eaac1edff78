package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste/internal/testkit"
)

// TestTotalsNameNobody sends a campaign that counts totals: one pixel and one
// redirect are the same in every mail, nothing that is stored of a hit tells whose
// it was, whoever withdrew gets neither, and a number that is too small is not told.
func TestTotalsNameNobody(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		var people strings.Builder
		people.WriteString("email\n")
		for i := range 15 {
			fmt.Fprintf(&people, "p%d@example.com\n", i)
		}
		p.importCSV("weekly", people.String())
		for address, decision := range map[string]string{"p0@example.com": "given", "p1@example.com": "withdrawn"} {
			p.call("POST", "/recipients/"+address+"/consents", `{"purpose": "opens", "decision": "`+decision+`", "source": "form", "wording": "measure me"}`, 200, nil)
		}
		id := p.draft("Hello. [Read](https://example.com/read).", `, "tracking": {"opens": "totals", "clicks": "totals"}`)
		p.step(id, "schedule")
		p.untilSent(id)
		pixels, clicks := map[string]int{}, map[string]int{}
		for _, m := range sink.Messages() {
			in := readMessage(t, m.Data)
			open, click := in.find("/o/"), in.find("/c/")
			if m.To == "p1@example.com" && len(open) > 0 || m.To != "p1@example.com" && len(open) != 1 || len(click) != 1 {
				t.Fatalf("%s: %d pixels, %d links", m.To, len(open), len(click))
			}
			for _, url := range open {
				pixels[url]++
			}
			clicks[click[0]]++
		}
		if len(pixels) != 1 || len(clicks) != 1 {
			t.Fatalf("the mails have %d different pixels and %d different links", len(pixels), len(clicks))
		}
		for url := range pixels {
			for range 12 {
				p.get(url, 200)
			}
		}
		for url := range clicks {
			for range 9 {
				if to := p.get(url, 302); to != "https://example.com/read" {
					t.Fatalf("the link leads to %s", to)
				}
			}
		}
		var report struct {
			Opens, Clicks struct {
				Measurable int
				People     struct{ Mails, Hits *int }
			}
		}
		told := func(n *int) string { text, _ := json.Marshal(n); return string(text) }
		db := testkit.RawSQL(t, databaseOf(env))
		count := func(query string) (n int) {
			t.Helper()
			must(t, db.QueryRowContext(t.Context(), query).Scan(&n))
			return n
		}
		for deadline := time.Now().Add(time.Minute); count("SELECT count(*) FROM hits") < 21; { // opens and clicks may come apart
			if time.Now().After(deadline) {
				t.Fatal("the hits are not recorded")
			}
		}
		p.call("GET", fmt.Sprintf("/campaigns/%d/report", id), "", 200, &report)
		if opens := told(report.Opens.People.Hits); opens != "12" {
			t.Errorf("%s opens are told", opens)
		}
		if told(report.Clicks.People.Hits) != "null" || told(report.Opens.People.Mails) != "null" || report.Opens.Measurable != 0 {
			t.Errorf("clicks %s, mails %s, measurable %d", told(report.Clicks.People.Hits), told(report.Opens.People.Mails), report.Opens.Measurable)
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM hits": 21, "SELECT count(*) FROM hits WHERE number <> 0 OR recipient_id <> 0 OR network <> ''": 0, "SELECT count(*) FROM deliveries WHERE measured > 0": 0,
		} {
			if n := count(query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
	})
}
