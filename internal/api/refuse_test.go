package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// route is one that takes a JSON body: a valid one, and the names without which it is none.
type route struct {
	method, path, valid string
	needed              []string
}

func (h *house) jsonRoutes() []route {
	draft, sending := fmt.Sprint("/api/v1/campaigns/", h.draft.ID), fmt.Sprint("/api/v1/campaigns/", h.sending().ID)
	return []route{
		{"POST", "/api/v1/topics", `{"key":"new","name":"New"}`, []string{"key", "name"}},
		{"PUT", "/api/v1/recipients/new@example.com", `{"name":"N","locale":"en","time_zone":"UTC","attributes":{"a":"b"}}`, nil},
		{"POST", "/api/v1/recipients/a@example.com/consents", `{"purpose":"topic","topic":"weekly","decision":"given","source":"s","wording":"w"}`, []string{"purpose", "topic", "decision", "source", "wording"}},
		{"POST", "/api/v1/campaigns", `{"name":"n","topic":"weekly","from":"a@example.com","reply_to":"b@example.com","subject":"s","preheader":"p","format":"html","body":"b",
			"layout":"letter","tracking":{"opens":"none","clicks":"none"},"version":1}`, []string{"name", "topic", "from", "subject", "body"}},
		{"PATCH", draft, `{"name":"n","topic":"weekly","from":"a@example.com","subject":"s","version":1}`, nil},
		{"POST", draft + "/schedule", `{"at":"` + soon() + `T09:00","time_zone":"Europe/Berlin"}`, nil},
		{"POST", draft + "/test", `{"to":"a@example.com"}`, []string{"to"}},
		{"POST", draft + "/preview", `{"recipient":"a@example.com"}`, []string{"recipient"}},
		{"POST", sending + "/deliveries/1/resolve", `{"decision":"accepted"}`, []string{"decision"}},
		{"POST", "/api/v1/suppressions", `{"email":"a@example.com","scope":"weekly","evidence":"e"}`, []string{"email"}},
	}
}

// TestBodiesThatAreRefused has every route refuse every kind of broken body.
func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, r := range h.jsonRoutes() {
		for name, body := range map[string]string{
			"two values": r.valid + r.valid, "something after it": r.valid + "x", "a bracket after it": r.valid + "}", "nothing": "", "blank": " \n", "cut off": r.valid[:len(r.valid)-1],
			"null": "null", "array": "[" + r.valid + "]", "text": `"x"`, "number": "1", "no JSON": "name=x", "a comment": "/* */" + r.valid, "a comma too many": strings.TrimSuffix(r.valid, "}") + ",}",
		} {
			h.refused(name, call{method: r.method, path: r.path, kind: "application/json", body: body}, 422, "body")
		}
		for _, kind := range []string{"-", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "garbage;;"} {
			h.refused("content type "+kind, call{method: r.method, path: r.path, kind: kind, body: r.valid}, 422, "Content-Type")
		}
		h.refused("unknown field", call{method: r.method, path: r.path, body: strings.Replace(r.valid, "{", `{"nonsense":1,`, 1)}, 422, "nonsense")
		h.refused("too large", call{method: r.method, path: r.path, body: strings.Replace(r.valid, "{", `{"nonsense":"`+strings.Repeat("x", 1<<20)+`",`, 1)}, 413, "")
		var fields map[string]json.RawMessage
		must(t, json.Unmarshal([]byte(r.valid), &fields))
		for name := range fields {
			h.refused("wrong type", call{method: r.method, path: r.path, body: with(t, fields, name, `[12]`)}, 422, name)
		}
		for _, name := range r.needed {
			h.refused("missing", call{method: r.method, path: r.path, body: with(t, fields, name, "")}, 422, name)
			h.refused("null for", call{method: r.method, path: r.path, body: with(t, fields, name, "null")}, 422, name)
			h.refused("blank", call{method: r.method, path: r.path, body: with(t, fields, name, `""`)}, 422, name)
		}
	}
	// The valid bodies are valid, or all of the above proves nothing. A schedule goes last: it ends the draft.
	routes := h.jsonRoutes()
	for i, r := range append(append(routes[:5:5], routes[6:]...), routes[5]) {
		if w := h.do(call{method: r.method, path: r.path, body: r.valid}); w.Code >= 300 {
			t.Errorf("route %d: %s %s: %d %s", i, r.method, r.path, w.Code, w.Body)
		}
	}
}

// with is the object with one field changed, or left out.
func with(tb testing.TB, fields map[string]json.RawMessage, name, value string) string {
	tb.Helper()
	changed := maps.Clone(fields)
	changed[name] = json.RawMessage(value)
	if value == "" {
		delete(changed, name)
	}
	text, err := json.Marshal(changed)
	must(tb, err)
	return string(text)
}

// TestHeaderInjection puts a line end into every text that may reach a header.
func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	h := open(t)
	manyLines := map[string]bool{"body": true, "evidence": true, "wording": true} // never in a header
	for _, r := range h.jsonRoutes() {
		var fields map[string]any
		must(t, json.Unmarshal([]byte(r.valid), &fields))
		var raw map[string]json.RawMessage
		must(t, json.Unmarshal([]byte(r.valid), &raw))
		for name, value := range fields {
			text, isText := value.(string)
			if !isText || manyLines[name] || name == "layout" { // the composer knows the layouts
				continue
			}
			for _, injected := range []string{text + "\r\nBcc: x@example.com", text + "\nBcc: x@example.com", text + "\rx", "\x00" + text, text + "\u0085x"} {
				quoted, err := json.Marshal(injected)
				must(t, err)
				h.refused(fmt.Sprintf("%s = %q", name, injected), call{method: r.method, path: r.path, body: with(t, raw, name, string(quoted))}, 422, name)
			}
		}
	}
	inject := url.QueryEscape("x\r\nBcc: y@example.com")
	for field, query := range map[string]string{"source": "topic=weekly&wording=w&source=" + inject, "wording": "topic=weekly&source=s&wording=" + inject, "topic": "source=s&wording=w&topic=" + inject} {
		h.refused("import", call{method: "POST", path: "/api/v1/recipients/import?" + query, kind: "text/csv", body: "email\nz@example.com\n"}, 422, field)
	}
	h.refused("path", call{method: "PUT", path: "/api/v1/recipients/x@example.com%0d%0aBcc:%20y@example.com", body: `{}`}, 422, "path")
	h.refused("attribute", call{method: "PUT", path: "/api/v1/recipients/x@example.com", body: `{"attributes":{"a\r\nb":"x"}}`}, 422, "attributes")
	h.refused("attribute value", call{method: "PUT", path: "/api/v1/recipients/x@example.com", body: `{"attributes":{"a":"x\u0000"}}`}, 422, "attributes.a")
	h.refused("body", call{method: "PATCH", path: fmt.Sprint("/api/v1/campaigns/", h.draft.ID), body: `{"body":"x\u0000y"}`}, 422, "body")
	h.refused("evidence", call{method: "POST", path: "/api/v1/suppressions", body: `{"email":"a@example.com","evidence":"x\u0000"}`}, 422, "evidence")
}

func TestValuesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	long := strings.Repeat("x", 2001)
	draft := fmt.Sprint("/api/v1/campaigns/", h.draft.ID)
	const recipient, consents = "/api/v1/recipients/b@example.com", "/api/v1/recipients/a@example.com/consents"
	for _, c := range []struct {
		method, path, body string
		field              string
	}{
		{"POST", "/api/v1/topics", `{"key":"All Caps","name":"x"}`, "key"}, {"POST", "/api/v1/topics", `{"key":"all","name":"x"}`, "key"}, {"POST", "/api/v1/topics", `{"key":"-x","name":"x"}`, "key"},
		{"POST", "/api/v1/topics", `{"key":"` + long[:64] + `","name":"x"}`, "key"}, {"POST", "/api/v1/topics", `{"key":"x\n","name":"x"}`, "key"}, {"POST", "/api/v1/topics", `{"key":"x","name":"` + long[:201] + `"}`, "name"},
		{"PUT", recipient, `{"locale":"not a language"}`, "locale"}, {"PUT", recipient, `{"time_zone":"Mars/Base"}`, "time_zone"}, {"PUT", recipient, `{"time_zone":"Local"}`, "time_zone"},
		{"PUT", recipient, `{"time_zone":"../../etc/passwd"}`, "time_zone"}, {"PUT", recipient, `{"name":"` + long[:501] + `"}`, "name"}, {"PUT", recipient, `{"attributes":{"Bad Name":"x"}}`, "attributes"},
		{"PUT", recipient, `{"attributes":{"a":"` + strings.Repeat("x", 10_001) + `"}}`, "attributes.a"}, {"PUT", recipient, manyAttributes(101), "attributes"},
		{"PUT", "/api/v1/recipients/7", `{}`, "path"}, {"PUT", "/api/v1/recipients/a@", `{}`, "path"}, {"PUT", "/api/v1/recipients/a@b@c", `{}`, "path"}, {"PUT", "/api/v1/recipients/a%20b@example.com", `{}`, "path"},
		{"POST", consents, `{"purpose":"profiling","decision":"given","source":"s","wording":"w"}`, "purpose"}, {"POST", consents, `{"purpose":"opens","decision":"maybe"}`, "decision"},
		{"POST", consents, `{"purpose":"topic","topic":"nonsense","decision":"withdrawn"}`, "topic"}, {"POST", consents, `{"purpose":"opens","topic":"weekly","decision":"withdrawn"}`, "topic"},
		{"POST", consents, `{"purpose":"opens","decision":"given","source":"s","wording":" "}`, "wording"},
		{"PATCH", draft, `{"topic":"nonsense"}`, "topic"}, {"PATCH", draft, `{"from":"nobody"}`, "from"}, {"PATCH", draft, `{"from":"a@example.com, b@example.com"}`, "from"}, {"PATCH", draft, `{"reply_to":"x@"}`, "reply_to"},
		{"PATCH", draft, `{"format":"pdf"}`, "format"}, {"PATCH", draft, `{"tracking":{"opens":"all"}}`, "tracking.opens"}, {"PATCH", draft, `{"tracking":{"clicks":1}}`, "tracking.clicks"},
		{"PATCH", draft, `{"body":""}`, "body"}, {"PATCH", draft, `{"body":"\n{{bad}}"}`, "body"}, {"PATCH", draft, `{"subject":"` + long[:1001] + `"}`, "subject"}, {"PATCH", draft, `{"id":7}`, "id"}, {"PATCH", draft, `{"state":"sent"}`, "state"},
		{"POST", draft + "/test", `{"to":"stranger@example.com"}`, "to"}, {"POST", draft + "/test", `{"to":"no address"}`, "to"}, {"POST", draft + "/preview", `{"recipient":"stranger@example.com"}`, "recipient"},
		{"POST", "/api/v1/suppressions", `{"email":"no address"}`, "email"}, {"POST", "/api/v1/suppressions", `{"email":"a@example.com","scope":"nonsense"}`, "scope"},
		{"POST", "/api/v1/suppressions", `{"email":"a@example.com","evidence":"` + long + `"}`, "evidence"},
		{"GET", "/api/v1/campaigns?limit=0", "", "limit"}, {"GET", "/api/v1/campaigns?limit=1001", "", "limit"}, {"GET", "/api/v1/campaigns?limit=ten", "", "limit"}, {"GET", "/api/v1/campaigns?cursor=x", "", "cursor"},
		{"GET", "/api/v1/campaigns?cursor=-1", "", "cursor"}, {"GET", "/api/v1/suppressions?cursor=99999999999999999999", "", "cursor"}, {"GET", "/api/v1/suppressions?email=nonsense", "", "email"},
		{"GET", draft + "/deliveries?limit=-1", "", "limit"}, {"GET", draft + "/deliveries?cursor=1.5", "", "cursor"}, {"GET", draft + "/deliveries?state=lost", "", "state"},
	} {
		h.refused(c.body, call{method: c.method, path: c.path, body: c.body}, 422, c.field)
	}
	p := h.refused("template", call{method: "PATCH", path: draft, body: `{"body":"\n{{bad}}"}`}, 422, "body")
	if p.Errors[0].Reason != "line 2, column 7: there is no bad" {
		t.Errorf("reason %q", p.Errors[0].Reason)
	}
	p = h.refused("several at once", call{method: "POST", path: "/api/v1/campaigns", body: `{"topic":"x","from":"x"}`}, 422, "topic")
	if len(p.Errors) != 5 { // name, subject, from, topic, body
		t.Errorf("fields %v", p.Errors)
	}
}

func manyAttributes(n int) string {
	a := map[string]string{}
	for i := range n {
		a[fmt.Sprint("a", i)] = "x"
	}
	text, _ := json.Marshal(map[string]any{"attributes": a}) // of texts: cannot fail
	return string(text)
}

func TestWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, n := range []string{"999", "0", "-1", "abc", "1.5", "99999999999999999999", "%00"} {
		for _, c := range []call{
			{method: "GET", path: "/api/v1/campaigns/" + n}, {method: "PATCH", path: "/api/v1/campaigns/" + n, body: `{}`}, {method: "POST", path: "/api/v1/campaigns/" + n + "/schedule", body: `{}`},
			{method: "POST", path: "/api/v1/campaigns/" + n + "/pause"}, {method: "GET", path: "/api/v1/campaigns/" + n + "/deliveries"}, {method: "POST", path: "/api/v1/campaigns/" + n + "/test", body: `{"to":"a@example.com"}`},
			{method: "POST", path: "/api/v1/campaigns/" + n + "/deliveries/1/resolve", body: `{"decision":"failed"}`}, {method: "DELETE", path: "/api/v1/suppressions/" + n},
			{method: "GET", path: "/api/v1/recipients/" + n}, {method: "GET", path: "/api/v1/recipients/" + n + "/consents"}, {method: "GET", path: "/api/v1/recipients/x" + n + "@example.com"},
		} {
			h.refused(n, c, 404, "")
		}
	}
	h.refused("no route", call{method: "GET", path: "/api/v1/nonsense"}, 404, "")
	h.refused("no such method", call{method: "DELETE", path: "/api/v1/topics"}, 404, "")
}

func TestStatesThatDoNotFit(t *testing.T) {
	t.Parallel()
	h := open(t)
	draft, scheduled, cancelled := fmt.Sprint("/api/v1/campaigns/", h.draft.ID), fmt.Sprint("/api/v1/campaigns/", h.addDraft().ID), fmt.Sprint("/api/v1/campaigns/", h.addDraft().ID)
	h.call("POST", scheduled+"/schedule", `{"at":"`+soon()+`T09:00"}`, 200)
	h.call("POST", cancelled+"/cancel", "", 200)
	sent := fmt.Sprint("/api/v1/campaigns/", h.sending().ID)
	_, err := h.store.Finish(t.Context())
	must(t, err)
	sending := fmt.Sprint("/api/v1/campaigns/", h.sending().ID)
	h.workers.announced = nil
	for path, verbs := range map[string][]string{
		draft: {"unschedule", "pause", "resume"}, sent: {"unschedule", "pause", "resume", "cancel", "schedule"}, scheduled: {"pause", "resume", "schedule"},
		sending: {"unschedule", "resume", "schedule"}, cancelled: {"unschedule", "pause", "resume", "cancel", "schedule"},
	} {
		for _, verb := range verbs {
			c := call{method: "POST", path: path + "/" + verb}
			if verb == "schedule" {
				c.body = `{}`
			}
			h.refused(verb, c, 409, "")
		}
	}
	for _, path := range []string{scheduled, sending, cancelled} {
		h.refused("change", call{method: "PATCH", path: path, body: `{"name":"x"}`}, 409, "")
	}
	h.refused("resolve", call{method: "POST", path: draft + "/deliveries/1/resolve", body: `{"decision":"failed"}`}, 409, "")
	h.refused("topic", call{method: "POST", path: "/api/v1/topics", body: `{"key":"weekly","name":"x"}`}, 409, "")
	if len(h.workers.announced) > 0 {
		t.Errorf("steps that were refused were announced: %v", h.workers.announced)
	}
}

func TestImportsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	const good = "topic=weekly&source=s&wording=w"
	for _, c := range []struct{ name, query, kind, body, field string }{
		{"no topic", "source=s&wording=w", "text/csv", "email\nx@example.com\n", "topic"}, {"unknown topic", "topic=x&source=s&wording=w", "text/csv", "email\nx@example.com\n", "topic"},
		{"no source", "topic=weekly&wording=w", "text/csv", "email\nx@example.com\n", "source"}, {"no wording", "topic=weekly&source=s", "text/csv", "email\nx@example.com\n", "wording"},
		{"blank wording", "topic=weekly&source=s&wording=+", "text/csv", "email\nx@example.com\n", "wording"}, {"dry_run", good + "&dry_run=perhaps", "text/csv", "email\nx@example.com\n", "dry_run"},
		{"misspelt", good + "&dryrun=true", "text/csv", "email\nx@example.com\n", "dryrun"}, {"JSON", good, "application/json", "{}", "Content-Type"}, {"no type", good, "-", "email\nx@example.com\n", "Content-Type"},
		{"form", good, "multipart/form-data; boundary=x", "--x--", "Content-Type"}, {"empty", good, "text/csv", "", "line 1"}, {"no header", good, "text/csv", "x@example.com\n", "line 1"},
		{"two emails", good, "text/csv", "email,email\nx@example.com,y@example.com\n", "line 1"}, {"UTF-16", good, "text/csv", "\xff\xfee\x00m\x00", "line 1"}, {"latin 1", good, "text/csv", "email,stra\xdfe\nx@example.com,y\n", "line 1"},
		{"binary", good, "text/csv", "\x00\x01\x02\x03", "line 1"},
	} {
		h.refused(c.name, call{method: "POST", path: "/api/v1/recipients/import?" + c.query, kind: c.kind, body: c.body}, 422, c.field)
	}
	w := h.do(call{method: "POST", path: "/api/v1/recipients/import?" + good, kind: "text/csv", body: "email,name\n\"open,x\nx@example.com,ok\n,nobody\na@example.com,\"a\"b\ny@example.com,a,b,c\n"})
	var report posthaste.ImportReport
	must(t, json.Unmarshal(w.Body.Bytes(), &report))
	if w.Code != 200 || report.RejectedRows == 0 || report.Rows != report.Added+report.Updated+report.Unchanged+report.Merged+report.RejectedRows || len(report.Rejected) != int(report.RejectedRows) {
		t.Errorf("malformed lines: %d %+v", w.Code, report)
	}
	if strings.Contains(w.Body.String(), "@") {
		t.Errorf("the report quotes cells: %s", w.Body)
	}
}

func TestEveryRouteNeedsAKey(t *testing.T) {
	t.Parallel()
	h := open(t)
	router, ok := h.handler.(*echo.Echo)
	if !ok {
		t.Fatal("no router")
	}
	seen := 0
	for _, r := range router.Routes() {
		if strings.Contains(r.Method, "echo") || r.Path == "/api/v1/openapi.json" { // its own not-found routes; and what is for everybody
			continue
		}
		seen++
		path := strings.NewReplacer(":recipient", "a@example.com", ":campaign", fmt.Sprint(h.draft.ID), ":delivery", "1", ":suppression", "1").Replace(r.Path)
		for name, value := range map[string]string{"none": "", "wrong": "Bearer ph_AAAAAAAAAAAAAAAAAAAAAAAAAA", "empty": "Bearer ", "basic": "Basic dXNlcjp3cm9uZw==", "garbage": "x", "half": "Bearer " + h.key[:len(h.key)-1], "bare": h.key} {
			h.refused(name, call{method: r.Method, path: path, body: `{}`, header: []string{"Authorization", value}}, 401, "")
		}
	}
	if seen < 23 {
		t.Errorf("only %d routes", seen)
	}
}

func TestKeysInEveryForm(t *testing.T) {
	t.Parallel()
	h := open(t)
	request, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	must(t, err)
	request.SetBasicAuth("anybody", h.key)
	for _, value := range []string{"Bearer " + h.key, "bearer " + h.key, "BEARER  " + h.key, request.Header.Get("Authorization")} {
		if w := h.do(call{method: "GET", path: "/api/v1/topics", header: []string{"Authorization", value}}); w.Code != 200 {
			t.Errorf("%s…: %d", value[:7], w.Code)
		}
	}
	// A browser that knows the key must not be made to use it by another site.
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
		c := call{method: "POST", path: fmt.Sprintf("/api/v1/campaigns/%d/cancel", h.draft.ID), header: append(header, "Authorization", request.Header.Get("Authorization"))}
		h.refused(fmt.Sprint(header), c, 403, "")
	}
	c := call{method: "POST", path: fmt.Sprintf("/api/v1/campaigns/%d/cancel", h.draft.ID), header: []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}}
	if w := h.do(c); w.Code != 200 {
		t.Errorf("same origin: %d %s", w.Code, w.Body)
	}
}

// A look-up that fails must not turn one topic into all of them.
func TestAFailingLookUpWidensNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.serve(withFailingTopics{h.store}, h.composer)
	for _, c := range []call{
		{method: "POST", path: "/api/v1/suppressions", body: `{"email":"a@example.com","scope":"weekly"}`},
		{method: "POST", path: "/api/v1/recipients/a@example.com/consents", body: `{"purpose":"topic","topic":"weekly","decision":"withdrawn"}`},
		{method: "POST", path: "/api/v1/recipients/a@example.com/consents", body: `{"purpose":"topic","topic":"weekly","decision":"given","source":"s","wording":"w"}`},
		{method: "PATCH", path: fmt.Sprint("/api/v1/campaigns/", h.draft.ID), body: `{"topic":"weekly"}`},
		{method: "POST", path: "/api/v1/recipients/import?topic=weekly&source=s&wording=w", kind: "text/csv", body: "email\nz@example.com\n"},
	} {
		h.refused("look-up fails", c, 500, "")
	}
}

func TestPartsThatAreAway(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.workers.err = &posthaste.Error{Kind: posthaste.Unavailable, Message: "no worker is running", Err: errors.New("secret")}
	path := fmt.Sprint("/api/v1/campaigns/", h.draft.ID)
	if w := h.do(call{method: "POST", path: path + "/test", body: `{"to":"a@example.com"}`}); w.Code != 503 || !strings.Contains(w.Body.String(), `"no worker is running"`) {
		t.Errorf("no worker: %d %s", w.Code, w.Body)
	}
	h.composer.sender = posthaste.Refuse("POSTHASTE_SENDER_NAME", "is not set")
	h.refused("sender", call{method: "POST", path: path + "/schedule", body: `{}`}, 422, "POSTHASTE_SENDER_NAME")
	h.refused("sender", call{method: "POST", path: path + "/test", body: `{"to":"a@example.com"}`}, 422, "POSTHASTE_SENDER_NAME")
	must(t, h.store.Close())
	for _, c := range []call{{method: "GET", path: "/api/v1/topics"}, {method: "POST", path: "/api/v1/topics", body: `{"key":"x","name":"x"}`}} {
		if w := h.do(c); w.Code < 500 || strings.Contains(w.Body.String(), "sql") {
			t.Errorf("database down: %d %s", w.Code, w.Body)
		}
	}
}
