package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/api"
)

// keyWith makes a key.
func (h *house) keyWith(k posthaste.Key) string {
	h.tb.Helper()
	text, hash := api.NewKey()
	_, err := h.store.PutKey(h.tb.Context(), k, hash)
	must(h.tb, err)
	return text
}

// as makes a request with a key.
func (h *house) as(key, method, path, body string) *httptest.ResponseRecorder {
	return h.do(call{method: method, path: path, body: body, header: []string{"Authorization", "Bearer " + key}})
}

// TestEveryRouteNeedsItsScope walks each route with each scope alone: only the
// route's own opens it, and without one all do.
func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	h := open(t)
	keys := map[posthaste.Scope]string{}
	for _, scope := range posthaste.Scopes {
		keys[scope] = h.keyWith(posthaste.Key{Name: string(scope), Scopes: []posthaste.Scope{scope}})
	}
	used := map[posthaste.Scope]bool{posthaste.UseConsole: true, posthaste.ReadUsage: true} // the console's own, and one that only widens what /usage shows
	for _, route := range h.api.Routes() {
		path := "/api/v1"
		for part := range strings.SplitSeq(strings.TrimPrefix(route.Path, "/"), "/") {
			if strings.HasPrefix(part, ":") {
				part = "999999"
			}
			path += "/" + part
		}
		used[route.Scope] = true
		for _, scope := range posthaste.Scopes {
			got := h.as(keys[scope], route.Method, path, "")
			allowed := route.Scope == "" || route.Scope == scope
			if refused := got.Code == http.StatusForbidden; refused == allowed || got.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with %s: %d, allowed %v: %s", route.Method, path, scope, got.Code, allowed, got.Body)
			}
		}
		if got := h.as("ph_NONE", route.Method, path, ""); got.Code != http.StatusUnauthorized {
			t.Errorf("%s %s with no key: %d", route.Method, path, got.Code)
		}
	}
	for _, scope := range posthaste.Scopes {
		if !used[scope] {
			t.Errorf("no route needs %s", scope)
		}
	}
}

func TestKeysStopWorking(t *testing.T) {
	t.Parallel()
	h := open(t)
	for name, k := range map[string]posthaste.Key{
		"expired":  {Name: "expired", Scopes: posthaste.Scopes, ExpiresAt: time.Now().Add(-time.Second)},
		"re/voked": {Name: "re/voked", Scopes: posthaste.Scopes},
	} {
		text := h.keyWith(k)
		if name == "re/voked" {
			if got := h.as(text, "GET", "/api/v1/topics", ""); got.Code != 200 {
				t.Errorf("before: %d", got.Code)
			}
			h.call("DELETE", "/api/v1/keys/re%2Fvoked", "", 204)
		}
		if got := h.as(text, "GET", "/api/v1/topics", ""); got.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
}

func TestAKeyGivesNoMoreThanItHas(t *testing.T) {
	t.Parallel()
	h := open(t)
	manager := h.keyWith(posthaste.Key{Name: "manager", Scopes: []posthaste.Scope{posthaste.ManageKeys, posthaste.ReadTopics}})
	if got := h.as(manager, "DELETE", "/api/v1/keys/desk", ""); got.Code != http.StatusForbidden {
		t.Errorf("a key that can do more was revoked: %d", got.Code)
	}
	h.keyWith(posthaste.Key{Name: "billing", Scopes: posthaste.Scopes})
	h.call("DELETE", "/api/v1/keys/billing", "", 204)
	if got := h.as(manager, "POST", "/api/v1/keys", `{"name": "billing", "scopes": ["topics:read"]}`); got.Code != http.StatusForbidden {
		t.Errorf("the name of a key that could do more was taken over: %d %s", got.Code, got.Body)
	}
	short := h.keyWith(posthaste.Key{Name: "short", Scopes: posthaste.Scopes, Rate: 9, ExpiresAt: time.Now().Add(time.Hour)})
	if got := h.as(short, "POST", "/api/v1/keys", `{"name": "long", "scopes": ["topics:read"]}`); got.Code != 201 || !strings.Contains(got.Body.String(), `"requests_per_minute":9`) || strings.Contains(got.Body.String(), `"expires_at":null`) {
		t.Errorf("a key beyond its maker: %d %s", got.Code, got.Body)
	}
	if got := h.as(manager, "POST", "/api/v1/keys", `{"name": "x", "scopes": ["topics:read", "topics:write"]}`); got.Code != http.StatusForbidden {
		t.Errorf("a scope it lacks: %d %s", got.Code, got.Body)
	}
	got := h.as(manager, "POST", "/api/v1/keys", `{"name": "x", "scopes": ["topics:read"], "requests_per_minute": 5}`)
	var made struct{ Key string }
	must(t, json.Unmarshal(got.Body.Bytes(), &made))
	if got.Code != 201 || got.Header().Get("Cache-Control") != "no-store" || h.as(made.Key, "GET", "/api/v1/topics", "").Code != 200 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if list := h.do(call{method: "GET", path: "/api/v1/keys"}).Body.String(); strings.Contains(list, made.Key) || strings.Contains(list, `"key"`) {
		t.Errorf("a key is shown again: %s", list)
	}
	for body, field := range map[string]string{
		`{"name": "x", "scopes": ["topics:read"]}`:                                       "name", // taken
		`{"name": "", "scopes": ["topics:read"]}`:                                        "name",
		`{"name": "y", "scopes": []}`:                                                    "scopes",
		`{"name": "y", "scopes": ["everything"]}`:                                        "scopes",
		`{"name": "y", "scopes": ["topics:read"], "requests_per_minute": -1}`:            "requests_per_minute",
		`{"name": "y", "scopes": ["topics:read"], "expires_at": "2020-01-01T00:00:00Z"}`: "expires_at",
		`{"name": "y", "scopes": ["topics:read"], "expires_at": "tomorrow"}`:             "expires_at",
		`{"name": "y", "scopes": ["topics:read"], "admin": true}`:                        "admin",
	} {
		status := 422
		if strings.Contains(body, `"x"`) {
			status = 409
		}
		h.refused("key", call{method: "POST", path: "/api/v1/keys", body: body}, status, field)
	}
}

// TestRateOfAKey: as many requests as its minute has, then 429 with the fields
// that say when to come again; other keys are not held back.
func TestRateOfAKey(t *testing.T) {
	t.Parallel()
	h := open(t)
	slow := h.keyWith(posthaste.Key{Name: "slow", Scopes: posthaste.Scopes, Rate: 6})
	for i := range 6 {
		got := h.as(slow, "GET", "/api/v1/topics", "")
		if want := fmt.Sprintf(`"minute";r=%d;t=`, 5-i); got.Code != 200 || got.Header().Get("RateLimit-Policy") != `"minute";q=6;w=60` || !strings.HasPrefix(got.Header().Get("RateLimit"), want) {
			t.Errorf("request %d: %d %v", i+1, got.Code, got.Header())
		}
	}
	got := h.as(slow, "GET", "/api/v1/topics", "")
	if wait := got.Header().Get("Retry-After"); got.Code != http.StatusTooManyRequests || wait != "10" || !strings.HasPrefix(got.Header().Get("RateLimit"), `"minute";r=0;t=`) {
		t.Errorf("too many: %d %v %s", got.Code, got.Header(), got.Body)
	}
	if got := h.do(call{method: "GET", path: "/api/v1/topics"}); got.Code != 200 || got.Header().Get("RateLimit") != "" {
		t.Errorf("a key without a limit: %d %v", got.Code, got.Header())
	}
}

func TestUsageOfKeys(t *testing.T) {
	t.Parallel()
	h := open(t)
	one := h.keyWith(posthaste.Key{Name: "one", Scopes: []posthaste.Scope{posthaste.ReadTopics}})
	for range 3 {
		h.as(one, "GET", "/api/v1/topics", "")
	}
	h.as(one, "POST", "/api/v1/topics", `{}`)
	h.do(call{method: "GET", path: "/api/v1/topics"})
	ctx, stop := context.WithCancel(t.Context())
	stop() // it writes once more at its end
	h.meter.Run(ctx)
	day := time.Now().UTC().Format(time.DateOnly)
	usage := func(key, query string) string { return h.as(key, "GET", "/api/v1/usage"+query, "").Body.String() }
	want := fmt.Sprintf(`{"key":"one","day":"%s","scope":"topics:read","requests":3,"refused":0,"failed":0,"notices":0}`, day)
	if got := usage(one, ""); !strings.Contains(got, want) || !strings.Contains(got, `"scope":"topics:write","requests":1,"refused":1`) || strings.Contains(got, "desk") {
		t.Errorf("its own usage: %s", got)
	}
	if got := usage(h.key, ""); !strings.Contains(got, want) || !strings.Contains(got, "desk") {
		t.Errorf("everybody's: %s", got)
	}
	if got := usage(h.key, "?key=one"); !strings.Contains(got, want) || strings.Contains(got, "desk") {
		t.Errorf("one key's: %s", got)
	}
	if got := usage(h.key, "?from=2020-01-01&to=2020-02-01"); !strings.Contains(got, `"items":[]`) {
		t.Errorf("another time: %s", got)
	}
	if got := h.as(one, "GET", "/api/v1/usage?key=desk", ""); got.Code != http.StatusForbidden {
		t.Errorf("another's: %d", got.Code)
	}
	h.refused("day", call{method: "GET", path: "/api/v1/usage?from=yesterday"}, 422, "from")
	h.refused("span", call{method: "GET", path: "/api/v1/usage?from=2020-01-01"}, 422, "from")
}
