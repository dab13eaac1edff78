package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
)

const personPath = "/api/v1/recipients/a@example.com"

// because is the header without which nothing is corrected.
var because = []string{"Audit-Reason", "call, ticket 8"}

func (h *house) correct(body string) call {
	return call{method: "PATCH", path: personPath, body: body, header: append([]string{"Authorization", "Bearer " + h.support()}, because...)}
}

// entries are the actions of the audit log about the person, newest first, with the fields that they name.
func (h *house) entries() (all []string) {
	h.tb.Helper()
	log, err := h.store.ListAudit(h.tb.Context(), posthaste.AuditFilter{Object: fmt.Sprintf("recipient/%d", h.person.ID)}, 0, 100)
	must(h.tb, err)
	for _, e := range log {
		all = append(all, strings.TrimSpace(e.Action+" "+e.Details["fields"]))
	}
	return all
}

func TestDeskCorrects(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.correct(`{"name":"Ada","time_zone":"Europe/Rome","attributes":{"city":"Rome","plan":"pro"}}`)
	if w := h.do(c); w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"Ada"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	c.body = `{"attributes":{"city":null,"team":"red"}}`
	c.path = fmt.Sprintf("/api/v1/recipients/%d", h.person.ID)
	h.do(c)
	r, err := h.store.FindRecipient(t.Context(), h.person.ID)
	must(t, err)
	if diff := cmp.Diff(posthaste.Recipient{ID: h.person.ID, Email: "a@example.com", Name: "Ada", TimeZone: "Europe/Rome", Attributes: map[string]string{"plan": "pro", "team": "red"},
		CreatedAt: h.person.CreatedAt, UpdatedAt: r.UpdatedAt}, r); diff != "" {
		t.Errorf("recipient (-want +got):\n%s", diff)
	}
	names, err := h.store.ListAttributes(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{"city", "plan", "team"}, names); diff != "" {
		t.Errorf("a template may use (-want +got):\n%s", diff)
	}
	for _, nothing := range []string{`{"name":"Ada"}`, `{"attributes":{}}`, `{"attributes":{"city":null}}`} {
		c.body = nothing
		if w := h.do(c); w.Code != 200 || !strings.Contains(w.Body.String(), `"team":"red"`) {
			t.Errorf("%s: %d %s", nothing, w.Code, w.Body)
		}
	}
	want := []string{"recipient.read", "recipient.read", "recipient.read", "recipient.change attributes", "recipient.change attributes name time_zone"}
	if diff := cmp.Diff(want, h.entries()[:5]); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	log, err := h.store.ListAudit(t.Context(), posthaste.AuditFilter{Action: "recipient.change"}, 0, 1)
	must(t, err)
	if len(log) != 1 || log[0].Actor != "support" || log[0].Reason != "call, ticket 8" {
		t.Errorf("log %+v", log)
	}
}

func TestCorrectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.refused("no reason", call{method: "PATCH", path: personPath, body: `{"name":"B"}`}, 422, "Audit-Reason")
	for body, field := range map[string]string{
		`{}`: "body", `null`: "body", ``: "body", `{"name":null}`: "body", `[]`: "body",
		`{"email":"b@example.com"}`:                   "email",
		`{"name":"B","id":1}`:                         "id",
		`{"name":1}`:                                  "name",
		`{"name":"a\nb"}`:                             "name",
		`{"name":"` + strings.Repeat("x", 501) + `"}`: "name",
		`{"locale":"not a language"}`:                 "locale",
		`{"time_zone":"Local"}`:                       "time_zone",
		`{"attributes":{"Bad Name":"x"}}`:             "attributes",
		`{"attributes":{"Bad Name":null}}`:            "attributes",
		`{"attributes":{"a":1}}`:                      "attributes",
		`{"attributes":{"a":"x\u0000"}}`:              "attributes.a",
		manyAttributes(101):                           "attributes",
	} {
		c := h.correct(body)
		c.kind = "application/json"
		h.refused(body, c, 422, field)
	}
	full := h.correct(manyAttributes(100))
	if w := h.do(full); w.Code != 200 {
		t.Errorf("a hundred: %d %s", w.Code, w.Body)
	}
	h.refused("one more than a hundred", h.correct(`{"attributes":{"one_more":"x"}}`), 422, "attributes")
	unknown := h.correct(`{"name":"B"}`)
	unknown.path = "/api/v1/recipients/nobody@example.com"
	h.refused("unknown", unknown, 404, "")
	writer := h.correct(`{"name":"B"}`)
	writer.header[1] = "Bearer " + h.keyWith(posthaste.Key{Name: "writer", Scopes: []posthaste.Scope{posthaste.WriteRecipients, posthaste.ReadRecipients}})
	h.refused("not the desk", writer, 403, "")
}

func TestDeskCorrectsAddresses(t *testing.T) {
	t.Parallel()
	h := open(t)
	key := h.support()
	w := h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"correction","email":"A@Example.com","new_email":"ada@example.org","reason":"call"}`)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"state":"open"`) || !strings.Contains(w.Body.String(), `"link_sent":true`) || strings.Contains(w.Body.String(), "/a/") || strings.Contains(w.Body.String(), "example.org") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"correction","email":"nobody@example.com","new_email":"b@example.org","reason":"call"}`)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"state":"nothing"`) || !strings.Contains(w.Body.String(), `"link_sent":false`) {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
	w = h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"correction","email":"a@example.com","new_email":"A@EXAMPLE.com","reason":"call"}`)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"link_sent":true`) {
		t.Errorf("another spelling: %d %s", w.Code, w.Body)
	}
	if len(h.sent) != 2 || !strings.HasPrefix(h.sent[0], posthaste.DataNotice+" ada@example.org ") {
		t.Errorf("sent %q", h.sent)
	}
	if r, err := h.store.FindRecipient(t.Context(), h.person.ID); err != nil || r.Email != "a@example.com" {
		t.Errorf("corrected before it is confirmed: %+v %v", r, err)
	}
	if open := items(h.call("GET", "/api/v1/desk/requests?state=open", "", 200)); len(open) != 1 {
		t.Errorf("of two corrections of one person the latest counts: open are %v", open)
	}
}

func TestCorrectionsOfAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.call("PUT", "/api/v1/recipients/b@example.com", `{}`, 201)
	for body, field := range map[string]string{
		`{"kind":"correction","email":"a@example.com","reason":"r"}`:                                              "new_email",
		`{"kind":"correction","email":"a@example.com","new_email":"b","reason":"r"}`:                              "new_email",
		`{"kind":"correction","email":"a@example.com","new_email":"a@example.com","reason":"r"}`:                  "new_email",
		`{"kind":"correction","email":"a","new_email":"b@example.org","reason":"r"}`:                              "email",
		`{"kind":"correction","email":"a@example.com","new_email":"b@example.org"}`:                               "reason",
		`{"kind":"correction","email":"a@example.com","new_email":"b@example.org","scope":"weekly","reason":"r"}`: "scope",
		`{"kind":"access","email":"a@example.com","new_email":"b@example.org","reason":"r"}`:                      "new_email",
		`{"kind":"opt_out","email":"a@example.com","new_email":"b@example.org","reason":"r"}`:                     "new_email",
	} {
		h.refused(body, call{method: "POST", path: "/api/v1/desk/requests", body: body}, 422, field)
	}
	taken := `{"kind":"correction","email":"a@example.com","new_email":"B@example.com","reason":"r"}`
	h.refused("in use", call{method: "POST", path: "/api/v1/desk/requests", body: taken}, 409, "")
	if len(h.sent) > 0 {
		t.Errorf("sent %q", h.sent)
	}
}

// What could not be sent counts as nothing that was.
func TestLinksThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.lost = errors.New("the broker is away")
	const ask = `{"kind":"access","email":"a@example.com","reason":"letter"}`
	for range 6 {
		if w := h.do(call{method: "POST", path: "/api/v1/desk/requests", body: ask}); w.Code != 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if got := items(h.call("GET", "/api/v1/desk/requests?state=withdrawn", "", 200)); len(got) != 6 || at(got[0], "ended_at") == "" {
		t.Errorf("withdrawn %v", got)
	}
	h.lost = nil
	if w := h.do(call{method: "POST", path: "/api/v1/desk/requests", body: ask}); w.Code != 201 || !strings.Contains(w.Body.String(), `"link_sent":true`) {
		t.Errorf("after that: %d %s", w.Code, w.Body)
	}
}
