package unsubscribe_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/internal/token"
)

// alphabet is that of tokens.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// commands are what a form of each page that a token opens would do.
var commands = map[string]string{"/u/": oneClick, "/p/": "stop=all", "/confirm/": "confirm=yes", "/d/": "erase=yes", "/a/": "correct=yes"}

// opens is the one page that a token of a purpose opens, or none.
var opens = map[token.Purpose]string{token.Unsubscribe: "/u/", token.Preferences: "/p/", token.Confirm: "/confirm/", token.Data: "/d/", token.Correct: "/a/",
	token.Undo: "", token.OpenBeacon: "", token.ClickLink: ""}

// seals gives a token of every purpose, of what really is there: each would do
// something if it were taken.
func (h *house) seals() map[token.Purpose]string {
	h.tb.Helper()
	h.signUp(url.Values{"email": {"ada@example.com"}, h.field(0): {"yes"}}).wantStatus(h.tb, 200)
	q, err := h.store.FindRequest(h.tb.Context(), h.request(1))
	must(h.tb, err)
	moving, _, err := h.store.AddRequest(h.tb.Context(), email(1), posthaste.Request{Kind: posthaste.CorrectionRequest, Channel: posthaste.ByDesk, NewAddress: "moved@example.org"})
	must(h.tb, err)
	added, err := h.store.OptOut(h.tb.Context(), posthaste.OptOut{RecipientID: h.people[1].ID, TopicID: h.topics[1].ID, Channel: posthaste.ByPage})
	must(h.tb, err)
	tokens := map[token.Purpose]string{
		token.Unsubscribe: h.oneClickToken(0, 0), token.Preferences: h.preferencesToken(0),
		token.Confirm: strings.TrimPrefix(h.sent[0].link(h.tb), "/confirm/"),
		token.Data:    h.keys.Seal(token.Data, token.Claims{RecipientID: q.RecipientID, Number: q.ID}),
		token.Correct: h.keys.Seal(token.Correct, token.Claims{RecipientID: moving.RecipientID, Number: moving.ID}),
		token.Undo:    h.keys.Seal(token.Undo, token.Claims{RecipientID: h.people[1].ID, TopicID: h.topics[1].ID, Number: added}),
	}
	for _, p := range []token.Purpose{token.OpenBeacon, token.ClickLink} {
		tokens[p] = h.keys.Seal(p, token.Claims{RecipientID: h.people[0].ID, TopicID: h.topics[0].ID, CampaignID: 1, Number: 1, Link: 1})
	}
	return tokens
}

// request has a person ask for their data, and gives the id of it.
func (h *house) request(person int) int64 {
	h.tb.Helper()
	q, _, err := h.store.AddRequest(h.tb.Context(), email(person), posthaste.Request{Kind: posthaste.ErasureRequest, Channel: posthaste.ByPreferences})
	must(h.tb, err)
	return q.ID
}

// everyChange gives each text that differs from a token in one character.
func everyChange(token string) []string {
	var all []string
	for i := range token {
		for _, c := range alphabet {
			if byte(c) != token[i] {
				all = append(all, token[:i]+string(c)+token[i+1:])
			}
		}
	}
	return all
}

// misshapen gives what a token becomes when it is cut, made longer, wrapped,
// quoted or encoded on its way, or by somebody who looks for a way in.
func misshapen(token string) []string {
	all := []string{token + token, strings.ToUpper(token), strings.ToLower(token), token[1:], token[:len(token)/2] + "." + token[len(token)/2:]}
	for i := range token {
		all = append(all, token[:i], token[i+1:]+token[:i+1], token[:i]+"%"+fmt.Sprintf("%02x", token[i])+token[i+1:])
	}
	for _, more := range []string{"A", "AA", "AAAA", "_", "=", "==", ".", "~", "!", "'", "%27", "%22", "%3E", "%00", "%20", "+", "%09", "%0d%0aX-Injected:%201", "%0A", "%c2%a0", "%ff", "%E2%80%8B",
		"%3f" + oneClick, "%23", ";a=b", ";jsessionid=1", "*", "$", ".html", ".json", "%2f", "%2F..", "%5c", "%25", "%2500", "@example.com", ",", ")", "&confirm=yes"} {
		all = append(all, token+more, more+token)
	}
	for _, path := range []string{"/", "//", "/.", "/..", "/x", "/../" + token, "/data.json/", "/%2e%2e/", "%2f%2e%2e%2f" + token} {
		all = append(all, token+path)
	}
	for _, path := range []string{"/", "./", "../", "%2e/", "%2e%2e/", "%2e%2e%2fu%2f", "..%2fd%2f", "..;/", ".%00/", "\\"} {
		all = append(all, path+token)
	}
	return slices.DeleteFunc(all, func(text string) bool { return text == token })
}

// nonsense gives texts that never were a token.
func nonsense() []string {
	random := rand.New(rand.NewPCG(8058, 1))
	all := []string{"%00", "%0d%0a", "..%2f..%2fetc%2fpasswd", "undefined", "null", "{token}", "%7B%7B%20links.unsubscribe%20%7D%7D", "0", "-1", "1", "'%20OR%201=1--",
		"00000000-0000-0000-0000-000000000000", strings.Repeat("A", 8<<10), strings.Repeat("%41", 4<<10), base64.RawURLEncoding.EncodeToString([]byte(email(0)))}
	for range 600 {
		raw := make([]byte, random.IntN(80))
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		all = append(all, base64.RawURLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(append([]byte{1}, raw...)), url.PathEscape(string(raw)))
	}
	return all
}

// dump is all that the database holds, each row as a text, by table.
func (h *house) dump() map[string][]string {
	h.tb.Helper()
	db := testkit.RawSQL(h.tb, h.db)
	all := map[string][]string{}
	for table, columns := range testkit.Columns(h.tb, db) {
		rows, err := db.QueryContext(h.tb.Context(), `SELECT "`+strings.Join(columns, `", "`)+`" FROM "`+table+`"`)
		must(h.tb, err)
		defer rows.Close()
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			must(h.tb, rows.Scan(into...))
			all[table] = append(all[table], fmt.Sprint(values))
		}
		must(h.tb, rows.Err())
		slices.Sort(all[table])
	}
	must(h.tb, db.Close())
	return all
}

// wantUnchanged compares the database with what it was.
func (h *house) wantUnchanged(before map[string][]string) {
	h.tb.Helper()
	for table, now := range h.dump() {
		if slices.Equal(now, before[table]) {
			continue
		}
		was := before[table]
		h.tb.Errorf("table %s has other rows: +%q -%q", table, without(now, was), without(was, now))
	}
}

// without gives what of some rows is not among others.
func without(rows, others []string) []string {
	return slices.DeleteFunc(slices.Clone(rows), func(row string) bool { return slices.Contains(others, row) })
}

// knock is one request with something that is no token of that page.
type knock struct{ path, text string }

// knocks are all that TestForgedTokensAreAllAnsweredAlike tries.
func (h *house) knocks(tokens map[token.Purpose]string) (all []knock) {
	doors := slices.Sorted(maps.Keys(commands))
	everywhere := func(text string) {
		for _, path := range doors {
			all = append(all, knock{path, text})
		}
	}
	inTurn := func(texts []string) {
		for i, text := range texts {
			all = append(all, knock{doors[i%len(doors)], text})
		}
	}
	for _, purpose := range slices.Sorted(maps.Keys(tokens)) {
		real, own := tokens[purpose], opens[purpose]
		mutants := append(everyChange(real), misshapen(real)...)
		if own == "" {
			inTurn(every(5, mutants))
			everywhere(real)
			continue
		}
		for _, mutant := range mutants {
			all = append(all, knock{own, mutant})
		}
		for _, path := range doors {
			if path != own {
				all = append(all, knock{path, real})
			}
		}
	}
	other := loadKeys(h.tb, filepath.Join(h.tb.TempDir(), "secret"))
	for purpose := range tokens {
		for id := range int64(5) { // of another installation
			everywhere(other.Seal(purpose, token.Claims{RecipientID: id, TopicID: id % 3, CampaignID: 7, Number: id, Link: 1}))
		}
	}
	inTurn(nonsense())
	return all
}

// TestForgedTokensAreAllAnsweredAlike: whatever stands in the place of a token,
// and on whichever page, the answer is the same to the last byte, and nothing
// is changed, counted or sent.
func TestForgedTokensAreAllAnsweredAlike(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(t *testing.T, h *house) {
		tokens := h.seals()
		knocks := h.knocks(tokens)
		if testing.Short() || !strings.HasPrefix(h.db, "sqlite:") { // no database hears of a token that cannot be opened
			knocks = every(17, knocks)
		}
		before, sent := h.dump(), len(h.sent)
		want := h.do(http.MethodGet, "/no/such/page", "", "").wantStatus(t, http.StatusNotFound)
		h.knockAll(knocks, want)
		for path := range commands { // the token is looked at before all else
			h.wantAnswer(want, http.MethodPost, path+"forged", strings.Repeat("x", 32<<10))
		}
		for _, mutant := range every(60, everyChange(tokens[token.Data])) {
			h.wantAnswer(want, http.MethodPost, "/d/"+mutant, "download=json")
		}
		h.wantUnchanged(before)
		if len(h.sent) != sent || len(h.erased) > 0 {
			t.Errorf("%d mails were sent, files of %q removed", len(h.sent)-sent, h.erased)
		}
		for purpose, path := range opens { // or else everything would be a forgery
			if path != "" {
				h.do(http.MethodGet, path+tokens[purpose], "", "").wantStatus(t, http.StatusOK)
			}
		}
		t.Logf("%d requests", 2*len(knocks))
	})
}

// onBoth runs a test on either database, with a form.
func onBoth(t *testing.T, people int, test func(t *testing.T, h *house)) {
	t.Helper()
	for name, database := range map[string]func(testing.TB) string{
		"sqlite":   func(tb testing.TB) string { return "sqlite:" + filepath.Join(tb.TempDir(), "test.db") },
		"postgres": testkit.Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := withForm(openHouseOn(t, database(t), people, nil))
			test(t, h)
		})
	}
}

// every gives one of each n.
func every[T any](n int, all []T) (some []T) {
	for i := 0; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// knockAll makes each request by GET, and by POST with what the page would do.
func (h *house) knockAll(knocks []knock, want answer) {
	h.tb.Helper()
	const senders = 8
	h.client.Transport.(*http.Transport).MaxIdleConnsPerHost = senders
	var wait sync.WaitGroup
	next := make(chan knock) // unbuffered: each sender takes what it sends at once
	for range senders {
		wait.Go(func() {
			for k := range next {
				h.wantAnswer(want, http.MethodGet, k.path+k.text, "")
				h.wantAnswer(want, http.MethodPost, k.path+k.text, commands[k.path])
			}
		})
	}
	for _, k := range knocks {
		next <- k
	}
	close(next)
	wait.Wait()
}

// wantAnswer makes a request, and wants the same answer but for the id of the request.
func (h *house) wantAnswer(want answer, method, path, body string) {
	h.tb.Helper()
	a := h.do(method, path, form, body)
	id := a.header.Get("X-Request-Id")
	if a.status != want.status || a.body != want.body || id == "" || strings.Contains(a.body, id) {
		h.tb.Errorf("%s %.300s: %d, want %d; it is the same page: %t", method, path, a.status, want.status, a.body == want.body)
	}
	want.header = want.header.Clone() // others compare with it too
	sameHeaders(h.tb, a, want)
}

// TestFormsThatAreNotThere: what no key of a form can be is answered as a key
// that nobody has given.
func TestFormsThatAreNotThere(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(t *testing.T, h *house) {
		before := h.dump()
		want := h.do(http.MethodGet, "/s/nothing", "", "").wantStatus(t, http.StatusNotFound)
		for _, key := range []string{"", "%00", "ne%00ws", "news%00", "%ff", "%c0%80", "%ed%a0%80", "News", "news%20", "%20news", "news/", "./news", "new%73", "'", "%27%20OR%201=1--", "%3f0", "?0",
			"%25", "_ews", "news;a=b", "%e2%80%8bnews", strings.Repeat("n", 10<<10)} {
			h.wantAnswer(want, http.MethodGet, "/s/"+key, "")
			h.wantAnswer(want, http.MethodPost, "/s/"+key, values("email", "ada@example.com", h.field(0), "yes"))
		}
		h.wantUnchanged(before)
	})
}
