package console_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"posthaste"
)

// paths are all pages there are, with hostile data behind each.
var paths = []string{
	"/console", "/console/", "/console/?before=12", "/console/campaigns/12", "/console/campaigns/12?state=failed", "/console/campaigns/12?live=no",
	"/console/outbox", "/console/outbox?before=plain", "/console/outbox/plain", "/console/outbox/broken", "/console/outbox/hostile",
	"/console/outbox/hostile?show=text", "/console/outbox/hostile?show=source", "/console/outbox/b%20c%252F%3Fd?show=html&width=360",
}

// soiled is a store and an outbox in which every text of a stranger is hostile.
func soiled() (store, outbox) {
	s, o := sending(), letters()
	for i := range s.campaigns {
		c := &s.campaigns[i]
		c.Name, c.From, c.ReplyTo, c.Subject, c.Layout, c.TimeZone = script, script, script, script, script, script
	}
	for i := range s.deliveries {
		r := &s.deliveries[i].Reply
		r.Text, r.Enhanced = script, script
	}
	for i := range o.messages {
		m := &o.messages[i]
		m.From, m.To, m.Subject = script, script, script
	}
	return s, o
}

// TestNothingForeignOnAnyPage holds every page to its headers and to elements
// that are the console's own, whatever the data says.
func TestNothingForeignOnAnyPage(t *testing.T) {
	t.Parallel()
	s, o := soiled()
	h := serve(t, "/console", s, o)
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			rec := get(t, h, path)
			if rec.Code != http.StatusOK {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			want := "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
			if got := rec.Header().Get("Content-Security-Policy"); got != want {
				t.Errorf("Content-Security-Policy: %s", got)
			}
			if got := rec.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %s", got)
			}
			if len(rec.Result().Cookies()) > 0 {
				t.Error("a cookie is set")
			}
			checkDocument(t, rec.Body.String())
		})
	}
}

func checkDocument(t *testing.T, page string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s has the attribute %s", n.Data, a.Key)
			}
			if (a.Key == "href" || a.Key == "src") && strings.Contains(a.Val, "//") {
				t.Errorf("%s leads to %q", n.Data, a.Val)
			}
			if n.Data == "iframe" && a.Key == "sandbox" && a.Val != "" {
				t.Errorf("the sandbox allows %q", a.Val)
			}
		}
	}
	for _, tag := range []string{"script", "img", "object", "form", "style", "base"} {
		if count[tag] > 0 {
			t.Errorf("the page has %d %s", count[tag], tag)
		}
	}
	if count["h1"] != 1 || count["main"] != 1 || count["title"] != 1 {
		t.Errorf("the page has %d h1, %d main, %d title; want one of each", count["h1"], count["main"], count["title"])
	}
}

func TestHome(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), nil)
	p := page(t, h, "/console/")
	wantText(t, p, `href="/console/campaigns/12"`, "November letter", "12,840", `class="state sending">sending`, `datetime="2026-11-23T12:00:00Z"`)
	wantNoText(t, p, "Nothing leaves", "/outbox", "Older")
	wantText(t, page(t, serve(t, "/console", sending(), letters()), "/console/"), "Nothing leaves this machine:", `href="/console/outbox"`)
	wantText(t, page(t, serve(t, "/console", store{}, nil), "/console/"), "There are no campaigns yet.")
}

func TestHomeAtTheRoot(t *testing.T) {
	t.Parallel()
	h := serve(t, "", sending(), letters())
	wantText(t, page(t, h, "/"), `href="/campaigns/12"`, `href="/assets/console.css?v=`, `href="/outbox"`)
}

// TestPages follows the links from page to page and wants every id once.
func TestPages(t *testing.T) {
	t.Parallel()
	var s store
	var o outbox
	o.raw = map[string]string{}
	for id := int64(60); id > 0; id-- {
		s.campaigns = append(s.campaigns, posthaste.Campaign{ID: id, Name: "n", State: posthaste.Draft})
	}
	for n := int64(1); n <= 230; n++ {
		s.deliveries = append(s.deliveries, posthaste.Delivery{Number: n, State: posthaste.Accepted})
		o.messages = append(o.messages, letters().messages[0])
		o.messages[n-1].ID = fmt.Sprintf("m %d&?", n)
	}
	s.counts = posthaste.Counts{Audience: 230, Accepted: 230}
	h := serve(t, "/console", s, o)
	for _, tt := range []struct {
		start, item string
		want        int
	}{
		{"/console/", `<th scope="row"><a href="/console/campaigns/(\d+)"`, 60},
		{"/console/campaigns/12?state=accepted", `Delivery </span>(\d+)</th>`, 230},
		{"/console/outbox", `<th scope="row"><a href="/console/outbox/m%20(\d+)&amp;%3F"`, 230},
	} {
		t.Run(tt.start, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			pages := 0
			for path := tt.start; path != ""; pages++ {
				p := page(t, h, path)
				for _, m := range regexp.MustCompile(tt.item).FindAllStringSubmatch(p, -1) {
					if seen[m[1]] {
						t.Fatalf("%s is listed twice", m[1])
					}
					seen[m[1]] = true
				}
				path = ""
				if m := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(p); m != nil {
					path = html.UnescapeString(m[1])
				}
			}
			if len(seen) != tt.want || pages < 2 {
				t.Errorf("%d items on %d pages, want %d on several", len(seen), pages, tt.want)
			}
		})
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	p := page(t, serve(t, "/console", sending(), nil), "/console/campaigns/12")
	for _, state := range posthaste.DeliveryStates {
		wantText(t, p, `<span class="swatch `+string(state)+`"`)
	}
	wantText(t, p, "the audience of 12,840: it adds up", `aria-valuemax="12840" aria-valuenow="9119"`, "9,119</strong> of 12,840 settled",
		`<td class="figure">8,655</td>`, "67.4 %", `<rect class="queued" x="0.00" y="0" width="241.43" height="10"/>`)
	wantNoText(t, p, "does not add up", `<rect class="cancelled"`)

	s := sending()
	s.counts.Failed--
	wantText(t, page(t, serve(t, "/console", s, nil), "/console/campaigns/12"), "does not add up: the audience is 12,840", "12,839")
	wantText(t, page(t, serve(t, "/console", store{campaigns: s.campaigns}, nil), "/console/campaigns/11"), "The audience is counted when sending begins.")
}

func TestCampaignShowsRepliesAndHits(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), nil)
	p := page(t, h, "/console/campaigns/12")
	wantText(t, p, "no such user here", "550 5.1.1", "connection closed before the answer", "mailbox is full", "2,310", "1,204", "322",
		"/console/campaigns/12?state=bounced&amp;after=309")
	wantNoText(t, page(t, h, "/console/campaigns/12?state=bounced"), "mailbox is full", "Ledger</h2>")
}

func TestReportOfACampaign(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), nil)
	wantText(t, page(t, h, "/console/campaigns/12"), `href="/console/campaigns/12/report/page.html"`)
	for name, want := range map[string]string{"page.html": ": report</title>", "domains.csv": "example.com,10,", "hours.svg": "</svg>"} {
		rec := get(t, h, "/console/campaigns/12/report/"+name)
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) || !strings.HasSuffix(rec.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v %s", name, rec.Code, rec.Header(), rec.Body)
		}
	}
	for _, path := range []string{"/console/campaigns/99/report/page.html", "/console/campaigns/x/report/page.html", "/console/campaigns/12/report/nonsense"} {
		if rec := get(t, h, path); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// TestRefresh wants the page to load itself again only while there is something
// to follow, and to leave it to the reader (WCAG 2.2 §2.2.2).
func TestRefresh(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), letters())
	const refresh = `<meta http-equiv="refresh" content="2">`
	wantText(t, page(t, h, "/console/campaigns/12"), refresh, `href="/console/campaigns/12?live=no"`)
	for _, path := range []string{"/console/campaigns/12?live=no", "/console/campaigns/12?state=failed", "/console/campaigns/11", "/console/campaigns/10",
		"/console/campaigns/9", "/console/campaigns/8", "/console/campaigns/7", "/console/", "/console/outbox"} {
		wantNoText(t, page(t, h, path), "http-equiv")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), letters())
	for _, tt := range []struct {
		path string
		want int
	}{
		{"/console/campaigns/99", http.StatusNotFound},
		{"/console/campaigns/x", http.StatusNotFound},
		{"/console/campaigns/99999999999999999999", http.StatusNotFound},
		{"/console/campaigns/12?state=lost", http.StatusUnprocessableEntity},
		{"/console/campaigns/12?after=-1", http.StatusUnprocessableEntity},
		{"/console/?before=x", http.StatusUnprocessableEntity},
		{"/console/outbox/none", http.StatusNotFound},
		{"/console/outbox/none/html", http.StatusNotFound},
		{"/console/outbox/plain/html", http.StatusNotFound},
		{"/console/outbox/plain?show=raw", http.StatusUnprocessableEntity},
		{"/console/outbox/plain?width=1", http.StatusUnprocessableEntity},
	} {
		if rec := get(t, h, tt.path); rec.Code != tt.want {
			t.Errorf("GET %s: %d, want %d", tt.path, rec.Code, tt.want)
		}
	}
	if rec := get(t, serve(t, "/console", sending(), nil), "/console/outbox"); rec.Code != http.StatusNotFound {
		t.Errorf("without an outbox its page answers %d, want 404", rec.Code)
	}
	s := sending()
	s.fault = errors.New("store is away")
	for _, path := range []string{"/console/", "/console/campaigns/12", "/console/campaigns/12?state=failed"} {
		if rec := get(t, serve(t, "/console", s, nil), path); rec.Code != http.StatusInternalServerError {
			t.Errorf("GET %s without a store: %d, want 500", path, rec.Code)
		}
	}
}

func TestOnlyGET(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), letters())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range paths {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
			if rec.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 405", method, path, rec.Code)
			}
		}
	}
}

func TestStylesheet(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), nil)
	m := regexp.MustCompile(`href="(/console/assets/console\.css\?v=[0-9a-f]{12})"`).FindStringSubmatch(page(t, h, "/console/"))
	if m == nil {
		t.Fatal("the page names no stylesheet")
	}
	rec := get(t, h, m[1])
	want, err := os.ReadFile("assets/console.css")
	if err != nil {
		t.Fatal(err)
	}
	if rec.Code != http.StatusOK || rec.Body.String() != string(want) || rec.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("stylesheet: %d %s, %d bytes", rec.Code, rec.Header().Get("Content-Type"), rec.Body.Len())
	}
}
