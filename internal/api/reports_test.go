package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/tracker/machine"
)

// opened has the one person of a campaign that is being sent open its mail.
func (h *house) opened() posthaste.Campaign {
	h.tb.Helper()
	ctx := h.tb.Context()
	c := h.addDraft()
	c.Tracking = posthaste.Tracking{Opens: posthaste.TrackIndividual, Clicks: posthaste.TrackTotals}
	c, err := h.store.SaveCampaign(ctx, c)
	must(h.tb, err)
	_, err = h.store.Schedule(ctx, c.ID, c.Version, time.Now(), "UTC", []string{"https://example.com/a"})
	must(h.tb, err)
	c, err = h.store.Freeze(ctx, c.ID)
	must(h.tb, err)
	chunks, err := h.store.QueueReady(ctx, time.Now(), 10)
	must(h.tb, err)
	_, err = h.store.TakeChunk(ctx, chunks[0], "w")
	must(h.tb, err)
	mails, err := h.store.Claim(ctx, chunks[0], "w", nil, 100)
	must(h.tb, err)
	must(h.tb, h.store.Release(ctx, chunks[0], "w", []posthaste.Outcome{{Number: mails[0].Number, RecipientID: mails[0].Recipient.ID, State: posthaste.Accepted, At: time.Now(), Measured: posthaste.MeasuredOpens}}))
	must(h.tb, h.store.RecordConsents(ctx, []posthaste.Consent{{RecipientID: mails[0].Recipient.ID, Purpose: posthaste.ForOpens, Decision: posthaste.Given, Channel: posthaste.ByPreferences}}))
	rules, err := machine.Load("")
	must(h.tb, err)
	hits := []posthaste.Hit{{ID: posthaste.NewHitID(time.Now()), Kind: posthaste.Open, CampaignID: c.ID, Number: mails[0].Number, RecipientID: mails[0].Recipient.ID, Agent: "browser", Region: "MT", At: time.Now()}}
	for range 9 {
		hits = append(hits, posthaste.Hit{ID: posthaste.NewHitID(time.Now()), Kind: posthaste.Click, CampaignID: c.ID, Link: 1, Agent: "browser", At: time.Now()})
	}
	must(h.tb, h.store.RecordHits(ctx, hits, rules))
	return c
}

func TestReportTells(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.opened()
	var got struct {
		Opens, Clicks struct {
			Mode       string
			Measurable int
			Rate       *float64
			Share      *float64 `json:"measurable_share"`
			People     struct{ Mails, Hits *int }
		}
		Links   []struct{ People struct{ Hits *int } }
		Regions []any
		Domains []any
	}
	w := h.do(call{method: http.MethodGet, path: fmt.Sprintf("/api/v1/campaigns/%d/report?domains=true", c.ID)})
	must(t, json.Unmarshal(w.Body.Bytes(), &got))
	if o := got.Opens; o.Mode != "individual" || o.Measurable != 1 || *o.Rate != 1 || *o.Share != 1 || *o.People.Mails != 1 || *o.People.Hits != 1 {
		t.Errorf("opens: %s", w.Body)
	}
	// Nine clicks of nobody are too few to be told, one person's region is as well.
	if k := got.Clicks; k.Mode != "totals" || k.Rate != nil || k.Share != nil || k.People.Mails != nil || k.People.Hits != nil || got.Links[0].People.Hits != nil || len(got.Regions) != 0 {
		t.Errorf("clicks: %s", w.Body)
	}
	if len(got.Domains) != 1 || strings.Contains(w.Body.String(), `"domain":"example.com"`) {
		t.Errorf("domains: %s", w.Body)
	}
}

func TestReportFiles(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.opened()
	for name, want := range map[string]struct{ kind, text string }{
		"page.html":   {"text/html; charset=utf-8", "<title>May: report</title>"},
		"links.csv":   {"text/csv; charset=utf-8", "Link,Clicks,Fetches not by people\r\nhttps://example.com/a,,0\r\n"},
		"hours.svg":   {"image/svg+xml", "</svg>"},
		"domains.csv": {"text/csv; charset=utf-8", "Others,1,1,0,1,"},
	} {
		w := h.do(call{method: http.MethodGet, path: fmt.Sprintf("/api/v1/campaigns/%d/report/%s", c.ID, name)})
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want.kind || !strings.Contains(w.Body.String(), want.text) ||
			w.Header().Get("Content-Security-Policy") != "default-src 'none'; style-src 'unsafe-inline'; sandbox" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	w := h.do(call{method: http.MethodGet, path: "/api/v1/topics/weekly/reports/campaigns.csv"})
	if want := "Campaign,Accepted,Opened,Clicked,Unsubscribed,May be counted: opens,May be counted: clicks\r\n" + time.Now().UTC().Format("2006-01-02") + " May,1,1,,0,1,0\r\n"; w.Body.String() != want {
		t.Errorf("campaigns of the topic: %q, want %q", w.Body, want)
	}
	for _, name := range []string{"nonsense.csv", "hours", "hours.html", "..%2fhours.csv"} {
		if w := h.do(call{method: http.MethodGet, path: fmt.Sprintf("/api/v1/campaigns/%d/report/%s", c.ID, name)}); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := h.do(call{method: http.MethodGet, path: fmt.Sprintf("/api/v1/campaigns/%d/report?domain=true", c.ID)}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"domain"`) {
		t.Errorf("a mistyped parameter: %d %s", w.Code, w.Body)
	}
}
