package unsubscribe_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"posthaste"
	tokens "posthaste/internal/token"
)

// openForm has a form for both topics.
func openForm(tb testing.TB) (*house, posthaste.Form) {
	tb.Helper()
	return withForm(openHouse(tb, 2, nil))
}

func withForm(h *house) (*house, posthaste.Form) {
	tb := h.tb
	tb.Helper()
	f, err := h.store.AddForm(tb.Context(), posthaste.Form{Key: "news", Title: "Our news", Intro: "Twice a month.", Topics: []int64{h.topics[0].ID, h.topics[1].ID},
		Measurement: true, PolicyURL: "https://example.com/privacy", Policy: "2026-11"})
	must(tb, err)
	return h, f
}

// signUp sends the form as a browser does.
func (h *house) signUp(values url.Values, header ...string) answer {
	h.tb.Helper()
	return h.do(http.MethodPost, "/s/news", form, values.Encode(), header...)
}

func (h *house) field(topic int) string { return fmt.Sprintf("topic-%d", h.topics[topic].ID) }

func TestSignUpFromFormToConsent(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	page := h.do(http.MethodGet, "/s/news", "", "").wantStatus(t, 200)
	if strings.Contains(page.body, "checked") || !strings.Contains(page.body, "https://example.com/privacy") {
		t.Errorf("something is ticked for everybody, or the policy is not there: %s", page.body)
	}
	h.signUp(url.Values{"email": {"Ada@Example.com"}, "name": {"Ada"}, "lang": {"de"}, h.field(0): {"yes"}, "clicks": {"yes"}}).wantStatus(t, 200)
	if len(h.sent) != 1 || h.sent[0].noticeType != posthaste.ConfirmNotice || h.sent[0].email != "Ada@example.com" {
		t.Fatalf("sent %+v", h.sent)
	}
	r, err := h.store.FindRecipientByAddress(t.Context(), "ada@example.com")
	must(t, err)
	allowed := func(topic int) bool {
		m, err := h.store.FindMail(t.Context(), h.topics[topic].ID, r.ID)
		must(t, err)
		return m.Allowed
	}
	link := h.sent[0].link(t)
	for range 100 { // scanners
		if body := h.do(http.MethodGet, link, "", "").wantStatus(t, 200).body; !strings.Contains(body, "<button") {
			t.Fatalf("no button: %s", body)
		}
	}
	h.do(http.MethodHead, link, "", "").wantStatus(t, 200)
	h.do(http.MethodPost, link, form, "something=else").wantStatus(t, 200)
	if allowed(0) {
		t.Fatal("a link that was only looked at confirmed")
	}
	done := h.do(http.MethodPost, link, form, "confirm=yes").wantStatus(t, 200)
	h.do(http.MethodPost, link, form, "confirm=yes").wantStatus(t, 200)
	h.do(http.MethodGet, link, "", "").wantStatus(t, 200)
	if !allowed(0) || allowed(1) || !strings.Contains(done.body, "/p/") {
		t.Errorf("confirmed: %t %t %s", allowed(0), allowed(1), done.body)
	}
	ledger, err := h.store.ListConsents(t.Context(), r.ID)
	must(t, err)
	if len(ledger) != 2 || ledger[0].Channel != posthaste.ByForm || ledger[0].Language != "de" || !strings.Contains(page.body+ledger[0].Wording, ledger[0].Wording) || ledger[0].Network.String() != "127.0.0.0/24" {
		t.Errorf("ledger %+v", ledger)
	}
	if german := h.do(http.MethodGet, "/s/news?lang=de", "", "").body; !strings.Contains(html(german), ledger[0].Wording) || !strings.Contains(html(german), ledger[1].Wording) {
		t.Errorf("the words of the ledger are not those of the form: %q %q", ledger[0].Wording, ledger[1].Wording)
	}
	u, err := h.store.FindSignUp(t.Context(), ledger[0].SignUpID)
	must(t, err)
	if u.MessageID != "1@example.com" || u.RequestedAt.IsZero() || u.ConfirmedAt.IsZero() || u.Network.String() != "127.0.0.0/24" {
		t.Errorf("evidence %+v", u)
	}
}

var entity = strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&amp;", "&")

// html undoes the entities of a page.
func html(page string) string { return entity.Replace(page) }

func TestSignUpsThatAreRefused(t *testing.T) {
	t.Parallel()
	h, f := openForm(t)
	good := url.Values{"email": {"ada@example.com"}, h.field(0): {"yes"}}
	for name, change := range map[string]func(url.Values){
		"no address":             func(v url.Values) { v.Del("email") },
		"no address at all":      func(v url.Values) { v.Set("email", "ada") },
		"two addresses":          func(v url.Values) { v.Set("email", "a@example.com,b@example.com") },
		"a line break":           func(v url.Values) { v.Set("email", "a@example.com\r\nBcc: b@example.com") },
		"a name with one":        func(v url.Values) { v.Set("name", "Ada\r\nBcc: b@example.com") },
		"a name too long":        func(v url.Values) { v.Set("name", strings.Repeat("a", 201)) },
		"nothing ticked":         func(v url.Values) { v.Del(h.field(0)) },
		"only measurement":       func(v url.Values) { v.Del(h.field(0)); v.Set("opens", "yes") },
		"a topic not of it":      func(v url.Values) { v.Del(h.field(0)); v.Set("topic-999", "yes") },
		"not a name in UTF-8":    func(v url.Values) { v.Set("name", "\xff") },
		"a script as the name":   func(v url.Values) { v.Set("name", "<script>\x00") },
		"an address in brackets": func(v url.Values) { v.Set("email", "<ada@example.com>") },
	} {
		v := url.Values{}
		for key, value := range good {
			v[key] = value
		}
		change(v)
		if a := h.signUp(v).wantStatus(t, 422); !strings.Contains(a.body, `role="alert"`) || strings.Contains(a.body, "<script>") {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	if len(h.sent) > 0 {
		t.Errorf("sent %v", h.sent)
	}
	h.do(http.MethodGet, "/s/nothing", "", "").wantStatus(t, 404)
	f.Closed = true
	_, err := h.store.SaveForm(t.Context(), f)
	must(t, err)
	h.do(http.MethodGet, "/s/news", "", "").wantStatus(t, 404)
	h.signUp(good).wantStatus(t, 404)
}

var opaque = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)

// Nobody learns from the answer whether an address is known, suppressed or was
// given too often.
func TestSignUpTellsNobodyWhoIsKnown(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	_, err := h.store.Suppress(t.Context(), "silent@example.com", posthaste.Suppression{Reason: posthaste.Complaint})
	must(t, err)
	_, err = h.store.OptOut(t.Context(), posthaste.OptOut{RecipientID: h.people[1].ID})
	must(t, err)
	want := ""
	for i, address := range []string{"unknown@example.com", email(0), email(1), "silent@example.com", "bombed@example.com", "bombed@example.com", "bombed@example.com", "bombed@example.com", "bombed@example.com"} {
		a := h.signUp(url.Values{"email": {address}, h.field(0): {"yes"}}).wantStatus(t, 200)
		a.header.Del("X-Request-Id")
		a.header.Del("Date")
		got := fmt.Sprint(a.header) + opaque.ReplaceAllString(a.body, "")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("the answer for address %d differs:\n%s\n%s", i, got, want)
		}
	}
	bombed := 0
	for _, m := range h.sent {
		if m.email == "bombed@example.com" {
			bombed++
		}
	}
	if bombed != 3 || len(h.sent) != 7 {
		t.Errorf("%d mails to the one that was given often, %d to all", bombed, len(h.sent))
	}
}

// A token of one power has no other.
func TestTokensOfOnePowerHaveNoOther(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	h.signUp(url.Values{"email": {"ada@example.com"}, h.field(0): {"yes"}}).wantStatus(t, 200)
	h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "data=send").wantStatus(t, 200)
	h.correction(1, "moved@example.org")
	confirm, data, address := strings.TrimPrefix(h.sent[0].link(t), "/confirm/"), strings.TrimPrefix(h.sent[1].link(t), "/d/"), strings.TrimPrefix(h.sent[2].link(t), "/a/")
	tokens := map[string]string{"/u/": h.oneClickToken(0, 0), "/p/": h.preferencesToken(0), "/confirm/": confirm, "/d/": data, "/a/": address}
	for path := range tokens {
		for own, token := range tokens {
			status := 404
			if own == path {
				status = 200
			}
			h.do(http.MethodGet, path+token, "", "").wantStatus(t, status)
			if own != path {
				for _, body := range []string{oneClick, "confirm=yes", "erase=yes", "show=yes", "download=json", "correct=yes", "save=yes", "stop=all", "undo=" + token} {
					h.do(http.MethodPost, path+token, form, body).wantStatus(t, 404)
				}
			}
		}
	}
}

func TestUndoFromThePage(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	path := "/u/" + h.oneClickToken(0, 0)
	if body := h.do(http.MethodPost, path, form, oneClick).wantStatus(t, 200).body; strings.Contains(body, `name="undo"`) {
		t.Error("a program is told how to take it back")
	}
	if body := h.do(http.MethodPost, path, form, "confirm=yes").wantStatus(t, 200).body; strings.Contains(body, `name="undo"`) {
		t.Error("who had opted out before is offered to take it back")
	}
	path = "/u/" + h.oneClickToken(0, 1)
	body := h.do(http.MethodPost, path, form, "confirm=yes").wantStatus(t, 200).body
	undo := regexp.MustCompile(`name="undo" value="([^"]+)"`).FindStringSubmatch(body)
	if undo == nil || h.allowed(0, 1) || !strings.Contains(body, `name="reason"`) {
		t.Fatalf("page %s", body)
	}
	h.do(http.MethodPost, "/u/"+h.oneClickToken(0, 0), form, "undo="+undo[1]).wantStatus(t, 404) // of another topic
	h.do(http.MethodPost, "/u/"+h.oneClickToken(1, 1), form, "undo="+undo[1]).wantStatus(t, 404) // of another person
	h.do(http.MethodPost, path, form, "reason=too_often").wantStatus(t, 200)
	h.do(http.MethodPost, path, form, "reason=nonsense").wantStatus(t, 422)
	h.do(http.MethodPost, path, form, "undo="+undo[1]).wantStatus(t, 200)
	if !h.allowed(0, 1) || h.allowed(0, 0) {
		t.Error("undone too little, or too much")
	}
	h.do(http.MethodPost, path, form, "undo="+undo[1]).wantStatus(t, 409)
}

// After a backup was restored a number may be another person's: its link is too old then.
func TestLinksOfAnotherPersonsNumber(t *testing.T) {
	t.Parallel()
	h, _ := openForm(t)
	h.signUp(url.Values{"email": {"ada@example.com"}, h.field(0): {"yes"}}).wantStatus(t, 200)
	h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "data=send").wantStatus(t, 200)
	h.correction(0, "moved@example.org")
	for path, claims := range map[string]tokens.Claims{"/confirm/": {Number: 1}, "/d/": {Number: 1}, "/a/": {Number: 2}} {
		purpose := map[string]tokens.Purpose{"/confirm/": tokens.Confirm, "/d/": tokens.Data, "/a/": tokens.Correct}[path]
		claims.RecipientID = h.people[1].ID
		link := path + h.keys.Seal(purpose, claims)
		h.do(http.MethodGet, link, "", "").wantStatus(t, 410)
		h.do(http.MethodPost, link, form, "confirm=yes&erase=yes&correct=yes").wantStatus(t, 410)
	}
	if r, err := h.store.FindRecipient(t.Context(), h.people[0].ID); err != nil || r.Email != email(0) {
		t.Errorf("somebody else's link deleted or changed: %+v %v", r, err)
	}
}

// Who was shown an earlier version, in a page of another site perhaps, agrees to
// its words and its policy, and to nothing that was added since.
func TestWhatWasShownIsWhatIsAgreedTo(t *testing.T) {
	t.Parallel()
	h, f := openForm(t)
	embedded := func() string {
		page := h.do(http.MethodGet, "/s/news", "", "").wantStatus(t, 200).body
		return regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(page)[1]
	}
	old := embedded()
	f.Topics, f.Policy = f.Topics[1:], "2027-01"
	_, err := h.store.SaveForm(t.Context(), f)
	must(t, err)
	h.signUp(url.Values{"email": {"ada@example.com"}, "version": {old}, h.field(0): {"yes"}}).wantStatus(t, 200)
	h.do(http.MethodPost, h.sent[0].link(t), form, "confirm=yes").wantStatus(t, 200)
	r, err := h.store.FindRecipientByAddress(t.Context(), "ada@example.com")
	must(t, err)
	ledger, err := h.store.ListConsents(t.Context(), r.ID)
	must(t, err)
	if len(ledger) != 1 || ledger[0].Policy != "2026-11" {
		t.Errorf("ledger %+v", ledger)
	}
	h.signUp(url.Values{"email": {"bea@example.com"}, "version": {embedded()}, h.field(0): {"yes"}}).wantStatus(t, 422) // which is not in it any more
	for _, version := range []string{"99", "0", "-1", "x"} {
		h.signUp(url.Values{"email": {"bea@example.com"}, "version": {version}, h.field(1): {"yes"}}).wantStatus(t, 404)
	}
}
