package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/web"
)

// network gives what a router that trusts 10.0.0.0/8 and 2001:db8:ffff::/48 knows of a request's origin.
func network(tb testing.TB, remote string, header http.Header) string {
	tb.Helper()
	e := web.New(web.Options{Name: "test", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}})
	e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, web.OriginOf(c).Network.String()) })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	for name, all := range header {
		r.Header[name] = all
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		tb.Fatalf("status %d", w.Code)
	}
	return w.Body.String()
}

func TestTheClientsNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.77:1234", nil, "192.0.2.0/24"},
		{"direct, IPv6", "[2001:db8:1:2::3]:1234", nil, "2001:db8:1::/48"},
		{"direct, mapped", "[::ffff:192.0.2.77]:1234", nil, "192.0.2.0/24"},
		{"direct, 6to4", "[2002:c000:24d:1::1]:1", nil, "2002:c000:200::/40"},
		{"direct, zone", "[fe80::1%eth0]:1234", nil, "fe80::/48"},
		{"no proxy is trusted to lie", "192.0.2.77:1", []string{"198.51.100.1"}, "192.0.2.0/24"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.0/24"},
		{"one proxy, IPv6", "[2001:db8:ffff::1]:1", []string{"2001:db8:7:8::9"}, "2001:db8:7::/48"},
		{"proxy in mapped form", "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.0/24"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.0/24"},
		{"two headers", "10.0.0.1:1", []string{"203.0.113.5", "198.51.100.1"}, "198.51.100.0/24"},
		{"the client's own claim stands left", "10.0.0.1:1", []string{"203.0.113.5, 198.51.100.1"}, "198.51.100.0/24"},
		{"claims of a trusted address", "10.0.0.1:1", []string{"10.1.1.1, 198.51.100.1"}, "198.51.100.0/24"},
		{"blanks and empty parts", "10.0.0.1:1", []string{"  198.51.100.1 "}, "198.51.100.0/24"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:5555"}, "198.51.100.0/24"},
		{"IPv6 with brackets", "10.0.0.1:1", []string{"[2001:db8:7:8::9]"}, "2001:db8:7::/48"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db8:7:8::9]:5555"}, "2001:db8:7::/48"},
		{"garbage is not the proxy's network", "10.0.0.1:1", []string{"unknown"}, ""},
		{"garbage hides what is left of it", "10.0.0.1:1", []string{"198.51.100.1, <script>"}, ""},
		{"only the proxy itself", "10.0.0.1:1", nil, "10.0.0.0/24"},
		{"only proxies", "10.0.0.1:1", []string{"10.7.7.7"}, "10.7.7.0/24"},
		{"no address", "", nil, ""},
		{"no port", "192.0.2.77", nil, ""},
		{"a unix socket", "@", []string{"198.51.100.1"}, ""},
		{"garbage", "not an address:1", []string{"198.51.100.1"}, ""},
	} {
		header := http.Header{"X-Real-Ip": {"203.0.113.200"}, "Forwarded": {"for=203.0.113.200"}} // never believed
		if c.forwarded != nil {
			header["X-Forwarded-For"] = c.forwarded
		}
		if got := network(t, c.remote, header); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNothingAfterTheFirstHandlerHoldsTheAddress(t *testing.T) {
	t.Parallel()
	const secret = "192.0.2.77"
	headers := []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "CF-Connecting-IPv6", "True-Client-IP", "X-Client-IP", "X-Cluster-Client-IP",
		"Fastly-Client-IP", "Fly-Client-IP", "X-Original-Forwarded-For", "X-Forwarded", "Forwarded-For", "X-Envoy-External-Address", "X-Azure-ClientIP", "X-AppEngine-User-IP", "X-Remote-Addr"}
	e := web.New(web.Options{Name: "test", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	seen := ""
	e.Any("/*", func(c echo.Context) error {
		r := c.Request()
		seen = fmt.Sprint(r.RemoteAddr, r.Header, c.RealIP(), r.URL, r.Trailer)
		return nil
	})
	for _, remote := range []string{secret + ":4711", "10.0.0.1:4711"} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.RemoteAddr = remote
		for _, h := range headers {
			r.Header.Set(h, secret)
		}
		r.Header.Set("User-Agent", "kept")
		e.ServeHTTP(httptest.NewRecorder(), r)
		if strings.Contains(seen, secret) || strings.Contains(seen, "4711") {
			t.Errorf("the handler sees %s", seen)
		}
		if !strings.Contains(seen, "kept") {
			t.Errorf("other headers are gone: %s", seen)
		}
	}
}

func router(pages bool) *echo.Echo {
	e := web.New(web.Options{Name: "test", Pages: pages})
	kinds := map[string]error{
		"invalid": posthaste.Refuse("name", "is no good"), "not-found": &posthaste.Error{Kind: posthaste.NotFound, Message: "none"},
		"conflict": &posthaste.Error{Kind: posthaste.Conflict, Message: "not now"}, "unauthorized": &posthaste.Error{Kind: posthaste.Unauthorized, Message: "who?"},
		"too-large": &posthaste.Error{Kind: posthaste.TooLarge, Message: "too much"}, "unavailable": &posthaste.Error{Kind: posthaste.Unavailable, Message: "later", Err: errors.New("secret cause")},
		"wrapped":  fmt.Errorf("find secret: %w", &posthaste.Error{Kind: posthaste.Conflict, Message: "not now"}),
		"internal": errors.New("secret detail"), "strange": &posthaste.Error{Kind: "strange", Message: "odd"},
		"max-bytes": fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 1}), "teapot": echo.NewHTTPError(http.StatusTeapot, "secret message"),
	}
	e.GET("/fail/:kind/:token", func(c echo.Context) error { return kinds[c.Param("kind")] })
	e.GET("/panic/:token", func(echo.Context) error { panic("secret panic r@example.com") })
	e.GET("/late", func(c echo.Context) error {
		if err := c.String(http.StatusOK, "begun"); err != nil {
			return err
		}
		return errors.New("secret, too late")
	})
	e.POST("/only-post", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	return e
}

func get(e *echo.Echo, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestProblemsByKind(t *testing.T) {
	t.Parallel()
	documents, pages := router(false), router(true)
	for _, c := range []struct {
		path   string
		status int
		detail string
	}{
		{"/fail/invalid/x", 422, "the input is not valid"}, {"/fail/not-found/x", 404, "none"}, {"/fail/conflict/x", 409, "not now"},
		{"/fail/unauthorized/x", 401, "who?"}, {"/fail/too-large/x", 413, "too much"}, {"/fail/unavailable/x", 503, "later"},
		{"/fail/wrapped/x", 409, "not now"}, {"/fail/max-bytes/x", 413, ""}, {"/fail/teapot/x", 418, ""}, {"/no/route", 404, ""}, {"/only-post", 405, ""},
		{"/fail/internal/x", 500, "something went wrong here; the request id finds it in the log"}, {"/panic/x", 500, "something went wrong here; the request id finds it in the log"},
		{"/fail/strange/x", 500, "odd"},
	} {
		w := get(documents, http.MethodGet, c.path)
		var p struct {
			Type, Title, Detail, Request string
			Status                       int
			Errors                       []posthaste.Field
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %s: %v", c.path, w.Body, err)
		}
		if w.Code != c.status || p.Status != c.status || p.Detail != c.detail || p.Title != http.StatusText(c.status) || p.Type != "about:blank" {
			t.Errorf("%s: %d %+v", c.path, w.Code, p)
		}
		if w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", c.path, w.Header())
		}
		if p.Request == "" || p.Request != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: request id %q, header %q", c.path, p.Request, w.Header().Get("X-Request-Id"))
		}
		if (w.Header().Get("Retry-After") != "") != (c.status == 503) || (w.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: headers %v", c.path, w.Header())
		}
		if c.status == 422 && (len(p.Errors) != 1 || p.Errors[0] != (posthaste.Field{Name: "name", Reason: "is no good"})) {
			t.Errorf("fields %v", p.Errors)
		}
		page := get(pages, http.MethodGet, c.path)
		if page.Code != c.status || !strings.Contains(page.Body.String(), "<!DOCTYPE html>") || page.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: page %d %v", c.path, page.Code, page.Header())
		}
		if id := page.Header().Get("X-Request-Id"); strings.Contains(page.Body.String(), id) != (c.status >= 500 || c.status > 400 && c.status != 404) {
			t.Errorf("%s: request id on the page: %v", c.path, strings.Contains(page.Body.String(), id))
		}
		for _, body := range []string{w.Body.String(), page.Body.String()} {
			if strings.Contains(body, "secret") || strings.Contains(body, "goroutine") {
				t.Errorf("%s tells %s", c.path, body)
			}
		}
	}
	if w := get(documents, http.MethodGet, "/late"); w.Code != http.StatusOK || w.Body.String() != "begun" {
		t.Errorf("an error after the answer had begun: %d %q", w.Code, w.Body)
	}
}

func TestEveryRequestHasItsOwnID(t *testing.T) {
	t.Parallel()
	e, seen := router(false), map[string]bool{}
	for range 50 {
		r := httptest.NewRequest(http.MethodGet, "/late", nil)
		r.Header.Set("X-Request-Id", "chosen by the client")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if len(id) < 20 || seen[id] || strings.Contains(id, "client") {
			t.Fatalf("request id %q", id)
		}
		seen[id] = true
	}
}

// Not parallel: it looks at what the whole program logs.
func TestLogsNameNobody(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})))
	const token, ip, email = "AbCdEfGhToken", "192.0.2.77", "someone@example.com"
	for _, pages := range []bool{true, false} {
		e := router(pages)
		e.GET("/u/:token", func(c echo.Context) error {
			o := web.OriginOf(c)
			o.Actor = "desk"
			web.SetOrigin(c, o)
			return c.NoContent(http.StatusOK)
		})
		for _, path := range []string{"/u/" + token, "/u/" + token + "/", "//u/" + token, "/U/" + token, "/fail/internal/" + token, "/fail/unavailable/" + token,
			"/fail/not-found/" + token, "/panic/" + token, "/only-post?email=" + email, "/r/" + email} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
				r := httptest.NewRequest(method, path+"?token="+token, strings.NewReader("email="+email))
				r.RemoteAddr = ip + ":1234"
				r.Header.Set("X-Forwarded-For", ip)
				r.Header.Set("Referer", "https://example.com/"+token)
				r.Header.Set("User-Agent", "agent\nlevel=ERROR "+email)
				e.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
	}
	text := log.String()
	for _, secret := range []string{token, "192.0.2", email, "agent"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q: %.300s", secret, text[max(strings.Index(text, secret)-200, 0):])
		}
	}
	for _, want := range []string{`"route":"/u/:token"`, `"actor":"desk"`, `"status":500`, "secret detail", `"listener":"test"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not hold %q", want)
		}
	}
	for line := range strings.Lines(text) {
		var event struct{ Level, Request string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Request == "" {
			t.Errorf("event %s", line)
		}
	}
}

// serve runs Serve on a handler; stop ends it, done gives its error.
func serve(t *testing.T, handler echo.HandlerFunc, grace time.Duration) (url string, stop context.CancelFunc, done <-chan error) {
	t.Helper()
	e := web.New(web.Options{Name: "test"})
	e.Any("/", handler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1) // one send
	go func() { ended <- web.Serve(ctx, e, l, 5*time.Second, grace) }()
	t.Cleanup(stop)
	return "http://" + l.Addr().String() + "/", stop, ended
}

func fetch(url string) <-chan string {
	got := make(chan string, 1) // one send
	go func() {
		response, err := http.Get(url)
		if err != nil {
			got <- "error"
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		got <- string(body)
	}()
	return got
}

func TestAStopWaitsForRequestsUnderWay(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop, done := serve(t, func(c echo.Context) error {
		close(entered)
		<-release
		return c.String(http.StatusOK, "whole")
	}, time.Minute)
	got := fetch(url)
	<-entered
	stop()
	close(release)
	if body := <-got; body != "whole" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if body := <-fetch(url); body != "error" {
		t.Errorf("a request after the stop got %q", body)
	}
}

func TestAStopWaitsNoLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	url, stop, done := serve(t, func(c echo.Context) error {
		close(entered)
		<-release
		return nil
	}, 50*time.Millisecond)
	got := fetch(url)
	<-entered
	start := time.Now()
	stop()
	select {
	case err := <-done:
		if err != nil || time.Since(start) < 50*time.Millisecond {
			t.Errorf("Serve: %v after %s", err, time.Since(start))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stop hangs on a request")
	}
	if body := <-got; body != "error" {
		t.Errorf("the cut request got %q", body)
	}
}

func TestHeadersAreLimited(t *testing.T) {
	t.Parallel()
	url, _, _ := serve(t, func(c echo.Context) error { return c.NoContent(http.StatusOK) }, time.Second)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}
