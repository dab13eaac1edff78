package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"posthaste/internal/testkit"
	"posthaste/templates/pages"
)

// audit runs axe-core on the open page. What it cannot decide is a fault too:
// nobody looks at it by hand.
const audit = `axe.run(document, {runOnly: {type: 'tag', values: %s}, resultTypes: ['violations', 'incomplete']}).then(found =>
  [...found.violations, ...found.incomplete].flatMap(rule => rule.nodes.map(node =>
    rule.id + ' ' + node.target.join(' ') + ': ' + [...node.any, ...node.all, ...node.none].map(check => check.message).join('; '))))`

const (
	wcag         = `'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'`
	ofPages      = `[` + wcag + `, 'best-practice']`
	ofMails      = `[` + wcag + `]` // the best practices ask for the landmarks of a site
	narrow, wide = 360, 1280
)

// site is one that a form is embedded in.
const site = `<!DOCTYPE html><html lang="en"><head><title>A site</title><meta name="viewport" content="width=device-width"></head>
<body><main><h1>A site</h1>%s</main></body></html>`

// TestAudit looks at every page and mail in every language, at the widths of a
// telephone and of a desk, in the light and in the dark.
func TestAudit(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("testdata/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range pages.Languages() {
		t.Run(language.Tag, func(t *testing.T) {
			t.Parallel()
			ctx := testkit.Browser(t)
			for _, s := range samples(language.Tag) {
				t.Run(s.name, func(t *testing.T) {
					page := render(t, s.page)
					if _, fragment := s.page.(embed); fragment {
						page = fmt.Sprintf(site, page)
					}
					auditPage(t, ctx, serve(t, page), string(axe), ofPages)
				})
			}
			for name := range mails {
				t.Run("mail_"+name, func(t *testing.T) {
					auditPage(t, ctx, serve(t, mail(t, name, language.Tag, parts(language.Tag)).HTML), string(axe), ofMails)
				})
			}
		})
	}
}

func auditPage(t *testing.T, ctx context.Context, url, axe, rules string) {
	t.Helper()
	testkit.Visit(t, ctx, url, narrow, "light")
	testkit.Evaluate[bool](t, ctx, axe+"; true")
	for _, width := range []int64{narrow, wide} {
		for _, scheme := range []string{"light", "dark"} {
			look(t, ctx, width, scheme)
			faults, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf(audit, rules), chromedp.EvalAwaitPromise))
			if err != nil {
				t.Fatalf("audit: %v", err)
			}
			for _, fault := range faults {
				t.Errorf("%d px, %s: %s", width, scheme, fault)
			}
		}
	}
	if !strings.HasSuffix(t.Name(), "_embed") { // other sites have their own style
		checkReflow(t, ctx)
	}
}

// look changes the window of the page that is open.
func look(t *testing.T, ctx context.Context, width int64, scheme string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
		t.Fatalf("set the width: %v", err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatalf("set the scheme: %v", err)
	}
}

// policied is in every page of ours, and in nothing else.
const policied = `<meta name="robots" content="noindex">`

// serve answers with the page under the policy that the package promises; a
// mail and a fragment for other sites are shown under none.
func serve(t *testing.T, page string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.Contains(page, policied) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src "+pages.StyleHash()+"; form-action 'self'")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page)) // the browser tells what it misses
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// measured is what the browser tells of a page.
type measured struct {
	Width  int64    `json:"width"`  // of the whole document, in CSS pixels
	Styled bool     `json:"styled"` // the policy let the style in
	Ran    bool     `json:"ran"`    // a hostile value did
	Small  []string `json:"small"`  // targets below 24 by 24 CSS pixels (WCAG 2.2 §2.5.8)
	Stops  []string `json:"stops"`  // where Tab must stop, in the order of the page
}

const measure = `(() => {
  const controls = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select')];
  const radios = new Set();
  const name = e => e.tagName.toLowerCase() + ' ' + (e.name || e.getAttribute('href') || e.textContent);
  return {
    width: document.documentElement.scrollWidth,
    styled: getComputedStyle(document.body).marginTop === '0px',
    ran: window.ran !== undefined,
    small: controls.filter(e => { const r = e.getBoundingClientRect(); return r.width < 24 || r.height < 24; }).map(name),
    stops: controls.filter(e => e.type !== 'radio' || !radios.has(e.name) && radios.add(e.name)).map(name),
  };
})()`

// least is 1280 CSS pixels at 400 % (WCAG 2.2 §1.4.10).
const least = 320

// checkReflow measures the open page, or mail, in the least room.
func checkReflow(t *testing.T, ctx context.Context) (stops []string) {
	t.Helper()
	look(t, ctx, least, "light")
	got := testkit.Evaluate[measured](t, ctx, measure)
	if got.Width > least {
		t.Errorf("it is %d px wide in a window of %d", got.Width, least)
	}
	if !got.Styled {
		t.Error("it has no style under its policy")
	}
	if got.Ran {
		t.Error("a value ran")
	}
	if len(got.Small) > 0 {
		t.Errorf("too small to be hit: %q", got.Small)
	}
	return got.Stops
}

// focused tells where the focus is, and whether that can be seen.
const focused = `(() => {
  const e = document.activeElement, style = getComputedStyle(e), r = e.getBoundingClientRect();
  const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && r.top > -1 && r.bottom < innerHeight + 1;
  return (seen ? '' : 'unseen: ') + e.tagName.toLowerCase() + ' ' + (e.name || e.getAttribute('href') || e.textContent);
})()`

// TestKeyboard goes through each page with the Tab key alone: to every control,
// in the order of the page, and always to be seen (WCAG 2.2 §2.1.1, §2.4.3, §2.4.7, §2.4.11).
func TestKeyboard(t *testing.T) {
	t.Parallel()
	ctx := testkit.Browser(t)
	for _, s := range documents("en") {
		t.Run(s.name, func(t *testing.T) {
			testkit.Visit(t, ctx, serve(t, render(t, s.page)), least, "light")
			for i, want := range checkReflow(t, ctx) {
				if err := chromedp.Do(ctx, chromedp.KeyEvent(kb.Tab)); err != nil {
					t.Fatalf("press Tab: %v", err)
				}
				if at := testkit.Evaluate[string](t, ctx, focused); at != want {
					t.Fatalf("Tab %d leads to %q, want %q", i+1, at, want)
				}
			}
		})
	}
}

// TestHostileValuesInBrowser shows what TestHostileValuesAreInert reads, without
// any policy that would stop a script, in the least room.
func TestHostileValuesInBrowser(t *testing.T) {
	t.Parallel()
	ctx := testkit.Browser(t)
	for _, s := range harmed("en", "markup", "direction", "long") {
		if _, fragment := s.page.(embed); fragment {
			continue // other sites have their own style
		}
		t.Run(s.name, func(t *testing.T) {
			page := strings.Replace(render(t, s.page), policied, "", 1)
			testkit.Visit(t, ctx, serve(t, page), least, "light")
			checkReflow(t, ctx)
		})
	}
}
