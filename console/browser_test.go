package console_test

import (
	"context"
	"net/http/httptest"
	"strconv"
	"testing"

	"posthaste/internal/testkit"
)

// TestBrowser looks at every page at a telephone's and a desk's width, in both
// colour schemes, and at a hostile message, in Chromium.
func TestBrowser(t *testing.T) {
	t.Parallel()
	ctx := testkit.Browser(t)
	server := httptest.NewServer(serve(t, "/console", sending(), letters()))
	t.Cleanup(server.Close)
	for _, tt := range []struct{ name, path string }{
		{"home", "/console/"},
		{"campaign", "/console/campaigns/12?live=no"},
		{"bounced", "/console/campaigns/12?state=bounced"},
		{"outbox", "/console/outbox"},
		{"message", "/console/outbox/b%20c%252F%3Fd?width=360"},
		{"text", "/console/outbox/b%20c%252F%3Fd?show=text"},
		{"source", "/console/outbox/hostile?show=source"},
		{"hostile", "/console/outbox/hostile"},
	} {
		for _, width := range []int64{360, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				name := tt.name + "-" + strconv.FormatInt(width, 10) + "-" + scheme
				t.Run(name, func(t *testing.T) {
					testkit.Visit(t, ctx, server.URL+tt.path, width, scheme)
					if got := testkit.Evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); got > width {
						t.Errorf("the page is %d px wide in a window of %d", got, width)
					}
					if got := testkit.Evaluate[string](t, ctx, "document.title"); got == "ran" {
						t.Error("a stranger's script ran")
					}
					if got := testkit.Evaluate[float64](t, ctx, worstContrast); got < 4.5 {
						t.Errorf("a text has a contrast of %.2f, want 4.5: %s", got, testkit.Evaluate[string](t, ctx, "window.worst"))
					}
					save(t, ctx, name)
				})
			}
		}
	}
}

// TestBrowserSandbox opens the hostile part itself, without the frame around it:
// its looks are there, and nothing of it ran, left or was fetched.
func TestBrowserSandbox(t *testing.T) {
	t.Parallel()
	ctx := testkit.Browser(t)
	server := httptest.NewServer(serve(t, "/console", sending(), letters()))
	t.Cleanup(server.Close)
	testkit.Visit(t, ctx, server.URL+"/console/outbox/hostile/html", 700, "light")
	if got := testkit.Evaluate[string](t, ctx, "document.querySelector('#seen').textContent"); got != "Hostile" {
		t.Errorf("the part shows %q", got)
	}
	if got := testkit.Evaluate[string](t, ctx, "document.body.id + document.title"); got != "" {
		t.Errorf("the part's script left %q", got)
	}
	if got := testkit.Evaluate[string](t, ctx, "window.origin"); got != "null" {
		t.Errorf("the part has the origin %q, want none of its own", got)
	}
	if got := testkit.Evaluate[int](t, ctx, "performance.getEntriesByType('resource').filter(r => r.transferSize > 0).length"); got != 0 {
		t.Errorf("the part fetched %d resources", got)
	}
}

// worstContrast is the least contrast (WCAG 2.2 §1.4.3) of any visible text
// with the ground behind it; window.worst names the text.
const worstContrast = `(() => {
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = 21;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = texts.nextNode(); n; n = texts.nextNode()) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !e.checkVisibility() || e.closest('.skip')) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst) { worst = ratio; window.worst = n.textContent.trim(); }
  }
  return worst;
})()`

// save keeps a picture of the page. What is outside the window is not drawn in a frame.
func save(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	testkit.Evaluate[bool](t, ctx, "(document.querySelector('iframe')?.scrollIntoView(), true)")
	testkit.Picture(t, ctx, "console-"+name)
}
