package layouttest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
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

func TestBrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	for name, layout := range layouts(t) {
		mail := render(t, layout)
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
					check(t, look(t, ctx, server.URL, width, scheme), width, scheme)
					save(t, ctx, name)
				})
			}
		}
	}
}

func check(t *testing.T, got seen, width int64, scheme string) {
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

func look(t *testing.T, ctx context.Context, url string, width int64, scheme string) seen {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
		t.Fatalf("set the width: %v", err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatalf("set the scheme: %v", err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open the mail: %v", err)
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[seen](measure))
	if err != nil {
		t.Fatalf("measure: %v", err)
	}
	return got
}

// browser starts a Chromium for the test, or skips it when there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	switch {
	case path != "":
	case os.Getenv("POSTHASTE_TEST_STRICT") == "1":
		t.Fatal("there is no chromium, and POSTHASTE_TEST_STRICT=1 asks for it")
	default:
		t.Skip("no chromium: the layouts are not looked at in a browser")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	return ctx
}

// save keeps a picture of the mail where POSTHASTE_TEST_ARTIFACTS says, if it does.
func save(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("POSTHASTE_TEST_ARTIFACTS")
	if folder == "" {
		folder = t.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "layout-"+name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
