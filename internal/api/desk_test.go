package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"posthaste"
)

// support is a key of customer service.
func (h *house) support() string {
	return h.keyWith(posthaste.Key{Name: "support", Scopes: []posthaste.Scope{posthaste.UseDesk, posthaste.ReadRecipients}})
}

func TestDeskOptsOut(t *testing.T) {
	t.Parallel()
	h := open(t)
	key := h.support()
	allowed := func() bool {
		m, err := h.store.FindMail(t.Context(), h.topic.ID, h.person.ID)
		must(t, err)
		return m.Allowed
	}
	if !allowed() {
		t.Fatal("before: not allowed")
	}
	w := h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"opt_out","email":"A@Example.com","scope":"weekly","reason":"call, ticket 7"}`)
	if w.Code != 201 || allowed() {
		t.Errorf("%d %s, allowed %t", w.Code, w.Body, allowed())
	}
	ledger, err := h.store.ListConsents(t.Context(), h.person.ID)
	must(t, err)
	if last := ledger[len(ledger)-1]; last.Channel != posthaste.ByDesk || last.Actor != "support" || last.Decision != posthaste.Withdrawn {
		t.Errorf("ledger %+v", last)
	}
	// An address of which nothing is known stays silent too, whoever brings it in.
	if w := h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"opt_out","email":"later@example.com","reason":"letter"}`); w.Code != 201 {
		t.Errorf("unknown: %d %s", w.Code, w.Body)
	}
	found, err := h.store.ListSuppressions(t.Context(), "later@example.com", 0, 10)
	must(t, err)
	if len(found) != 1 || found[0].Reason != posthaste.OptedOut || found[0].Evidence != "letter" || found[0].Actor != "support" {
		t.Errorf("suppressions %+v", found)
	}
	// The desk lifts nothing: not by its scopes, and not what a recipient said by any.
	path := fmt.Sprintf("/api/v1/suppressions/%d", found[0].ID)
	if w := h.as(key, "DELETE", path, ""); w.Code != 403 {
		t.Errorf("lifted by the desk: %d", w.Code)
	}
	h.refused("lift", call{method: "DELETE", path: path}, 409, "")
}

func TestDeskSendsLinks(t *testing.T) {
	t.Parallel()
	h := open(t)
	key := h.support()
	for kind, subject := range map[string]string{"access": "Your data", "erasure": "Delete"} {
		w := h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"`+kind+`","email":"a@example.com","reason":"letter"}`)
		if w.Code != 201 || !strings.Contains(w.Body.String(), `"state":"open"`) || !strings.Contains(w.Body.String(), `"link_sent":true`) || !strings.Contains(w.Body.String(), `"due_at"`) || strings.Contains(w.Body.String(), "/d/") {
			t.Errorf("%s: %d %s (%s)", kind, w.Code, w.Body, subject)
		}
	}
	w := h.as(key, "POST", "/api/v1/desk/requests", `{"kind":"access","email":"nobody@example.com","reason":"letter"}`)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"state":"nothing"`) || !strings.Contains(w.Body.String(), `"link_sent":false`) {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
	if len(h.sent) != 2 || !strings.HasPrefix(h.sent[0], posthaste.DataNotice+" a@example.com ") {
		t.Errorf("sent %q", h.sent)
	}
	if _, err := h.store.FindRecipientByAddress(t.Context(), "nobody@example.com"); err == nil {
		t.Error("asking about somebody made them known")
	}
	if got := items(h.call("GET", "/api/v1/desk/requests?state=open", "", 200)); len(got) != 2 {
		t.Errorf("open %v", got)
	}
}

func TestDeskRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	for body, field := range map[string]string{
		`{"kind":"lift","email":"a@example.com","reason":"r"}`:                      "kind",
		`{"kind":"access","email":"a","reason":"r"}`:                                "email",
		`{"kind":"access","email":"a@example.com"}`:                                 "reason",
		`{"kind":"access","email":"a@example.com","scope":"weekly","reason":"r"}`:   "scope",
		`{"kind":"opt_out","email":"a@example.com","scope":"nothing","reason":"r"}`: "scope",
	} {
		h.refused(body, call{method: "POST", path: "/api/v1/desk/requests", body: body}, 422, field)
	}
	const person = "/api/v1/recipients/a@example.com"
	h.refused("no reason", call{method: "DELETE", path: person}, 422, "Audit-Reason")
	h.refused("no reason", call{method: "GET", path: person + "/export"}, 422, "Audit-Reason")
	h.refused("metadata", call{method: "GET", path: "/api/v1/topics", header: []string{"Audit-Metadata", `{"a":1}`}}, 422, "Audit-Metadata")
	h.refused("request id", call{method: "GET", path: "/api/v1/topics", header: []string{"X-Request-Id", strings.Repeat("x", 201)}}, 422, "X-Request-Id")
	for _, query := range []string{"", "?campaign=1&notice=1", "?campaign=x", "?subject=1"} {
		if w := h.do(call{method: "GET", path: person + "/why" + query}); w.Code != 422 {
			t.Errorf("why%s: %d", query, w.Code)
		}
	}
}

func TestOperatorErases(t *testing.T) {
	t.Parallel()
	h := open(t)
	reason := []string{"Audit-Reason", "letter of 3 March"}
	export := h.do(call{method: "GET", path: "/api/v1/recipients/a@example.com/export", header: reason})
	var out posthaste.Export
	must(t, json.Unmarshal(export.Body.Bytes(), &out))
	if out.Person.ID != h.person.ID || len(out.Consents) != 1 || !slices.Contains(out.Receivers, "mx.example.com: each mail; so that it is delivered") {
		t.Errorf("export %s", export.Body)
	}
	w := h.do(call{method: "DELETE", path: "/api/v1/recipients/a@example.com", header: reason})
	var receipt posthaste.Receipt
	must(t, json.Unmarshal(w.Body.Bytes(), &receipt))
	if w.Code != 200 || receipt.Removed["recipients"] != 1 || len(receipt.Kept) == 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := h.do(call{method: "DELETE", path: "/api/v1/recipients/a@example.com", header: reason}); w.Code != 404 {
		t.Errorf("again: %d", w.Code)
	}
	log := items(h.do1(t, "/api/v1/audit?action=recipient.erase"))
	if len(log) != 1 || at(log[0], "reason") != "letter of 3 March" || at(log[0], "actor") != "desk" || at(log[0], "object") != fmt.Sprintf("recipient/%d", h.person.ID) {
		t.Errorf("log %v", log)
	}
}

// do1 reads a list.
func (h *house) do1(t *testing.T, path string) map[string]any {
	t.Helper()
	return h.call("GET", path, "", 200)
}

func TestWhySomebodyGotAMail(t *testing.T) {
	t.Parallel()
	h := open(t)
	k := h.sending()
	path := fmt.Sprintf("/api/v1/recipients/%d/why?campaign=%d", h.person.ID, k.ID)
	if got := at(h.call("GET", path, "", 200), "answer"); got == "" {
		t.Error("no answer")
	}
	h.call("PUT", "/api/v1/recipients/b@example.com", `{}`, 201)
	if got := at(h.call("GET", fmt.Sprintf("/api/v1/recipients/b@example.com/why?campaign=%d", k.ID), "", 200), "answer"); got != `Was not sent it: never consented to "Weekly".` {
		t.Errorf("answer %q", got)
	}
}
