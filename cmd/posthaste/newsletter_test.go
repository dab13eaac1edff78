package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"

	"posthaste"
	"posthaste/internal/testkit"
)

// messy is a file as people upload them.
const messy = "\ufeffE-Mail;Full Name;Language;Time Zone;City\r\n" +
	"ada@example.com;Ada;en;Europe/London;London\r\n" +
	"\"ben@example.com\";\"Ben \"\"the\"\" Second\";de;Europe/Berlin;\"Köln;\r\nam Rhein\"\r\n" +
	"cy@bücher.example;Cy;fr;Europe/Paris;Paris\r\n" +
	"dee@example.com;<script>alert(1)</script>;en;;\r\n" +
	"ed@example.com;{{ links.unsubscribe }};en;;\r\n" +
	"ADA@example.com;Ada Lovelace;en;Europe/London;London\r\n" +
	"flo@example.com;Flo;en;;\r\n" +
	"not an address;X;en;;\r\n" +
	"gil@example.com;\"Gil\r\nBcc: all@example.com\";en;;\r\n" +
	"hal@example.com;Hal;xx-notalanguage;;\r\n" +
	"ida@example.com;Ida;en;Mars/Olympus;\r\n"

const letterBody = "# Hello {{ recipient.name }}\n\n" +
	"{% if recipient.attributes.city != blank %}Greetings to {{ recipient.attributes.city }}.{% endif %}\n\n" +
	"[Read](https://example.com/read?a=1&b=2) or [listen](https://example.com/listen).\n"

// inbox is a message as its recipient's program would read it.
type inbox struct {
	header mail.Header
	text   string
	html   string
	raw    string
}

func readMessage(tb testing.TB, raw []byte) inbox {
	tb.Helper()
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		tb.Fatalf("a message cannot be parsed: %v\n%s", err, raw)
	}
	in := inbox{header: r.Header, raw: string(raw)}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return in
		}
		if err != nil {
			tb.Fatal(err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			tb.Fatal(err)
		}
		kind := part.Header.Get("Content-Type")
		switch {
		case strings.HasPrefix(kind, "text/plain"):
			in.text = string(body)
		case strings.HasPrefix(kind, "text/html"):
			in.html = string(body)
		default:
			tb.Fatalf("unexpected part %s", kind)
		}
	}
}

// unsubscribeURL is the one-click URL in the header.
func (in inbox) unsubscribeURL(tb testing.TB) string {
	tb.Helper()
	found := regexp.MustCompile(`^<(http[^<>,]+)>$`).FindStringSubmatch(in.header.Get("List-Unsubscribe"))
	if found == nil || in.header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		tb.Fatalf("List-Unsubscribe %q, -Post %q", in.header.Get("List-Unsubscribe"), in.header.Get("List-Unsubscribe-Post"))
	}
	return found[1]
}

// find gives the URLs of that kind of path in the HTML part.
func (in inbox) find(path string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`"(http://localhost:\d+`+path+`[^"]+)"`).FindAllStringSubmatch(in.html, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestNewsletterFromFileToInboxAndBack is the main job, end to end.
func TestNewsletterFromFileToInboxAndBack(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		report := p.importCSV("weekly", messy)
		if report.Rows != 11 || report.Added != 6 || report.Merged != 1 || len(report.Rejected) != 4 {
			t.Fatalf("import: %+v", report)
		}
		if again := p.importCSV("weekly", messy); again.Added+again.Updated != 0 || again.Unchanged != 6 {
			t.Fatalf("importing again changed something: %+v", again)
		}
		for _, purpose := range []string{"opens", "clicks"} {
			p.call("POST", "/recipients/ada@example.com/consents",
				`{"purpose": "`+purpose+`", "decision": "given", "source": "form", "wording": "measure me"}`, 200, nil)
		}
		p.call("POST", "/suppressions", `{"email": "FLO@example.com", "evidence": "ticket 7"}`, 201, nil)

		id := p.draft(letterBody, `, "tracking": {"opens": "individual", "clicks": "individual"}`)
		var preview posthaste.Preview
		p.call("POST", fmt.Sprintf("/campaigns/%d/preview", id), `{"recipient": "ada@example.com"}`, 200, &preview)
		if preview.Subject != "News for Ada Lovelace" || !strings.Contains(preview.HTML, "Greetings to London") || !strings.Contains(preview.Text, "https://example.com/read?a=1&b=2") {
			t.Fatalf("preview %+v", preview)
		}
		p.call("POST", fmt.Sprintf("/campaigns/%d/test", id), `{"to": "ada@example.com"}`, 200, nil)
		if test := readMessage(t, sink.Messages()[0].Data); !strings.Contains(test.header.Get("List-Id"), "<weekly.lists.example.com>") {
			t.Fatalf("test mail has List-Id %q", test.header.Get("List-Id"))
		}
		p.call("POST", fmt.Sprintf("/campaigns/%d/test", id), `{"to": "flo@example.com"}`, 409, nil)

		p.step(id, "schedule")
		done := p.untilSent(id)
		if done.Counts.Audience != 6 || done.Counts.Accepted != 5 || done.Counts.Suppressed != 1 {
			t.Fatalf("counts %+v", done.Counts)
		}
		letters := map[string]inbox{}
		for _, m := range sink.Messages()[1:] {
			to := strings.ToLower(m.To) // the local part is sent as the file's last line has it
			if _, twice := letters[to]; twice {
				t.Errorf("%s got two", to)
			}
			letters[to] = readMessage(t, m.Data)
			if !regexp.MustCompile(`^b\+[a-z2-7]+@bounces\.example\.com$`).MatchString(m.From) {
				t.Errorf("envelope sender %q", m.From)
			}
		}
		checkLetters(t, p, letters)
		checkBeacons(t, p, id, letters)
		checkPreferences(t, p, letters["ben@example.com"])
	})
}

func checkLetters(t *testing.T, p *program, letters map[string]inbox) {
	t.Helper()
	for _, to := range []string{"ada@example.com", "ben@example.com", "cy@xn--bcher-kva.example", "dee@example.com", "ed@example.com"} {
		in, ok := letters[to]
		if !ok {
			t.Fatalf("%s got none; those who did: %d", to, len(letters))
		}
		for _, name := range []string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "List-Unsubscribe", "List-Unsubscribe-Post",
			"List-Id", "Feedback-Id", "Auto-Submitted", "Precedence"} {
			if n := len(in.header.Values(name)); n != 1 {
				t.Errorf("%s: header %s stands %d times", to, name, n)
			}
		}
		in.unsubscribeURL(t)
		for _, want := range []string{"Example Ltd", "1 Sample Street"} {
			if !strings.Contains(in.text, want) || !strings.Contains(in.html, want) {
				t.Errorf("%s: the footer lacks %q", to, want)
			}
		}
		if len(in.find("/u/")) == 0 || len(in.find("/p/")) == 0 || !strings.Contains(in.text, p.public+"/u/") {
			t.Errorf("%s: no visible unsubscribe or preferences link", to)
		}
		for _, line := range strings.Split(in.raw, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: a line of %d octets", to, len(line))
			}
		}
	}
	if ben := letters["ben@example.com"]; !strings.Contains(ben.html, "Köln;") || !strings.Contains(ben.html, "https://example.com/read?a=1&amp;b=2") || len(ben.find("/o/")) != 0 {
		t.Errorf("without consent: %s", ben.html)
	}
	if dee := letters["dee@example.com"]; strings.Contains(dee.html, "<script>") || !strings.Contains(dee.html, "&lt;script&gt;") {
		t.Errorf("a hostile name: %s", dee.html)
	}
	if ed := letters["ed@example.com"]; !strings.Contains(ed.html, "{{ links.unsubscribe }}") {
		t.Errorf("a name was parsed as a template: %s", ed.html)
	}
}

// checkBeacons opens and clicks as Ada, who consents, and as Ada once more after she withdrew.
func checkBeacons(t *testing.T, p *program, id int64, letters map[string]inbox) {
	t.Helper()
	ada := letters["ada@example.com"]
	pixels, clicks := ada.find("/o/"), ada.find("/c/")
	if len(pixels) != 1 || len(clicks) != 2 {
		t.Fatalf("Ada's mail has %d pixels and %d tracked links", len(pixels), len(clicks))
	}
	if gif := p.get(pixels[0], 200); !strings.HasPrefix(gif, "GIF89a") || gif != p.get(p.public+"/o/forged", 200) {
		t.Error("the pixel differs by token")
	}
	if to := p.get(clicks[0], 302); to != "https://example.com/read?a=1&b=2" {
		t.Errorf("the click leads to %q", to)
	}
	p.until(id, "the hits", func(c campaignAnswer) bool {
		return c.Hits.Opened == 1 && c.Hits.Clicked == 1 && c.Hits.Measurable == 1
	})

	p.call("POST", "/recipients/ada@example.com/consents", `{"purpose": "clicks", "decision": "withdrawn", "source": "", "wording": ""}`, 200, nil)
	if to := p.get(clicks[1], 302); to != "https://example.com/listen" {
		t.Errorf("after the withdrawal the link leads to %q", to)
	}
}

// checkPreferences stops all mail on Ben's page and finds it stopped.
func checkPreferences(t *testing.T, p *program, ben inbox) {
	t.Helper()
	page := ben.find("/p/")[0]
	if text := p.get(page, 200); !strings.Contains(text, "Weekly") || strings.Contains(text, "ben@example.com") {
		t.Errorf("preference page: %s", text)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, page, strings.NewReader(url.Values{"stop": {"all"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.do(request, 200)
	var found struct {
		Items []struct{ Scope, Reason string }
	}
	p.call("GET", "/suppressions?email=ben@example.com", "", 200, &found)
	if len(found.Items) != 1 || found.Items[0].Scope != "all" || found.Items[0].Reason != "opted_out" {
		t.Errorf("suppressions %+v", found)
	}
}

// TestUnsubscribeWhileSending unsubscribes recipients in the middle of a running
// campaign: no message to one starts after the answer.
func TestUnsubscribeWhileSending(t *testing.T) {
	t.Parallel()
	const audience, stopping = 1200, 60
	inBothModes(t, func(t *testing.T, env []string) {
		var mu sync.Mutex
		var tokens []string
		answered := map[string]time.Time{}
		var late atomic.Int64
		started := make(chan struct{})
		var once sync.Once
		sink := testkit.NewSink(t, testkit.SinkOptions{OnRcpt: func(to string) error {
			once.Do(func() { close(started) })
			mu.Lock()
			at, stopped := answered[to]
			mu.Unlock()
			if stopped {
				late.Add(1)
				t.Errorf("%s: a message began %s after the answer", to, time.Since(at))
			}
			return nil
		}})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		p.importCSV("weekly", manyRecipients(audience))
		id := p.draft("Hello {{ recipient.name }}", "")
		// The one-click link of each who will stop, from a preview: the same token as in the mail's List-Unsubscribe.
		for i := range stopping {
			var preview posthaste.Preview
			p.call("POST", fmt.Sprintf("/campaigns/%d/preview", id), fmt.Sprintf(`{"recipient": %q}`, stopper(i)), 200, &preview)
			tokens = append(tokens, readMessage(t, []byte(preview.Source)).unsubscribeURL(t))
		}
		p.step(id, "schedule")
		<-started
		for i, link := range tokens {
			p.oneClick(link, 200)
			mu.Lock()
			answered[stopper(i)] = time.Now()
			mu.Unlock()
		}
		done := p.untilSent(id)
		if late.Load() != 0 || done.Counts.Accepted+done.Counts.Suppressed != audience {
			t.Errorf("late %d, counts %+v", late.Load(), done.Counts)
		}
		t.Logf("%d of %d who unsubscribed got none", done.Counts.Suppressed, stopping)
	})
}

// stopper is someone far down the list, so that most are still unsent.
func stopper(i int) string { return fmt.Sprintf("reader%06d@example.com", 1199-i*15) }
