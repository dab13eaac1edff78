package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"posthaste"
	"posthaste/internal/webhook"
	"posthaste/templates"
)

// TestEveryRouteIsDocumented: routes and document agree both ways, scopes too.
func TestEveryRouteIsDocumented(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	routes := map[string]posthaste.Scope{}
	for _, r := range open(t).api.Routes() {
		routes[r.Method+" "+templated(r.Path)] = r.Scope
	}
	for route, scope := range routes {
		o, known := d.operations[route]
		if !known {
			t.Errorf("%s is not documented", route)
			continue
		}
		scopes := []any{}
		if scope != "" {
			scopes = append(scopes, string(scope))
		}
		if want := []any{map[string]any{"bearer": scopes}}; !reflect.DeepEqual(o.object["security"], want) {
			t.Errorf("%s: security %v, want %v", route, o.object["security"], want)
		}
		if want := "`" + string(scope) + "`"; scope != "" && !strings.Contains(text(o.object, "description"), want) {
			t.Errorf("%s: the description does not name the scope %s", route, want)
		}
	}
	for route, o := range d.operations {
		if _, known := routes[route]; !known && route != "GET /openapi.json" {
			t.Errorf("%s is documented and is no route", route)
		}
		if route == "GET /openapi.json" && len(list(o.object, "security")) > 0 {
			t.Errorf("%s needs a key, says the document", route)
		}
	}
}

// TestTheDocumentRefersToItsOwn: every reference leads somewhere, and nothing
// stands among the components for nothing.
func TestTheDocumentRefersToItsOwn(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	used := map[string]bool{}
	var refer func(node any)
	refer = func(node any) {
		for name, inner := range object(node) {
			if ref, ok := inner.(string); ok && name == "$ref" {
				used[ref] = true
				if pointer, own := strings.CutPrefix(ref, "#"); !own || d.find(pointer) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			if name != "example" && name != "examples" {
				refer(inner)
			}
		}
		items, _ := node.([]any)
		for _, item := range items {
			refer(item)
		}
	}
	refer(d.root)
	for kind := range child(d.root, "components") {
		for name := range child(child(d.root, "components"), kind) {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				t.Errorf("nothing refers to components/%s/%s", kind, name)
			}
		}
	}
	if len(used) < 100 {
		t.Errorf("only %d references", len(used))
	}
}

var (
	inTemplate = regexp.MustCompile(`\{([a-z]+)\}`)
	statusKey  = regexp.MustCompile(`^([1-5][0-9][0-9]|2XX)$`)
)

// TestTheDocumentIsWellFormed holds it against what OpenAPI 3.1 demands, and a
// bit more: summaries, tags, examples.
func TestTheDocumentIsWellFormed(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	if d.root["openapi"] != "3.1.0" || text(child(d.root, "info"), "title") == "" || text(child(d.root, "info"), "version") == "" {
		t.Errorf("openapi %v, info %v", d.root["openapi"], d.root["info"])
	}
	onlyKeys(t, "the document", d.root, "openapi", "jsonSchemaDialect", "info", "servers", "tags", "paths", "webhooks", "components")
	tags := map[string]int{}
	for _, tag := range list(d.root, "tags") {
		onlyKeys(t, "a tag", object(tag), "name", "description")
		tags[text(object(tag), "name")] = 0
	}
	all := []operation{{ID: "event", Path: "/", object: child(child(child(d.root, "webhooks"), "event"), "post"), pointer: "/webhooks/event/post"}}
	for _, o := range d.operations {
		all = append(all, o)
	}
	ids := map[string]bool{}
	for _, o := range all {
		if o.ID == "" || ids[o.ID] {
			t.Errorf("%s %s: the operationId %q is empty or another's too", o.Method, o.Path, o.ID)
		}
		ids[o.ID] = true
		for _, tag := range list(o.object, "tags") {
			name, _ := tag.(string)
			if _, known := tags[name]; !known {
				t.Errorf("%s: the tag %q is not described", o.ID, name)
			}
			tags[name]++
		}
		d.wellFormed(t, o)
	}
	for tag, n := range tags {
		if n == 0 {
			t.Errorf("no operation has the tag %q", tag)
		}
	}
}

func onlyKeys(t *testing.T, where string, node map[string]any, known ...string) {
	t.Helper()
	for key := range node {
		if !slices.Contains(known, key) {
			t.Errorf("%s: %q has no meaning there", where, key)
		}
	}
}

func (d *document) wellFormed(t *testing.T, o operation) {
	t.Helper()
	onlyKeys(t, o.ID, o.object, "tags", "operationId", "summary", "description", "security", "parameters", "requestBody", "responses")
	if s := text(o.object, "summary"); !strings.HasSuffix(s, ".") || strings.Contains(s, "\n") || len(list(o.object, "tags")) != 1 {
		t.Errorf("%s: summary %q, tags %v", o.ID, s, o.object["tags"])
	}
	var inPath []string
	for name, at := range d.parameters(o) {
		p := object(d.find(at))
		onlyKeys(t, o.ID+" "+name, p, "name", "in", "required", "description", "schema", "example")
		if text(p, "description") == "" || d.schemas[at+"/schema"] == nil || !slices.Contains([]string{"path", "query", "header"}, text(p, "in")) {
			t.Errorf("%s: the parameter %s is %v", o.ID, name, p)
		}
		if p["in"] == "path" {
			inPath = append(inPath, name)
			if p["required"] != true {
				t.Errorf("%s: the parameter %s of the path must be required", o.ID, name)
			}
		}
	}
	var wanted []string
	for _, match := range inTemplate.FindAllStringSubmatch(o.Path, -1) {
		wanted = append(wanted, match[1])
	}
	if slices.Sort(inPath); !slices.Equal(inPath, slices.Sorted(slices.Values(wanted))) {
		t.Errorf("%s: parameters %v of the path %s", o.ID, inPath, o.Path)
	}
	responses := child(o.object, "responses")
	if len(responses) == 0 {
		t.Errorf("%s has no responses", o.ID)
	}
	for status := range responses {
		r, at := d.follow(o.pointer + "/responses/" + status)
		onlyKeys(t, o.ID+" "+status, r, "description", "headers", "content")
		if !statusKey.MatchString(status) || text(r, "description") == "" {
			t.Errorf("%s: response %s: %v", o.ID, status, r)
		}
		for name := range child(r, "headers") {
			header, in := d.follow(at + "/headers/" + escape(name))
			onlyKeys(t, o.ID+" "+name, header, "description", "required", "schema")
			if d.schemas[in+"/schema"] == nil {
				t.Errorf("%s: the header %s has no schema", o.ID, name)
			}
		}
		d.mediaTypes(t, o.ID, at, child(r, "content"))
	}
	if request, at := d.follow(o.pointer + "/requestBody"); request != nil {
		onlyKeys(t, o.ID+" body", request, "required", "content")
		if content := child(request, "content"); len(content) != 1 || request["required"] != true {
			t.Errorf("%s: request body %v", o.ID, request)
		}
		d.mediaTypes(t, o.ID, at, child(request, "content"))
	}
}

func (d *document) mediaTypes(t *testing.T, where, pointer string, content map[string]any) {
	t.Helper()
	for kind, media := range content {
		onlyKeys(t, where+" "+kind, object(media), "schema", "examples")
		at := pointer + "/content/" + escape(kind)
		if d.schemas[at+"/schema"] == nil {
			t.Errorf("%s: %s has no schema", where, kind)
			continue
		}
		for name, example := range child(media, "examples") {
			onlyKeys(t, where+" "+name, object(example), "summary", "value")
			if err := d.schemas[at+"/schema"].Validate(object(example)["value"]); err != nil || text(object(example), "summary") == "" {
				t.Errorf("%s: example %s: %v", where, name, err)
			}
		}
	}
}

// keywords are those of JSON Schema 2020-12 that the document uses. Others mean
// nothing: one that is misspelt, or the end of a text with a comma.
var keywords = []string{"$ref", "type", "format", "enum", "const", "default", "description", "pattern", "minLength", "maxLength", "contentEncoding", "minimum", "maximum",
	"items", "minItems", "maxItems", "properties", "required", "additionalProperties", "unevaluatedProperties", "propertyNames", "minProperties", "maxProperties",
	"allOf", "anyOf", "oneOf", "not"}

// TestSchemas: a field that is not documented fails wherever an answer is held
// against its schema, and no word of a schema is without meaning.
func TestSchemas(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	closed := 0
	var look func(where string, node any, open bool)
	look = func(where string, node any, open bool) {
		items, _ := node.([]any)
		for _, item := range items {
			look(where, item, open)
		}
		m := object(node)
		if m == nil {
			return
		}
		onlyKeys(t, where, m, keywords...)
		if child(m, "properties") != nil && !open {
			closed++
			if m["additionalProperties"] != false && m["unevaluatedProperties"] != false {
				t.Errorf("%s takes fields that are not documented", where)
			}
			for _, name := range texts(list(m, "required")) {
				if d.fields(m)[name] == nil {
					t.Errorf("%s requires %s, which it does not have", where, name)
				}
			}
		}
		for name, inner := range child(m, "properties") {
			look(where+"."+name, inner, false)
		}
		for _, word := range []string{"items", "allOf", "anyOf", "oneOf", "not", "additionalProperties", "propertyNames"} {
			look(where, m[word], false)
		}
	}
	for name, schema := range child(child(d.root, "components"), "schemas") {
		look(name, schema, strings.HasSuffix(name, "Fields")) // which those close that are made of them
	}
	d.visit("", d.root, func(pointer string, schema map[string]any, isSchema bool) {
		if isSchema && !strings.HasPrefix(pointer, "/components/schemas/") {
			look(pointer, schema, true)
		}
	})
	if closed < 50 {
		t.Errorf("only %d objects", closed)
	}
}

// fields gives the properties of a schema, with those that it is made of.
func (d *document) fields(schema map[string]any) map[string]map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		return d.fields(object(d.find(strings.TrimPrefix(ref, "#"))))
	}
	all := map[string]map[string]any{}
	for _, word := range []string{"allOf", "oneOf"} {
		for _, part := range list(schema, word) {
			for name, field := range d.fields(object(part)) {
				all[name] = field
			}
		}
	}
	for name, field := range child(schema, "properties") {
		if len(all[name]) == 0 {
			all[name] = object(field)
		}
	}
	return all
}

// TestListsOfTheDocument compares what the document enumerates with the code.
func TestListsOfTheDocument(t *testing.T) {
	t.Parallel()
	d := theDocument(t)
	for name, want := range map[string][]string{
		"Scope": texts(posthaste.Scopes), "CampaignState": texts(posthaste.CampaignStates), "DeliveryState": texts(posthaste.DeliveryStates),
		"NoticeState": texts(posthaste.NoticeStates), "EventName": texts(posthaste.EventNames), "CampaignFields/properties/layout": templates.Layouts(),
	} {
		if got := texts(list(object(d.find("/components/schemas/"+name)), "enum")); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	described := text(object(d.find("/components/securitySchemes/bearer")), "description")
	for _, scope := range posthaste.Scopes {
		if !strings.Contains(described, "`"+string(scope)+"`") {
			t.Errorf("the scope %s is not explained", scope)
		}
	}
}

func texts[T any](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return out
}

// TestTheDocumentIsServed without a key, as it is written.
func TestTheDocumentIsServed(t *testing.T) {
	t.Parallel()
	w := open(t).do(call{method: "GET", path: "/api/v1/openapi.json", header: []string{"Authorization", ""}})
	if w.Code != 200 || !json.Valid(w.Body.Bytes()) {
		t.Fatalf("%d %.200s", w.Code, w.Body)
	}
	written, err := os.ReadFile("openapi.yaml")
	must(t, err)
	var want, got any // all JSON is YAML
	must(t, yaml.Unmarshal(written, &want))
	must(t, yaml.Unmarshal(w.Body.Bytes(), &got))
	if !reflect.DeepEqual(got, want) {
		t.Error("what is served is not what is written")
	}
}

// TestKeysThatComeTooOften: every operation says so as it is documented. That
// each refuses a key without its scope as documented, TestEveryRouteNeedsItsScope shows.
func TestKeysThatComeTooOften(t *testing.T) {
	t.Parallel()
	h := open(t)
	hasty := h.keyWith(posthaste.Key{Name: "hasty", Scopes: posthaste.Scopes, Rate: 1})
	if got := h.as(hasty, "GET", "/api/v1/topics", ""); got.Code != 200 {
		t.Fatalf("the first of its minute: %d %s", got.Code, got.Body)
	}
	for _, r := range h.api.Routes() {
		if got := h.as(hasty, r.Method, "/api/v1"+strings.ReplaceAll(r.Path, ":", ""), ""); got.Code != 429 {
			t.Errorf("%s %s: %d %s", r.Method, r.Path, got.Code, got.Body)
		}
	}
}

// TestEventsAreDocumented has everything happen that webhooks are told of.
func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	h, d := open(t), theDocument(t)
	s := steps{h: h, d: d, ids: map[string]string{}}
	hook, err := h.store.AddWebhook(t.Context(), posthaste.Webhook{URL: "https://example.com/", Events: posthaste.EventNames})
	must(t, err)
	h.sending()
	for _, name := range []string{"addNoticeType receipt", "addNoticeType policy", "addTopic weekly-news", "addAnnouncement everybody"} {
		s.run(name)
	}
	h.freeze(s.id("announcement"))
	_, err = h.store.Finish(t.Context())
	must(t, err)
	for _, state := range posthaste.NoticeStates {
		h.call("POST", "/api/v1/notices", `{"type":"receipt","to":{"email":"`+string(state)+`@example.com"},"data":{"number":"1","items":[]},"external_id":"x","metadata":{"a":"b"}}`, 202)
		if posthaste.EventOf(state) != "" && state != posthaste.NoticeExpired {
			h.attempt(h.lastNotice(), state)
		}
	}
	_, err = h.store.ExpireNotices(t.Context(), time.Now().AddDate(1, 0, 0), 100)
	must(t, err)
	told := map[string]bool{}
	for _, m := range items(h.call("GET", fmt.Sprint("/api/v1/webhooks/", hook.ID, "/messages"), "", 200)) {
		event, data := posthaste.EventName(at(m, "event")), object(object(m)["data"])
		told[string(event)] = true
		body, err := webhook.Payload(event, time.Now(), data)
		must(t, err)
		for _, err := range d.checkJSON("/webhooks/event/post/requestBody/content/application~1json/schema", string(body)) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, event := range posthaste.EventNames {
		if !told[string(event)] {
			t.Errorf("nothing was told of %s", event)
		}
	}
}
