package unsubscribe_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"posthaste"
)

func TestPeopleSeeTheirData(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	preferences := "/p/" + h.preferencesToken(0)
	if body := h.do(http.MethodPost, preferences, form, "data=send").wantStatus(t, 200).body; strings.Contains(body, email(0)) {
		t.Error("whoever has a mail of somebody learns the address")
	}
	if len(h.sent) != 1 || h.sent[0].email != email(0) || h.sent[0].noticeType != posthaste.DataNotice {
		t.Fatalf("sent %+v", h.sent)
	}
	link := h.sent[0].link(t)
	for range 20 { // scanners
		if body := h.do(http.MethodGet, link, "", "").wantStatus(t, 200).body; strings.Contains(body, "Weekly") || strings.Contains(body, email(0)) {
			t.Fatalf("whoever follows the link sees the data: %s", body)
		}
	}
	if open, err := h.store.ListRequests(t.Context(), posthaste.RequestOpen, 0, 10); err != nil || len(open) != 1 {
		t.Fatalf("a link that was looked at ended the request: %+v %v", open, err)
	}
	page := h.do(http.MethodPost, link, form, "show=yes").wantStatus(t, 200)
	file := h.do(http.MethodPost, link, form, "download=json").wantStatus(t, 200)
	var out posthaste.Export
	must(t, json.Unmarshal([]byte(file.body), &out))
	if out.Person.Email != email(0) || len(out.Consents) != 2 || out.Consents[0].Wording != "yes" || !slices.Contains(out.Receivers, "mx.example.com: each mail; so that it is delivered") {
		t.Errorf("file %s", file.body)
	}
	for _, want := range []string{"r…@example.com", "The Weekly &amp; More", "mx.example.com", `value="yes"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q: %s", want, page.body)
		}
	}
	if page.header.Get("Cache-Control") != "no-store" || file.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("headers %v %v", page.header, file.header)
	}
	requests, err := h.store.ListRequests(t.Context(), posthaste.RequestDone, 0, 10)
	must(t, err)
	log, err := h.store.ListAudit(t.Context(), posthaste.AuditFilter{Action: "recipient.export"}, 0, 10)
	must(t, err)
	if len(requests) != 1 || len(log) != 2 || log[0].Actor != posthaste.ByRecipient {
		t.Errorf("requests %+v, log %+v", requests, log)
	}
	for range 9 {
		h.do(http.MethodPost, preferences, form, "data=send").wantStatus(t, 200)
	}
	if len(h.sent) != 5 {
		t.Errorf("%d mails in a day", len(h.sent))
	}
}

func TestPeopleDeleteTheirData(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "erase=send").wantStatus(t, 200)
	link := h.sent[0].link(t)
	h.do(http.MethodGet, link, "", "").wantStatus(t, 200)
	h.do(http.MethodHead, link, "", "").wantStatus(t, 200)
	h.do(http.MethodPost, link, form, "erase=perhaps").wantStatus(t, 200)
	if _, err := h.store.FindRecipient(t.Context(), h.people[0].ID); err != nil {
		t.Fatal("looking at the link deleted:", err)
	}
	receipt := h.do(http.MethodPost, link, form, "erase=yes").wantStatus(t, 200)
	again := h.do(http.MethodGet, link, "", "").wantStatus(t, 200)
	h.do(http.MethodPost, link, form, "erase=yes").wantStatus(t, 200)
	for _, body := range []string{receipt.body, again.body} {
		if !strings.Contains(body, "Consents deleted: 2") || !strings.Contains(body, "fingerprint") {
			t.Errorf("receipt %s", body)
		}
	}
	if _, err := h.store.FindRecipient(t.Context(), h.people[0].ID); !errors.Is(err, posthaste.NotFound) || !slices.Equal(h.erased, []string{email(0), email(0)}) /* again, of what was on its way */ {
		t.Errorf("still there: %v; files of %v", err, h.erased)
	}
	// Old links stay truthful, and show nothing any more.
	h.do(http.MethodPost, "/u/"+h.oneClickToken(0, 0), form, oneClick).wantStatus(t, 200)
	h.do(http.MethodGet, "/p/"+h.preferencesToken(0), "", "").wantStatus(t, 404)
	h.do(http.MethodPost, link, form, "download=json").wantStatus(t, 200)
}
