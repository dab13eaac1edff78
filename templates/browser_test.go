package templates_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/templates"
)

// seen is what the browser measured of a mail.
type seen struct {
	Width       int64   `json:"width"`    // of the whole document, in CSS pixels
	Smallest    float64 `json:"smallest"` // text, in CSS pixels
	Contrast    float64 `json:"contrast"` // the least of any text with its ground
	Worst       string  `json:"worst"`    // the text that has it
	Links       int     `json:"links"`    // visible links
	Unsubscribe bool    `json:"unsubscribe"`
	Preferences bool    `json:"preferences"`
	Preheader   bool    `json:"preheader"` // visible
	Ground      float64 `json:"ground"`    // luminance behind the text, 0 to 1
}

// measure computes contrast as WCAG 2.2 defines it, of every visible text.
const measure = `(() => {
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const shown = e => e && e.checkVisibility() && e.getBoundingClientRect().height > 0 && e.getBoundingClientRect().width > 0;
  const seen = {width: document.documentElement.scrollWidth, smallest: 99, contrast: 21, worst: '', preheader: false,
    links: [...document.links].filter(shown).length, ground: light(ground(document.querySelector('.content'))),
    unsubscribe: shown(document.querySelector('a[href="https://example.com/u/1"]')),
    preferences: shown(document.querySelector('a[href="https://example.com/p/1"]'))};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = texts.nextNode(); n; n = texts.nextNode()) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !shown(e)) continue;
    seen.preheader ||= n.textContent.includes('by the fire');
    seen.smallest = Math.min(seen.smallest, parseFloat(getComputedStyle(e).fontSize));
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < seen.contrast) { seen.contrast = ratio; seen.worst = n.textContent.trim(); }
  }
  return seen;
})()`

func TestLayoutsInBrowser(t *testing.T) {
	t.Parallel()
	ctx := testkit.Browser(t)
	for _, name := range templates.Layouts() {
		mail := newsletter(t, name)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if _, err := io.WriteString(w, mail); err != nil {
				t.Errorf("answer: %v", err)
			}
		}))
		t.Cleanup(server.Close)
		for _, width := range []int64{360, 700} {
			for _, scheme := range []string{"light", "dark"} {
				name := name + "-" + strconv.FormatInt(width, 10) + "-" + scheme
				t.Run(name, func(t *testing.T) {
					testkit.Visit(t, ctx, server.URL, width, scheme)
					checkLayout(t, testkit.Evaluate[seen](t, ctx, measure), width, scheme)
					testkit.Picture(t, ctx, "layout-"+name)
				})
			}
		}
	}
}

func checkLayout(t *testing.T, got seen, width int64, scheme string) {
	t.Helper()
	if got.Width > width {
		t.Errorf("the mail is %d px wide in a window of %d", got.Width, width)
	}
	if got.Smallest < 14 {
		t.Errorf("the smallest text has %.1f px, want 14", got.Smallest)
	}
	if got.Contrast < 4.5 {
		t.Errorf("%q has a contrast of %.2f, want 4.5", got.Worst, got.Contrast)
	}
	if !got.Unsubscribe || !got.Preferences || got.Links < 4 {
		t.Errorf("unsubscribe link visible: %t, preferences link: %t, links in all: %d", got.Unsubscribe, got.Preferences, got.Links)
	}
	if got.Preheader {
		t.Error("the preheader is visible in the mail itself")
	}
	if dark := got.Ground < 0.1; dark != (scheme == "dark") {
		t.Errorf("the ground has a luminance of %.2f in the %s scheme", got.Ground, scheme)
	}
}

// everything has everything that Markdown can produce, and words that do not break.
const everything = `# Four books for long evenings

The clocks have gone back and the shop smells of wood smoke again. Here is what we have been reading behind the counter.

Dear Inês, thank you for coming. [The recording is here](https://example.com/talk), if you missed the end.

## Two to start with

- **The Cartographer's Daughter**, a slow and generous novel
- *Salt Roads*, which we have pressed on everybody
  - with a new foreword

> A book is a door that opens from both sides.

## What the evenings cost

| Evening | Guest | Price | Seats | Language | Reservations |
|---|---|---|---|---|---|
| 3 December | Marta Oyelaran | £8 | 40 | Portuguese | https://example.com/evenings/december/3 |

### How to come

1. Write to us at https://example.com/an-address-that-is-much-longer-than-a-telephone-is-wide
2. Bring ` + "`READING-2026`" + ` to the till

` + "```" + `
talk begins  19:00  https://example.com/a/very/long/address/that/does/not/break
` + "```" + `

---

![A picture](cid:picture@example.com)

Tom
`

// newsletter gives the mail that a layout makes of everything.
func newsletter(t *testing.T, layout string) string {
	t.Helper()
	m := compile(t, templates.Source{Subject: "Four books", Preheader: "Read them by the fire", Body: everything, Format: posthaste.Markdown, Layout: layout})
	v := values()
	v.Recipient.Email = "a.reader.with.a.rather.long.address@example.com"
	v.SenderName, v.PostalAddress, v.Topic = "Harbour & Lane Books", "12 Quay Street, Exeter EX1 1AA", "The Reading Room"
	v.Unsubscribe, v.Preferences, v.Pixel = "https://example.com/u/1", "https://example.com/p/1", ""
	return string(render(t, m, v).HTML)
}
