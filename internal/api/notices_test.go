package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste"
)

// receipt is a notice type; more is further JSON fields, each with a comma before it.
func receipt(more string) string {
	return `{"key": "receipt", "name": "Receipts", "reason": "you bought something", "from": "Shop <shop@example.com>", "subject": "Receipt {{ data.id }}",
		"body": "Thank you, {{ recipient.name }}", "schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}` + more + `}`
}

func notice(to, more string) string {
	return `{"type": "receipt", "to": ` + to + `, "data": {"id": "7"}` + more + `}`
}

const ada = `{"email": "ada@example.com", "name": "Ada"}`

// TestNoticesOfManyRecipients: each has its own result, and those who cannot get
// theirs keep nobody else from it.
func TestNoticesOfManyRecipients(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	got := h.call("POST", "/api/v1/notices", notice(`[`+ada+`, {"email": "nobody"}, {"email": "ADA@example.com"}, {"email": "bob@example.com", "data": {"n": "x"}},
		{"email": "cy@example.com", "data": {"id": "8"}, "external_id": "own", "metadata": {"a": "2"}}]`, `, "external_id": "all", "metadata": {"a": "1", "b": "1"}`), 202)
	if got["queued"] != 2.0 || got["refused"] != 3.0 {
		t.Errorf("answer %v", got)
	}
	var told []string
	for _, r := range got["results"].([]any) {
		r := r.(map[string]any)
		line := fmt.Sprint(r["index"], r["state"], r["external_id"])
		if errs, ok := r["errors"].([]any); ok {
			line = fmt.Sprint(r["index"], errs[0].(map[string]any)["name"])
		}
		told = append(told, line)
	}
	if want := []string{"0queuedall", "1/to/1/email", "2/to/2/email", "3/to/3/data/n", "4queuedown"}; !slices.Equal(told, want) {
		t.Errorf("results %v, want %v", told, want)
	}
	if len(h.workers.published) != 2 {
		t.Errorf("published %v", h.workers.published)
	}
	shown := h.call("GET", fmt.Sprintf("/api/v1/notices/%d", h.workers.published[1]), "", 200)
	if m := shown["metadata"].(map[string]any); m["a"] != "2" || m["b"] != "1" || shown["state"] != "queued" || shown["type"] != "receipt" {
		t.Errorf("notice %v", shown)
	}
}

func TestARepeatedCallIsAnsweredAsBefore(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	send := func(body, key string) (int, string) {
		w := h.do(call{method: "POST", path: "/api/v1/notices", body: body, header: []string{"Idempotency-Key", key}})
		return w.Code, w.Body.String()
	}
	status, first := send(notice(ada, ""), "k1")
	if status != 202 {
		t.Fatal(first)
	}
	h.call("PUT", "/api/v1/notice-types/receipt", strings.ReplaceAll(receipt(""), `"required": ["id"]`, `"required": ["id", "n"]`), 200)
	if status, again := send(notice(ada, ""), "k1"); status != 202 || again != first {
		t.Errorf("again: %d %s, first %s", status, again, first)
	}
	if status, other := send(notice(ada, `, "external_id": "x"`), "k1"); status != http.StatusConflict {
		t.Errorf("another body: %d %s", status, other)
	}
	w := h.do(call{method: "POST", path: "/api/v1/notices", body: notice(ada, ""), header: []string{"Idempotency-Key", "k1"}})
	if len(h.workers.published) != 1 || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("published %v; %v", h.workers.published, w.Header())
	}
	h.refused("key", call{method: "POST", path: "/api/v1/notices", body: notice(ada, ""), header: []string{"Idempotency-Key", strings.Repeat("k", 256)}}, 422, "Idempotency-Key")
}

// TestAcceptedWhileTheBrokerIsAway: the ledger has it, and the scheduler queues it.
func TestAcceptedWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	h.workers.err = &posthaste.Error{Kind: posthaste.Unavailable, Message: "away"}
	h.call("POST", "/api/v1/notices", notice(ada, ""), 202)
	due, err := h.store.QueueNotices(t.Context(), time.Now().Add(2*time.Second), true, 10)
	must(t, err)
	if len(due) != 1 {
		t.Errorf("due %v", due)
	}
}

func TestNoticesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	h.call("POST", "/api/v1/notice-types", strings.Replace(receipt(`, "keys": ["shop"]`), `"receipt"`, `"closed"`, 1), 201)
	file := func(name, kind, id string, size int) string {
		return fmt.Sprintf(`, "attachments": [{"name": %q, "content_type": %q, "content_id": %q, "content": %q}]`, name, kind, id, base64.StdEncoding.EncodeToString(make([]byte, size)))
	}
	many := `[` + strings.TrimSuffix(strings.Repeat(ada+",", 1001), ",") + `]`
	for _, c := range []struct {
		name, body string
		status     int
		field      string
	}{
		{"no type", `{"to": ` + ada + `}`, 422, "/type"},
		{"unknown type", strings.Replace(notice(ada, ""), "receipt", "none", 1), 422, "/type"},
		{"a type that does not allow the key", strings.Replace(notice(ada, ""), "receipt", "closed", 1), 403, "/type"},
		{"no recipient", `{"type": "receipt"}`, 422, "/to"},
		{"null", notice("null", ""), 422, "/to"},
		{"empty list", notice("[]", ""), 422, "/to"},
		{"too many", notice(many, ""), 422, "/to"},
		{"text", notice(`"ada@example.com"`, ""), 422, "/to"},
		{"a list of text", notice(`["ada@example.com"]`, ""), 422, "/to/0"},
		{"bad address", notice(`{"email": "ada"}`, ""), 422, "/to/email"},
		{"unknown field", notice(`{"email": "a@example.com", "phone": "1"}`, ""), 422, "/to/phone"},
		{"unknown field of the call", notice(ada, `, "tracking": {}`), 422, "/tracking"},
		{"topic", notice(ada, `, "topic": "weekly"`), 422, "/topic"},
		{"name", notice(`{"email": "a@example.com", "name": "a\r\nBcc: x@example.com"}`, ""), 422, "/to/name"},
		{"locale", notice(`{"email": "a@example.com", "locale": "??"}`, ""), 422, "/to/locale"},
		{"missing data", strings.Replace(notice(ada, ""), `{"id": "7"}`, `{}`, 1), 422, "/data/id"},
		{"wrong data", strings.Replace(notice(ada, ""), `{"id": "7"}`, `{"id": "7", "n": 1.5}`, 1), 422, "/data/n"},
		{"data is a list", strings.Replace(notice(ada, ""), `{"id": "7"}`, `[]`, 1), 422, "/data"},
		{"own data", notice(`{"email": "a@example.com", "data": {"n": "x"}}`, ""), 422, "/to/data/n"},
		{"subject", strings.Replace(notice(ada, ""), `"7"`, `"7\r\nBcc: x@example.com"`, 1), 422, "/data"},
		{"past", notice(ada, `, "valid_until": "2020-01-01T00:00:00Z"`), 422, "/valid_until"},
		{"too long", notice(ada, `, "valid_until": "2099-01-01T00:00:00Z"`), 422, "/valid_until"},
		{"no time", notice(ada, `, "valid_until": "soon"`), 422, "/valid_until"},
		{"external id", notice(ada, `, "external_id": "`+strings.Repeat("x", 201)+`"`), 422, "/external_id"},
		{"metadata", notice(ada, `, "metadata": {"a": 1}`), 422, ""},
		{"long metadata", notice(ada, `, "metadata": {"a": "`+strings.Repeat("x", 501)+`"}`), 422, "/metadata/a"},
		{"program", notice(ada, file("setup.exe", "application/octet-stream", "", 3)), 422, "/attachments/0/name"},
		{"no file name", notice(ada, file("", "text/plain", "", 3)), 422, "/attachments/0/name"},
		{"media type", notice(ada, file("a.txt", "text/plain; charset=x\r\nX: y", "", 3)), 422, "/attachments/0/content_type"},
		{"inline text", notice(ada, file("a.txt", "text/plain", "a@b", 3)), 422, "/attachments/0/content_type"},
		{"empty file", notice(ada, file("a.txt", "text/plain", "", 0)), 422, "/attachments/0/content"},
		{"too much", notice(ada, file("a.txt", "text/plain", "", 10<<20+1)), 422, "/attachments"},
		{"not base64", notice(ada, `, "attachments": [{"name": "a", "content_type": "a/b", "content": "%%%"}]`), 422, "/attachments/0/content"},
		{"far too much", notice(ada, file("a.txt", "text/plain", "", 13<<20)), 413, ""},
		{"no JSON", `{"type": `, 422, ""},
	} {
		h.refused(c.name, call{method: "POST", path: "/api/v1/notices", body: c.body}, c.status, c.field)
	}
	if len(h.workers.published) != 0 {
		t.Errorf("published %v", h.workers.published)
	}
	for _, path := range []string{"/api/v1/notices/1", "/api/v1/notices/x"} {
		h.refused("no notice", call{method: "GET", path: path}, 404, "")
	}
	for query, field := range map[string]string{"state=sent": "state", "call=x": "call", "email=x": "email", "cursor=x": "cursor", "externalid=x": "externalid"} {
		h.refused(query, call{method: "GET", path: "/api/v1/notices?" + query}, 422, field)
	}
}

func TestNoticeTypesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, c := range []struct{ name, from, to, field string }{
		{"key", `"receipt"`, `"Receipt!"`, "key"},
		{"no name", `"Receipts"`, `""`, "name"},
		{"no reason", `"you bought something"`, `""`, "reason"},
		{"sender", `shop@example.com`, `nobody`, "from"},
		{"mandatory without a reason", `"reason"`, `"mandatory": true, "reason"`, "mandatory_reason"},
		{"mandatory and optional", `"reason"`, `"mandatory": true, "mandatory_reason": "law", "optional": true, "reason"`, "optional"},
		{"a reason for what is not mandatory", `"reason"`, `"mandatory_reason": "law", "reason"`, "mandatory_reason"},
		{"a name that the schema has not", `data.id`, `data.idd`, "subject"},
		{"a mailing's name", `{{ recipient.name }}`, `{{ links.unsubscribe }}`, "body"},
		{"topic", `"reason"`, `"topic": "weekly", "reason"`, "topic"},
		{"tracking", `"reason"`, `"tracking": {"opens": "individual"}, "reason"`, "tracking"},
		{"utm", `Thank you`, `[x](https://example.com/?utm_source=mail) Thank you`, "body"},
		{"offer", `Thank you`, `Get 20 % off, buy now. Thank you`, "body"},
		{"pixel", `Thank you`, `<img src='https://example.com/a.gif' width='1' height='1'> Thank you`, "body"},
		{"schema", `{"type": "object", "required"`, `{"type": "array", "required"`, "schema"},
		{"remote schema", `{"type": "integer"}`, `{"$ref": "https://example.com/schema.json"}`, "schema"},
		{"validity", `"reason"`, `"validity_seconds": 5, "reason"`, "validity_seconds"},
		{"format", `"reason"`, `"format": "text", "reason"`, "format"},
		{"content of its own", `"reason"`, `"format": "as_given", "reason"`, "subject"},
		{"answer", `"Receipt {{`, `"Re: receipt {{`, "subject"},
	} {
		body := strings.Replace(receipt(""), c.from, c.to, 1)
		if body == receipt("") {
			t.Fatalf("%s changes nothing", c.name)
		}
		h.refused(c.name, call{method: "POST", path: "/api/v1/notice-types", body: body}, 422, c.field)
	}
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	h.refused("taken", call{method: "POST", path: "/api/v1/notice-types", body: receipt("")}, 409, "key")
	h.refused("another key", call{method: "PUT", path: "/api/v1/notice-types/receipt", body: strings.Replace(receipt(""), `"receipt"`, `"other"`, 1)}, 422, "key")
	h.refused("an old version", call{method: "PUT", path: "/api/v1/notice-types/receipt", body: receipt(`, "version": 7`)}, 409, "")
	h.call("POST", "/api/v1/notice-types", strings.Replace(receipt(`, "optional": true`), `"receipt"`, `"digest"`, 1), 201)
	h.refused("not optional any more", call{method: "PUT", path: "/api/v1/notice-types/digest", body: strings.Replace(receipt(""), `"receipt"`, `"digest"`, 1)}, 422, "optional")
	h.refused("none", call{method: "PUT", path: "/api/v1/notice-types/none", body: receipt("")}, 404, "")
	h.refused("preview", call{method: "POST", path: "/api/v1/notice-types/receipt/preview", body: `{"data": {}}`}, 422, "/data/id")
	preview := h.call("POST", "/api/v1/notice-types/receipt/preview", `{"to": {"email": "a@example.com", "name": "Ada"}, "data": {"id": "<7>"}}`, 200)
	if preview["subject"] != "Receipt <7>" || !strings.Contains(preview["text"].(string), "Thank you, Ada") || !strings.Contains(preview["source"].(string), "Message-ID: <preview@") {
		t.Errorf("preview %v", preview)
	}
	second := h.call("PUT", "/api/v1/notice-types/receipt", strings.Replace(receipt(""), "Thank you", "Many thanks", 1), 200)
	first := h.call("GET", "/api/v1/notice-types/receipt?version=1", "", 200)
	if second["version"] != 2.0 || first["version"] != 1.0 || !strings.Contains(first["body"].(string), "Thank you") {
		t.Errorf("versions %v %v", first, second)
	}
}

func TestAnnouncementsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("POST", "/api/v1/notice-types", receipt(""), 201)
	h.call("POST", "/api/v1/notice-types", `{"key": "given", "name": "Given", "reason": "r", "from": "a@example.com", "format": "as_given"}`, 201)
	body := `{"name": "Policy", "type": "receipt", "data": {"id": "7"}, "segment": {"everybody": true}}`
	for _, c := range []struct{ name, from, to, field string }{
		{"no name", `"Policy"`, `""`, "/name"},
		{"no type", `"receipt"`, `"none"`, "/type"},
		{"no text of its own", `"receipt"`, `"given"`, "/type"},
		{"nobody", `{"everybody": true}`, `{}`, "/segment"},
		{"everybody and some", `"everybody": true`, `"everybody": true, "locales": ["de"]`, "/segment"},
		{"no topic", `"everybody": true`, `"topic": "none"`, "/segment/topic"},
		{"locale", `"everybody": true`, `"locales": ["??"]`, "/segment/locales/0"},
		{"a field of no segment", `"everybody": true`, `"local": "de"`, "/segment/local"},
		{"attribute", `"everybody": true`, `"attributes": {"A B": "x"}`, "/segment/attributes"},
		{"data", `{"id": "7"}`, `{}`, "/data/id"},
		{"pace", `"data"`, `"pace_per_hour": -1, "data"`, "/pace_per_hour"},
		{"past", `"data"`, `"at": "2020-01-01T00:00", "data"`, "/at"},
		{"zone", `"data"`, `"time_zone": "Mars", "data"`, "/time_zone"},
		{"unknown", `"data"`, `"topic": "weekly", "data"`, "/topic"},
	} {
		changed := strings.Replace(body, c.from, c.to, 1)
		if changed == body {
			t.Fatalf("%s changes nothing", c.name)
		}
		h.refused(c.name, call{method: "POST", path: "/api/v1/announcements", body: changed}, 422, c.field)
	}
	order := func(body string) (int, string) {
		w := h.do(call{method: "POST", path: "/api/v1/announcements", body: body, header: []string{"Idempotency-Key", "once"}})
		return w.Code, w.Body.String()
	}
	status, first := order(body)
	if again, second := order(body); status != 201 || again != 201 || first != second {
		t.Errorf("ordered twice: %d %s, %d %s", status, first, again, second)
	}
	if status, _ := order(strings.Replace(body, "Policy", "Other", 1)); status != http.StatusConflict {
		t.Errorf("another order with the same key: %d", status)
	}
	late := strings.Replace(body, `"data"`, `"at": "`+time.Now().Add(time.Second).Format(time.RFC3339)+`", "data"`, 1)
	if status, other := order(late); status != http.StatusConflict {
		t.Errorf("another time with the same key: %d %s", status, other)
	}
	if list := h.call("GET", "/api/v1/announcements", "", 200)["items"].([]any); len(list) != 1 {
		t.Errorf("%d announcements", len(list))
	}
}
