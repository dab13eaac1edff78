package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"posthaste"
	"posthaste/mailer"
)

func items(m map[string]any) []any { list, _ := m["items"].([]any); return list }

func at(m any, path ...string) string {
	for _, p := range path {
		inner, _ := m.(map[string]any)
		m = inner[p]
	}
	return fmt.Sprint(m)
}

// TestFlow walks every route in the order in which an operator meets it.
func TestFlow(t *testing.T) {
	t.Parallel()
	h := open(t)
	const v1 = "/api/v1"
	if got := h.call("POST", v1+"/topics", `{"key":"offers","name":"Offers ✓"}`, 201); at(got, "key") != "offers" || at(got, "name") != "Offers ✓" {
		t.Errorf("topic %v", got)
	}
	if got := items(h.call("GET", v1+"/topics", "", 200)); len(got) != 2 {
		t.Errorf("topics %v", got)
	}
	h.recipients(v1)
	h.consents(v1)
	campaign := h.drafting(v1)
	h.running(v1, campaign)
	h.suppressing(v1)
}

func (h *house) recipients(v1 string) {
	h.tb.Helper()
	b := `{"name":"Bea","locale":"de-CH","time_zone":"Europe/Zurich","attributes":{"city":"Bern"}}`
	made := h.call("PUT", v1+"/recipients/Bea+x@Example.COM", b, 201)
	if at(made, "email") != "Bea+x@example.com" || at(made, "attributes", "city") != "Bern" || at(made, "time_zone") != "Europe/Zurich" {
		h.tb.Errorf("recipient %v", made)
	}
	for _, path := range []string{"Bea+x@Example.COM", "bea%2Bx%40example.com", "bea%2bx@example.com", at(made, "id")} {
		if got := h.call("GET", v1+"/recipients/"+path, "", 200); at(got, "id") != at(made, "id") {
			h.tb.Errorf("%s is %v", path, got)
		}
	}
	again := h.call("PUT", v1+"/recipients/bea%2Bx%40example.com", `{"name":"B"}`, 200)
	if at(again, "id") != at(made, "id") || at(again, "attributes") != "map[]" || at(again, "name") != "B" {
		h.tb.Errorf("replaced %v", again)
	}
	csv := "email,name,city\nc@example.com,Cleo,Ulm\nnot an address,X,Y\nd@example.com,Dan,\n"
	query := "?" + url.Values{"topic": {"weekly"}, "source": {"the old list"}, "wording": {"Yes, weekly"}}.Encode()
	before := withoutAudit(h.dump())
	for _, dry := range []string{"&dry_run=true", ""} {
		w := h.do(call{method: "POST", path: v1 + "/recipients/import" + query + dry, kind: "text/csv; charset=utf-8", body: csv})
		want := `{"rows":3,"added":2,"updated":0,"unchanged":0,"merged":0,"suppressed":0,"rejected_rows":1,"rejected":[{"line":3,`
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) {
			h.tb.Fatalf("import%s: %d %s", dry, w.Code, w.Body)
		}
		if changed := withoutAudit(h.dump()) != before; changed != (dry == "") {
			h.tb.Errorf("import%s: the database changed: %v", dry, changed)
		}
	}
	if got := items(h.call("GET", v1+"/recipients/c@example.com/consents", "", 200)); len(got) != 1 || at(got[0], "source") != "the old list" ||
		at(got[0], "wording") != "Yes, weekly" || at(got[0], "actor") != "desk" || at(got[0], "channel") != "import" || at(got[0], "topic") != "weekly" {
		h.tb.Errorf("consents %v", got)
	}
}

func (h *house) consents(v1 string) {
	h.tb.Helper()
	path := v1 + "/recipients/d@example.com/consents"
	h.call("POST", path, `{"purpose":"opens","decision":"given","source":"phone","wording":"I agree"}`, 200)
	h.call("POST", path, `{"purpose":"topic","topic":"offers","decision":"given","source":"phone","wording":"Offers, yes"}`, 200)
	h.call("POST", path, `{"purpose":"opens","decision":"withdrawn"}`, 200)
	got := items(h.call("POST", path, `{"purpose":"topic","topic":"weekly","decision":"withdrawn"}`, 200))
	if len(got) != 5 || at(got[4], "decision") != "withdrawn" || at(got[4], "channel") != "api" || at(got[4], "topic") != "weekly" || at(got[2], "wording") != "Offers, yes" {
		h.tb.Errorf("ledger %v", got)
	}
	h.refused("given after an opt-out", call{method: "POST", path: path, body: `{"purpose":"topic","topic":"weekly","decision":"given","source":"x","wording":"y"}`}, 409, "")
}

func (h *house) drafting(v1 string) string {
	h.tb.Helper()
	made := h.call("POST", v1+"/campaigns", `{"name":"June","topic":"weekly","from":"News <news@example.com>","reply_to":"help@example.com","subject":"Hi","preheader":"p",
		"format":"html","body":"<p>x</p>","layout":"letter","tracking":{"opens":"individual"}}`, 201)
	if at(made, "state") != "draft" || at(made, "tracking", "opens") != "individual" || at(made, "tracking", "clicks") != "none" || at(made, "send_at") != "<nil>" || at(made, "version") != "1" {
		h.tb.Errorf("draft %v", made)
	}
	path := v1 + "/campaigns/" + at(made, "id")
	changed := h.call("PATCH", path, `{"subject":"Hello","tracking":{"clicks":"individual"},"version":1}`, 200)
	if at(changed, "subject") != "Hello" || at(changed, "name") != "June" || at(changed, "tracking") != "map[clicks:individual opens:individual]" || at(changed, "version") != "2" {
		h.tb.Errorf("changed %v", changed)
	}
	h.refused("an old version", call{method: "PATCH", path: path, body: `{"subject":"x","version":1}`}, 409, "")
	if got := h.call("POST", path+"/preview", `{"recipient":"A@EXAMPLE.com"}`, 200); at(got, "subject") != fmt.Sprint("Hello to ", h.person.ID) {
		h.tb.Errorf("preview %v", got)
	}
	h.workers.reply = posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "ok"}
	if got := h.call("POST", path+"/test", `{"to":"a@example.com"}`, 200); at(got, "code") != "250" {
		h.tb.Errorf("test %v", got)
	}
	first := h.call("GET", v1+"/campaigns?limit=1", "", 200)
	second := h.call("GET", v1+"/campaigns?limit=1&cursor="+at(first, "next_cursor"), "", 200)
	if at(items(first)[0], "id") != at(made, "id") || at(items(second)[0], "id") != fmt.Sprint(h.draft.ID) || second["next_cursor"] != nil {
		h.tb.Errorf("pages %v, %v", first, second)
	}
	return path
}

func (h *house) running(v1, path string) {
	h.tb.Helper()
	if got := h.call("POST", path+"/schedule", `{"at":"`+soon()+`T09:00","time_zone":"Asia/Kathmandu"}`, 200); at(got, "send_at") != soon()+"T03:15:00Z" || at(got, "state") != "scheduled" {
		h.tb.Errorf("scheduled %v", got)
	}
	if got := h.call("POST", path+"/unschedule", "", 200); at(got, "state") != "draft" || at(got, "time_zone") != "" {
		h.tb.Errorf("unscheduled %v", got)
	}
	h.call("POST", path+"/schedule", `{}`, 200)
	sending := v1 + "/campaigns/" + fmt.Sprint(h.sending().ID)
	for _, step := range []struct{ verb, state string }{{"pause", "paused"}, {"resume", "sending"}} {
		if got := h.call("POST", sending+"/"+step.verb, "", 200); at(got, "state") != step.state || at(got, "counts", "uncertain") != "2" || at(got, "counts", "audience") != "2" {
			h.tb.Errorf("%s: %v", step.verb, got)
		}
	}
	if got := items(h.call("GET", sending+"/deliveries?state=uncertain&limit=1", "", 200)); len(got) != 1 || at(got[0], "number") != "1" || at(got[0], "reply", "text") == "" || at(got[0], "message_id") == "" {
		h.tb.Errorf("deliveries %v", got)
	}
	if got := h.call("POST", sending+"/deliveries/1/resolve", `{"decision":"accepted"}`, 200); at(got, "state") != "accepted" {
		h.tb.Errorf("resolved %v", got)
	}
	h.refused("resolved already", call{method: "POST", path: sending + "/deliveries/1/resolve", body: `{"decision":"failed"}`}, 409, "")
	if got := h.call("POST", sending+"/cancel", "", 200); at(got, "state") != "cancelled" || at(got, "ended_at") == "<nil>" {
		h.tb.Errorf("cancelled %v", got)
	}
	h.refused("a cancelled one sends no more", call{method: "POST", path: sending + "/deliveries/2/resolve", body: `{"decision":"send_again"}`}, 409, "")
	if got := h.call("GET", sending, "", 200); got["hits"] != nil || at(got, "counts", "accepted") != "1" {
		h.tb.Errorf("campaign %v", got)
	}
	want := []posthaste.CampaignState{posthaste.Draft, posthaste.Paused, posthaste.Sending, posthaste.CampaignCancelled}
	if !slices.Equal(h.workers.announced, want) {
		h.tb.Errorf("announced %v, want %v", h.workers.announced, want)
	}
}

func (h *house) suppressing(v1 string) {
	h.tb.Helper()
	path := v1 + "/suppressions"
	all := h.call("POST", path, `{"email":"A@example.com","evidence":"ticket 1\nline 2"}`, 201)
	one := h.call("POST", path, `{"email":"a@EXAMPLE.com","scope":"weekly"}`, 201)
	if at(all, "scope") != "all" || at(one, "scope") != "weekly" || at(all, "actor") != "desk" || at(all, "liftable") != "true" || at(all, "reason") != "manual" {
		h.tb.Errorf("suppressions %v, %v", all, one)
	}
	if w := h.do(call{method: "GET", path: path}); strings.Contains(w.Body.String(), "@") {
		h.tb.Errorf("the list holds addresses: %s", w.Body)
	}
	mine := items(h.call("GET", path+"?email=a%40example.com", "", 200))
	everybody := items(h.call("GET", path, "", 200))
	if len(mine) != 2 || len(everybody) != 3 { // and the opt-out of before
		h.tb.Errorf("%d of the address, %d in all", len(mine), len(everybody))
	}
	for _, x := range everybody {
		if at(x, "reason") == "opted_out" {
			h.refused("what a recipient said", call{method: "DELETE", path: path + "/" + at(x, "id")}, 409, "")
			continue
		}
		h.call("DELETE", path+"/"+at(x, "id"), "", http.StatusNoContent)
	}
	h.refused("lifted already", call{method: "DELETE", path: path + "/" + at(all, "id")}, 404, "")
	if left := items(h.call("GET", path, "", 200)); len(left) != 1 {
		h.tb.Errorf("left %v", left)
	}
}

// TestTheRealComposersFaults has the faults of content come from where they really come from.
func TestTheRealComposersFaults(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.serve(h.store, mailer.NewComposer(h.store, nil, h.keys, mailer.Sender{PublicURL: "https://mail.example.com", BounceDomain: "example.com", ListDomain: "example.com"}))
	path := fmt.Sprint("/api/v1/campaigns/", h.draft.ID)
	for body, field := range map[string]string{
		`{"body":"line one\nHi {{ recipient.nonsense }}"}`: "body", `{"body":"{% if %}"}`: "body", `{"subject":"{{ x"}`: "subject",
		`{"layout":"no-such-layout"}`: "layout", `{"layout":"../letter"}`: "layout", `{"layout":"x\r\nBcc: y"}`: "layout",
		`{"preheader":"{{ recipient.nonsense }}"}`: "preheader", `{"format":"html","body":"<script>x</script>"}`: "body",
		`{"format":"html","body":"<a href=\"javascript:x\">x</a>"}`: "body", `{"body":"a\u0000b"}`: "body",
	} {
		p := h.refused(body, call{method: "PATCH", path: path, body: body}, 422, field)
		if field == "body" && !strings.Contains(body, "u0000") && len(p.Errors) > 0 && (!strings.Contains(p.Errors[0].Reason, "line ") || !strings.Contains(p.Errors[0].Reason, "column ")) {
			t.Errorf("%s: no line and column in %q", body, p.Errors[0].Reason)
		}
	}
	if p := h.refused("line", call{method: "PATCH", path: path, body: `{"body":"line one\nHi {{ recipient.nonsense }}"}`}, 422, "body"); !strings.Contains(p.Errors[0].Reason, "line 2") {
		t.Errorf("reason %q", p.Errors[0].Reason)
	}
	p := h.refused("no sender", call{method: "POST", path: path + "/schedule", body: `{}`}, 422, "POSTHASTE_SENDER_NAME")
	if len(p.Errors) != 2 {
		t.Errorf("fields %v", p.Errors)
	}
	h.call("PATCH", path, `{"body":"Hi {{ recipient.name }}"}`, 200)
}
