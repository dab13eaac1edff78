package unsubscribe_test

import (
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/internal/token"
	"posthaste/templates/pages"
)

// pageHeaders are all that an answer to a person may bear.
var pageHeaders = []string{"Cache-Control", "Content-Length", "Content-Security-Policy", "Content-Type", "Date", "Referrer-Policy", "X-Content-Type-Options",
	"X-Request-Id", "X-Robots-Tag"}

// try sends a form and wants a page of one of some statuses, without a header
// or a script of the sender's.
func (h *house) try(t *testing.T, path, kind, body string, statuses ...int) answer {
	t.Helper()
	h.tb = t
	a := h.do(http.MethodPost, path, kind, body)
	if !slices.Contains(statuses, a.status) {
		t.Errorf("%s: status %d: %s", path, a.status, a.body)
	}
	for name, values := range a.header {
		if !slices.Contains(pageHeaders, name) || len(values) != 1 {
			t.Errorf("%s: header %s: %q", path, name, values)
		}
	}
	if kind := strings.ToLower(a.header.Get("Content-Type")); kind != "text/html; charset=utf-8" || strings.Contains(strings.ToLower(a.body), "<script") {
		t.Errorf("%s: %s: %s", path, kind, a.body)
	}
	return a
}

// sendable reports whether a client can send a text as a header; nothing is
// asked of others.
func sendable(header string) bool { return httpguts.ValidHeaderFieldValue(header) }

// reference is how the standard library reads a form.
func reference(kind, body string) url.Values {
	r := http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {kind}}, Body: http.NoBody}
	r.Body = readCloser{strings.NewReader(body)}
	_ = r.ParseMultipartForm(1 << 20) // what it could read counts
	return r.PostForm
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// eachForm calls add with bodies of every kind for every page.
func (h *house) eachForm(add func(kind, body string)) {
	full := url.Values{"email": {"Ada@Example.com"}, "name": {"Ada"}, "lang": {"de"}, h.field(0): {"yes"}, h.field(1): {"yes"}, "opens": {"yes"}, "clicks": {"yes"}}
	for _, body := range []string{oneClick, "confirm=yes", "confirm=no&confirm=yes", "erase=no", oneClick + "2", "undo=x", "reason=other", "stop=all", "save=yes&lang=fr&shown_in=de", "save=yes&" + h.field(0) + "=yes&shown=notice-1&opens=yes",
		"data=send", "erase=send", "erase=yes", full.Encode(), "email=%22%0d%0aBcc%3a+b%40example.com%22%40example.com&" + h.field(0) + "=yes",
		"email=j%c3%b6rg%40b%c3%bccher.example&name=%22%3e%3cscript%3e&" + h.field(0), "email=a%00%40example.com&name=%ff&lang=%00", "email=a@b.co;name=x", "%zz", "=&=&&", "a=b&" + oneClick,
		"email=" + strings.Repeat("a", 500) + "%40example.com", strings.Repeat("x", 20<<10)} {
		add(form, body)
		add(form+"; charset=iso-8859-1", body)
	}
	for _, fields := range [][]string{{"List-Unsubscribe", "One-Click"}, {"email", "ada@example.com", h.field(0), "yes", "name", "Ada\r\nBcc: b@example.com"}} {
		kind, body := multipartBody(h.tb, "", fields...)
		add(kind, body)
		add("multipart/form-data", body)
		add("multipart/mixed; boundary=x", body)
	}
	file := "--x\r\nContent-Disposition: form-data; name=\"email\"; filename=\"../a\"\r\nContent-Type: text/plain\r\n\r\na@b.co\r\n--x--\r\n"
	for _, kind := range []string{"multipart/form-data; boundary=x", `multipart/form-data; boundary="x`, "multipart/form-data; boundary=", "text/plain", "application/json", "", ";", "a/b/c; =", form + ";;", form + ", " + form} {
		add(kind, file)
		add(kind, oneClick)
	}
}

// FuzzSignUp: whatever is sent to a form, nobody gets a mail but an address that
// can be written to, nobody is subscribed, and nothing breaks.
func FuzzSignUp(f *testing.F) {
	h, _ := openForm(f)
	h.eachForm(func(kind, body string) { f.Add(kind, body) })
	db := testkit.RawSQL(f, h.db)
	f.Fuzz(func(t *testing.T, kind, body string) {
		if !sendable(kind) {
			return
		}
		h.sent = nil
		consents := count(t, db, "consents")
		a := h.try(t, "/s/news", kind, body, http.StatusOK, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
		if got := count(t, db, "consents"); got != consents {
			t.Errorf("%d consents, %d before", got, consents)
		}
		if asked := count(t, db, "sign_ups"); (a.status == http.StatusOK) != (asked == 1) || asked != len(h.sent) {
			t.Errorf("status %d, %d sign-ups, %d mails", a.status, asked, len(h.sent))
		}
		for _, m := range h.sent {
			if m.noticeType != posthaste.ConfirmNotice || strings.ContainsAny(m.email+m.Subject, "\r\n\x00") || reference(kind, body).Get("email") == "" {
				t.Errorf("mail %q to %q", m.Subject, m.email)
			}
		}
		if len(h.sent) == 1 {
			var name string
			must(t, db.QueryRowContext(t.Context(), "SELECT name FROM sign_ups").Scan(&name))
			if strings.ContainsAny(name, "\r\n\x00") || !utf8.ValidString(name) || len(name) > 200 {
				t.Errorf("name %q", name)
			}
		}
		for _, statement := range []string{"DELETE FROM sign_ups", "DELETE FROM recipients WHERE stranger = 1"} { // or soon there were too many
			_, err := db.ExecContext(t.Context(), statement)
			must(t, err)
		}
	})
}

// TestFormsOnEitherDatabase is the seeds of FuzzSignUp, on PostgreSQL too.
func TestFormsOnEitherDatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(t *testing.T, h *house) {
		before := h.dump()["consents"]
		h.eachForm(func(kind, body string) {
			h.try(t, "/s/news", kind, body, http.StatusOK, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
		})
		if after := h.dump()["consents"]; !slices.Equal(after, before) || len(h.sent) == 0 {
			t.Errorf("%d mails, consents %q", len(h.sent), after)
		}
	})
}

func count(tb testing.TB, db *sql.DB, rows string) (n int) {
	tb.Helper()
	must(tb, db.QueryRowContext(tb.Context(), "SELECT count(*) FROM "+rows).Scan(&n))
	return n
}

// FuzzForms: whatever is sent to a page that a token opens, it answers with a
// page, and does what it can do only if the form says so.
func FuzzForms(f *testing.F) {
	h, _ := openForm(f)
	h.eachForm(func(kind, body string) {
		for page := range byte(5) {
			f.Add(page, kind, body)
		}
	})
	g := &guest{house: h, db: testkit.RawSQL(f, h.db)}
	f.Fuzz(func(t *testing.T, page byte, kind, body string) {
		if !sendable(kind) {
			return
		}
		h.tb = t
		said := reference(kind, body)
		send := func(path string, statuses ...int) (taken bool) {
			t.Helper()
			return h.try(t, path, kind, body, append(statuses, http.StatusOK, http.StatusRequestEntityTooLarge)...).status == http.StatusOK
		}
		want := func(what string, done, said bool) {
			t.Helper()
			if done != said {
				t.Errorf("%s: %t, but the form %q says %t", what, done, body, said)
			}
		}
		switch page % 5 {
		case 0:
			h.resubscribe(0, 0)
			taken := send("/u/"+h.oneClickToken(0, 0), http.StatusUnprocessableEntity, http.StatusNotFound) // 404: what should undo does not
			want("unsubscribed", !h.allowed(0, 0), taken && (said.Get("List-Unsubscribe") == "One-Click" || said.Get("confirm") == "yes"))
		case 1:
			send("/p/" + h.preferencesToken(1))
		case 2:
			g.come(t)
			taken := send(g.confirm)
			want("confirmed", g.isConfirmed(), taken && said.Get("confirm") == "yes")
		case 3:
			g.come(t)
			taken := send(g.data)
			want("erased", g.isErased(), taken && said.Get("erase") == "yes")
		case 4:
			link, corrected := g.move(t)
			taken := send(link)
			want("corrected", corrected(), taken && said.Get("correct") == "yes")
		}
	})
}

// guest is somebody who has asked for a newsletter, and to be erased.
type guest struct {
	house         *house
	db            *sql.DB
	id            int64
	confirm, data string // links
}

// come has the guest ask for both, unless they have and nothing came of it.
func (g *guest) come(tb testing.TB) {
	tb.Helper()
	if g.id != 0 && !g.isErased() && !g.isConfirmed() {
		return
	}
	for _, table := range []string{"sign_ups", "requests", "consent_states", "consents"} { // or soon there were too many
		_, err := g.db.ExecContext(tb.Context(), "DELETE FROM "+table)
		must(tb, err)
	}
	h := g.house
	h.sent = nil
	h.signUp(url.Values{"email": {"guest@example.com"}, h.field(0): {"yes"}}).wantStatus(tb, 200)
	q, _, err := h.store.AddRequest(tb.Context(), "guest@example.com", posthaste.Request{Kind: posthaste.ErasureRequest, Channel: posthaste.ByPreferences})
	must(tb, err)
	g.id, g.confirm, g.data = q.RecipientID, h.sent[0].link(tb), "/d/"+h.keys.Seal(token.Data, token.Claims{RecipientID: q.RecipientID, Number: q.ID})
}

// move has somebody ask for another address, and tells whether they have it.
func (g *guest) move(tb testing.TB) (link string, corrected func() bool) {
	tb.Helper()
	_, err := g.db.ExecContext(tb.Context(), "DELETE FROM requests WHERE kind = 'correction'") // or soon there were too many
	must(tb, err)
	h := g.house
	address := func() string {
		r, err := h.store.FindRecipient(tb.Context(), h.people[1].ID)
		must(tb, err)
		return r.Email
	}
	from := address()
	to := map[bool]string{true: "moved@example.org", false: email(1)}[from == email(1)]
	q, _, err := h.store.AddRequest(tb.Context(), from, posthaste.Request{Kind: posthaste.CorrectionRequest, Channel: posthaste.ByDesk, NewAddress: to})
	must(tb, err)
	return "/a/" + h.keys.Seal(token.Correct, token.Claims{RecipientID: q.RecipientID, Number: q.ID}), func() bool { return address() == to }
}

func (g *guest) isConfirmed() bool {
	return count(g.house.tb, g.db, fmt.Sprintf("consents WHERE recipient_id = %d", g.id)) > 0
}

func (g *guest) isErased() bool {
	return count(g.house.tb, g.db, fmt.Sprintf("recipients WHERE id = %d", g.id)) == 0
}

var langOf = regexp.MustCompile(`<html lang="([^"]*)"`)

// FuzzAcceptLanguage: whatever languages somebody asks for, the page is in one
// that there is, and in another than English only if it was asked for.
func FuzzAcceptLanguage(f *testing.F) {
	h, _ := openForm(f)
	tags := map[string]bool{}
	for _, language := range pages.Languages() {
		tags[language.Tag] = true
	}
	for accept, lang := range map[string]string{
		"de-AT,de;q=0.9,en;q=0.8": "", "fr;q=NaN, es;q=Inf": "", "*;q=0.5": "", "de;q=0, fr;Q=1": "", "DE_de": "pt-BR", ",;,;=q": "\x00", "\xff": "\xff", "de;q=1e309": "de--", "es;q=-0": "-",
		strings.Repeat("fr-", 4<<10): strings.Repeat("de-", 4<<10), strings.Repeat("de,", 4<<10): "",
	} {
		f.Add(accept, lang)
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		f.Add(tag, "")
		f.Add("", tag)
	}
	f.Fuzz(func(t *testing.T, accept, lang string) {
		got := pages.Match(accept, lang)
		if !tags[got] || got != "en" && !strings.Contains(strings.ToLower(accept+","+lang), got) {
			t.Errorf("%q %q: %q", accept, lang, got)
		}
		if !sendable(accept) {
			return
		}
		h.tb = t
		a := h.do(http.MethodGet, "/s/news?lang="+url.QueryEscape(lang), "", "", "Accept-Language", accept).wantStatus(t, http.StatusOK)
		if shown := langOf.FindStringSubmatch(a.body); shown == nil || shown[1] != pages.Match(strings.Trim(accept, " \t"), lang) {
			t.Errorf("%q %q: the page is in %q, want %q", accept, lang, shown, got)
		}
	})
}
