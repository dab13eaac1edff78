package console_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestMessageViews(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), letters())
	const mixedPath = "/console/outbox/b%20c%252F%3Fd"
	for _, tt := range []struct {
		name, path string
		want, not  []string
	}{
		{"html first", mixedPath, []string{`src="/console/outbox/b%20c%252F%3Fd/html"`, `class="w700" sandbox`, "Harbour &amp; Lane Books &lt;news@example.com&gt;",
			"All 8 headers", "List-Unsubscribe", "evening.ics", "text/calendar, 5 B"}, []string{"the text part", "Not all of the message"}},
		{"narrow", mixedPath + "?show=html&width=360", []string{`class="w360" sandbox`}, []string{`class="w700"`}},
		{"text in its charset", mixedPath + "?show=text", []string{"Dear Inês, the text part."}, []string{"<iframe"}},
		{"source", mixedPath + "?show=source", []string{"Dear In=EAs, the text part.", "--m--"}, []string{"<iframe"}},
		{"text only", "/console/outbox/plain", []string{"<h1 dir=\"auto\">Olá</h1>", "A letter without a picture."}, []string{"<iframe", "?show=html"}},
		{"no html", "/console/outbox/plain?show=html", []string{"The message has no HTML part."}, []string{"<iframe"}},
		{"no text", "/console/outbox/hostile?show=text", []string{"The message has no text part."}, nil},
		{"not a message", "/console/outbox/broken", []string{"Not all of the message could be read:", "no header at all", "(no subject)"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := page(t, h, tt.path)
			wantText(t, p, tt.want...)
			wantNoText(t, p, tt.not...)
		})
	}
}

func TestHTMLPart(t *testing.T) {
	t.Parallel()
	h := serve(t, "/console", sending(), letters())
	rec := get(t, h, "/console/outbox/hostile/html")
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", rec.Code, rec.Header().Get("Content-Type"))
	}
	policy := "; " + rec.Header().Get("Content-Security-Policy") + ";"
	for _, want := range []string{"; default-src 'none';", "; img-src data:;", "; style-src 'unsafe-inline';", "; sandbox;", "; frame-ancestors 'self';", "; form-action 'none';", "; base-uri 'none';"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	if got := rec.Header().Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options: %q", got)
	}
	wantText(t, rec.Body.String(), `<h1 id="seen">Hostile</h1>`)
}

func TestLongMessage(t *testing.T) {
	t.Parallel()
	o := letters()
	o.raw["long"] = "Subject: long\r\n\r\n" + strings.Repeat("a line of text\r\n", 100_000)
	p := page(t, serve(t, "/console", sending(), o), "/console/outbox/long?show=source")
	wantText(t, p, "Only the beginning of the source is shown.", "1.6 MB")
	if len(p) > 600_000 {
		t.Errorf("the page has %d bytes", len(p))
	}
}

// FuzzMessage wants any bytes to give a page without a stranger's element.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{mixed, plain, hostileMail, "", "\r\n", "Content-Type: multipart/mixed\r\n\r\n--\r\n", "Content-Type: text/html; charset=none\r\n\r\n<p>",
		"Content-Transfer-Encoding: base64\r\n\r\n!!!", "Subject: =?utf-8?b?!?=\r\n\r\n", "Content-Type: message/rfc822\r\n\r\n" + mixed} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		h := serve(t, "/console", store{}, outbox{raw: map[string]string{"x": raw}})
		for _, show := range []string{"html", "text", "source"} {
			checkDocument(t, page(t, h, "/console/outbox/x?show="+show))
		}
		if rec := get(t, h, "/console/outbox/x/html"); rec.Code != http.StatusOK && rec.Code != http.StatusNotFound {
			t.Errorf("the HTML part answers %d: %s", rec.Code, rec.Body)
		}
	})
}
