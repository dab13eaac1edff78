package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/console"
	"posthaste/tracker/report"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// store answers from its fields; a nil campaign list is an empty one.
type store struct {
	campaigns  []posthaste.Campaign // newest first
	counts     posthaste.Counts
	hits       posthaste.Hits
	deliveries []posthaste.Delivery // by number
	fault      error
}

func (s store) ListCampaigns(_ context.Context, before int64, limit int) ([]posthaste.Campaign, error) {
	var found []posthaste.Campaign
	for _, c := range s.campaigns {
		if (before == 0 || c.ID < before) && len(found) < limit {
			found = append(found, c)
		}
	}
	return found, s.fault
}

func (s store) FindCampaign(_ context.Context, id int64) (posthaste.Campaign, error) {
	for _, c := range s.campaigns {
		if c.ID == id {
			return c, s.fault
		}
	}
	return posthaste.Campaign{}, &posthaste.Error{Kind: posthaste.NotFound, Message: "no such campaign"}
}

func (s store) CountDeliveries(context.Context, int64) (posthaste.Counts, error) {
	return s.counts, s.fault
}

func (s store) CountHits(context.Context, int64) (posthaste.Hits, error) { return s.hits, s.fault }

func (s store) FindReport(ctx context.Context, id int64) (posthaste.Report, error) {
	c, err := s.FindCampaign(ctx, id)
	return posthaste.Report{CampaignID: id, Name: c.Name, Counts: s.counts}, err
}

func (s store) ListDomains(context.Context, int64) ([]posthaste.DomainFigure, error) {
	return []posthaste.DomainFigure{{Domain: "example.com", Mails: 10}}, s.fault
}

func (s store) Audit(context.Context, string, string, ...string) error { return s.fault }

func (s store) ListDeliveries(_ context.Context, _ int64, state posthaste.DeliveryState, after int64, limit int) ([]posthaste.Delivery, error) {
	var found []posthaste.Delivery
	for _, d := range s.deliveries {
		if (state == "" || d.State == state) && d.Number > after && len(found) < limit {
			found = append(found, d)
		}
	}
	return found, s.fault
}

// outbox holds messages newest first, and their bytes by id.
type outbox struct {
	messages []console.OutboxMessage
	raw      map[string]string
}

func (o outbox) List(before string, limit int) ([]console.OutboxMessage, error) {
	past := before == ""
	var found []console.OutboxMessage
	for _, m := range o.messages {
		if past && len(found) < limit {
			found = append(found, m)
		}
		past = past || m.ID == before
	}
	return found, nil
}

func (o outbox) Read(id string) ([]byte, error) {
	raw, ok := o.raw[id]
	if !ok {
		return nil, &posthaste.Error{Kind: posthaste.NotFound, Message: "no such message"}
	}
	return []byte(raw), nil
}

// sending is a store with one campaign in the middle of its sending.
func sending() store {
	s := store{
		campaigns: []posthaste.Campaign{
			{ID: 12, Name: "November letter", TopicID: 3, From: "Harbour & Lane Books <news@example.com>", Subject: "Four books for long evenings",
				Format: posthaste.Markdown, Layout: "letter", State: posthaste.Sending, SendAt: noon, TimeZone: "Europe/Lisbon", Audience: 12_840,
				Tracking: posthaste.Tracking{Opens: posthaste.TrackIndividual, Clicks: posthaste.TrackNone}, CreatedAt: noon.Add(-48 * time.Hour), FrozenAt: noon},
			{ID: 11, Name: "Winter programme", Subject: "What is on at the shop", State: posthaste.Draft, CreatedAt: noon},
			{ID: 10, Name: "Members' evening", Subject: "You are invited", State: posthaste.Scheduled, SendAt: noon.Add(72 * time.Hour)},
			{ID: 9, Name: "October letter", Subject: "The light is going", State: posthaste.Sent, SendAt: noon.Add(-30 * 24 * time.Hour), Audience: 12_611, FrozenAt: noon},
			{ID: 8, Name: "Stock taking", Subject: "Closed on Monday", State: posthaste.CampaignCancelled, SendAt: noon.Add(-40 * 24 * time.Hour), Audience: 12_590, FrozenAt: noon},
			{ID: 7, Name: "September letter", Subject: "New shelves", State: posthaste.Paused, SendAt: noon.Add(-60 * 24 * time.Hour), Audience: 12_301, FrozenAt: noon},
		},
		counts: posthaste.Counts{Audience: 12_840, Queued: 3_100, Claimed: 500, Accepted: 8_655, Deferred: 121, Bounced: 38, Failed: 9, Suppressed: 412, Uncertain: 5},
		hits:   posthaste.Hits{Measurable: 2_310, Opened: 1_204, Clicked: 322},
	}
	for i := range 5 {
		s.deliveries = append(s.deliveries, posthaste.Delivery{Number: int64(100 + i), RecipientID: int64(7000 + i), State: posthaste.Uncertain, Attempts: 1, ChangedAt: noon,
			Reply: posthaste.Reply{Stage: posthaste.AtDot, Text: "connection closed before the answer"}})
	}
	for i := range 9 {
		s.deliveries = append(s.deliveries, posthaste.Delivery{Number: int64(200 + i), RecipientID: int64(8000 + i), State: posthaste.Failed, Attempts: 4, ChangedAt: noon,
			Reply: posthaste.Reply{Stage: posthaste.AtRcpt, Code: 452, Enhanced: "4.2.2", Text: "mailbox is full, try again when its owner has made room"}})
	}
	for i := range 38 {
		s.deliveries = append(s.deliveries, posthaste.Delivery{Number: int64(300 + i), RecipientID: int64(9000 + i), State: posthaste.Bounced, Attempts: 1, ChangedAt: noon,
			Reply: posthaste.Reply{Stage: posthaste.AtRcpt, Code: 550, Enhanced: "5.1.1", Text: "no such user here"}})
	}
	return s
}

// letters is an outbox with one message of each sort.
func letters() outbox {
	o := outbox{raw: map[string]string{"b c%2F?d": mixed, "plain": plain, "broken": "no header at all", "hostile": hostileMail}}
	for i, id := range []string{"b c%2F?d", "plain", "broken", "hostile"} {
		o.messages = append(o.messages, console.OutboxMessage{ID: id, From: "Harbour & Lane Books <news@example.com>", To: fmt.Sprintf("reader%d@example.com", i),
			Subject: "Four books for long evenings", At: noon, Size: int64(len(o.raw[id]))})
	}
	return o
}

const plain = "From: news@example.com\r\nTo: ines@example.com\r\nSubject: =?utf-8?q?Ol=C3=A1?=\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nA letter without a picture.\r\n"

const mixed = "From: Harbour & Lane Books <news@example.com>\r\nTo: ines@example.com\r\nSubject: Four books for long evenings\r\n" +
	"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nList-Unsubscribe: <https://example.com/u/1>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n" +
	"--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n" +
	"--a\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nDear In=EAs, the text part.\r\n" +
	"--a\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"<!DOCTYPE html><html lang=3D\"en\"><title>x</title><body style=3D\"margin:0;padding:32px;font:17px sans-serif;background:#fff;color:#222\"><h1 id=3D\"seen\">Four books</h1><p>Dear In=C3=AAs, the HTML part.</p></body></html>\r\n" +
	"--a--\r\n" +
	"--m\r\nContent-Type: text/calendar\r\nContent-Disposition: attachment; filename=\"evening.ics\"\r\nContent-Transfer-Encoding: base64\r\n\r\nQkVHSU4=\r\n" +
	"--m--\r\n"

// script would run wherever it stood unescaped.
const script = `</title></style></pre>"'><script>document.title='ran'</script><img src=x onerror="document.title='ran'">`

const hostileMail = "From: \"<script>document.title='ran'</script>\" <news@example.com>\r\nTo: a@example.com\r\nSubject: " + script + "\r\nX-Odd: " + script + "\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n\r\n" +
	`<html><head><meta http-equiv="refresh" content="0;url=https://outside.test/"><base href="https://outside.test/"><link rel="stylesheet" href="https://outside.test/x.css"></head>` +
	`<body onload="parent.document.title='ran'"><h1 id="seen">Hostile</h1><script>document.title='ran';top.document.title='ran';document.body.id='ran'</script>` +
	`<img src="https://outside.test/pixel.gif" onerror="document.body.id='ran'"><form action="https://outside.test/"><input name="a"><button>Send</button></form></body></html>` + "\r\n"

// serve is the console at /console, with an error handler that tells kinds apart.
func serve(t *testing.T, prefix string, s console.Store, o console.Outbox) http.Handler {
	t.Helper()
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		if fault, ok := errors.AsType[*posthaste.Error](err); ok {
			status = map[posthaste.Kind]int{posthaste.NotFound: http.StatusNotFound, posthaste.Invalid: http.StatusUnprocessableEntity}[fault.Kind]
		}
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			status = he.Code
		}
		if werr := c.String(status, err.Error()); werr != nil {
			t.Errorf("write error: %v", werr)
		}
	}
	reports, _ := s.(console.Reports)
	console.Register(e.Group(prefix), console.Parts{Store: s, Reports: reports, Files: report.Files{}, Outbox: o})
	return e
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

// page gets a page that has to be there.
func page(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	rec := get(t, h, path)
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func wantText(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
}

func wantNoText(t *testing.T, page string, unwanted ...string) {
	t.Helper()
	for _, not := range unwanted {
		if strings.Contains(page, not) {
			t.Errorf("the page contains %q", not)
		}
	}
}
