package testkit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browserTimeout is the longest that all of a test's looks may take together.
const browserTimeout = 2 * time.Minute

// Browser gives the context of a headless Chromium that ends with the test.
// Without a Chromium the test is skipped, or fails under POSTHASTE_TEST_STRICT=1.
func Browser(tb testing.TB) context.Context {
	tb.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		Missing(tb, "Chromium: there is none in PATH")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(tb.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := context.WithTimeout(tb.Context(), browserTimeout)
	tb.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, flags...)
	tb.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	tb.Cleanup(end)
	return ctx
}

// Visit opens a page in a window of that width in CSS pixels, in the "light" or
// the "dark" colour scheme.
func Visit(tb testing.TB, ctx context.Context, url string, width int64, scheme string) {
	tb.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
		tb.Fatalf("set the width: %v", err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		tb.Fatalf("set the scheme: %v", err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		tb.Fatalf("open %s: %v", url, err)
	}
}

// Evaluate gives the value of a JavaScript expression on the open page.
func Evaluate[T any](tb testing.TB, ctx context.Context, expression string) T {
	tb.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.Fatalf("evaluate: %v", err)
	}
	return got
}

// Picture keeps a picture of the whole page as NAME.png where
// POSTHASTE_TEST_ARTIFACTS says; without it the picture is only taken.
func Picture(tb testing.TB, ctx context.Context, name string) {
	tb.Helper()
	folder := os.Getenv("POSTHASTE_TEST_ARTIFACTS")
	if folder == "" {
		folder = tb.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		tb.Fatal(err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		tb.Fatalf("take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644); err != nil {
		tb.Fatal(err)
	}
}
