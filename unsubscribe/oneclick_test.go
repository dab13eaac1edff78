package unsubscribe_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"posthaste/internal/token"
	"posthaste/templates/pages"
)

// TestOneClickEndpoint is the endpoint of RFC 8058, requirement by requirement.
func TestOneClickEndpoint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"1.10 both encodings, committed before the answer": bothEncodings,
		"1.11 never a redirect":                            neverRedirects,
		"1.12 no cookie, no origin, no script":             crossSite,
		"1.13 only the exact pair counts":                  exactPairOnly,
		"1.13 a hundred scanners":                          scanners,
		"1.13 the page's own button":                       ownButton,
		"1.14 idempotent, again after re-subscription":     idempotent,
		"1.14 campaign, topic and recipient gone":          longLived,
		"1.15 key rotation":                                keyRotation,
		"1.16 opaque token":                                opaqueToken,
		"1.17 purposes are apart":                          purposesApart,
		"1.18 forged and mutated tokens":                   mutatedTokens,
		"1.19 many from one address":                       manyFromOneAddress,
		"1.20 store down":                                  storeDown,
		"1.21 limits, query string ignored":                limits,
		"1.22 headers and page":                            headersAndPage,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
	}
}

func bothEncodings(t *testing.T) {
	h := openHouse(t, 1, nil)
	if len(oneClick) != 26 {
		t.Fatal("providers send 26 bytes")
	}
	plainKind, plain := multipartBody(t, "", "List-Unsubscribe", "One-Click")
	_, odd := multipartBody(t, "a b'()+_,-./:=?z", "List-Unsubscribe", "One-Click")
	for name, in := range map[string][2]string{
		"urlencoded":                 {form, oneClick},
		"urlencoded, charset":        {form + "; charset=UTF-8", oneClick},
		"urlencoded, upper case":     {"Application/X-WWW-Form-Urlencoded;Charset=utf-8", oneClick},
		"urlencoded, more fields":    {form, "a=b&" + oneClick},
		"urlencoded, %-escapes":      {form, "List%2DUnsubscribe=One%2DClick"},
		"multipart":                  {plainKind, plain},
		"multipart, charset":         {plainKind + "; charset=utf-8", plain},
		"multipart, quoted boundary": {`multipart/form-data; boundary="a b'()+_,-./:=?z"`, odd},
	} {
		h.resubscribe(0, 0)
		h.wantAllowed(0, 0, true)
		atAnswer := true
		h.onAnswer = func(int) { atAnswer = h.allowed(0, 0) }
		a := h.do(http.MethodPost, "/u/"+h.oneClickToken(0, 0), in[0], in[1]).wantStatus(t, http.StatusOK)
		if atAnswer {
			t.Errorf("%s: the opt-out was not committed when the answer began", name)
		}
		if !strings.Contains(a.body, "You are unsubscribed") {
			t.Errorf("%s: the page does not say that it is done: %s", name, a.body)
		}
		h.wantAllowed(0, 1, true) // the other topic is not concerned
	}
}

func neverRedirects(t *testing.T) {
	h := openHouse(t, 1, nil)
	tok := h.oneClickToken(0, 0)
	for _, path := range []string{"//u/" + tok, "/u//" + tok, "/u/" + tok + "/", "/u/" + tok + "//", "/u/./" + tok, "/x/../u/" + tok, "/u/" + tok + "/.",
		"/U/" + tok, "/u/", "/u", "/", "/u/" + tok + "/x", "/%75/" + tok, "/u%2F" + tok} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodHead} {
			if a := h.do(method, path, form, oneClick); a.status != http.StatusOK && a.status != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
	h.resubscribe(0, 0)
	for _, host := range []string{"Example.COM", "www.example.com", "192.0.2.1", "example.com.:80"} {
		h.do(http.MethodPost, "/u/"+tok, form, oneClick, "Host", host, "X-Forwarded-Proto", "http").wantStatus(t, http.StatusOK)
	}
	h.wantAllowed(0, 0, false)
}

func crossSite(t *testing.T) {
	h := openHouse(t, 1, nil)
	for _, headers := range [][]string{
		nil,
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://mailbox.test", "Referer", "https://mailbox.test/"},
		{"Origin", "null"},
		{"Cookie", "session=1; csrf=2", "Authorization", "Bearer nonsense"},
	} {
		h.resubscribe(0, 0)
		h.do(http.MethodPost, "/u/"+h.oneClickToken(0, 0), form, oneClick, headers...).wantStatus(t, http.StatusOK)
		h.wantAllowed(0, 0, false)
	}
}

func exactPairOnly(t *testing.T) {
	h := openHouse(t, 1, nil)
	path := "/u/" + h.oneClickToken(0, 0)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		a := h.do(method, path, form, oneClick)
		if method == http.MethodHead && (a.status != http.StatusOK || a.body != "") {
			t.Errorf("HEAD: %d, %q", a.status, a.body)
		}
		h.wantAllowed(0, 0, true)
	}
	fileKind, fileBody := multipartBody(t, "x", "Other", "One-Click")
	for _, in := range [][2]string{
		{"", ""}, {form, ""}, {form, "List-Unsubscribe="}, {form, "List-Unsubscribe=one-click"}, {form, "list-unsubscribe=One-Click"},
		{form, "List-Unsubscribe=One-Click2"}, {form, "List-Unsubscribe"}, {form, "One-Click"}, {form, "List_Unsubscribe=One-Click"},
		{"", oneClick}, {"text/plain", oneClick}, {"application/json", `{"List-Unsubscribe":"One-Click"}`},
		{"multipart/form-data", oneClick}, {fileKind, fileBody}, {fileKind, "--x\r\n"}, {form, "%zz=1"},
		{form, "confirm=no"}, {form, "confirm="}, {form, "stop=all"}, {form, "save=yes"},
	} {
		if a := h.do(http.MethodPost, path, in[0], in[1]); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "You are unsubscribed") {
			t.Errorf("%q: %d, or the page claims that it is done", in, a.status)
		}
		if !h.allowed(0, 0) {
			t.Fatalf("%q unsubscribed", in)
		}
	}
}

func scanners(t *testing.T) {
	h := openHouse(t, 1, nil)
	for i := range 100 {
		h.do(http.MethodGet, "/u/"+h.oneClickToken(0, 0), "", "", "User-Agent",
			fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 60+i)).wantStatus(t, http.StatusOK)
	}
	h.wantAllowed(0, 0, true)
}

func ownButton(t *testing.T) {
	h := openHouse(t, 1, nil)
	path := "/u/" + h.oneClickToken(0, 0)
	page := h.do(http.MethodGet, path, "", "").body
	button := regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]+)".*?name="([^"]+)" value="([^"]+)"`).FindStringSubmatch(page)
	if button == nil {
		t.Fatalf("no button on %s", page)
	}
	if button[1] != path || button[2] == "List-Unsubscribe" {
		t.Errorf("the form %q cannot be told from a one-click request, or leads elsewhere", button[1:])
	}
	h.do(http.MethodPost, button[1], form, values(button[2], button[3])).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
	ledger, err := h.store.ListConsents(t.Context(), h.people[0].ID)
	must(t, err)
	last := ledger[len(ledger)-1]
	if last.Channel != "page" || last.Network.String() != "127.0.0.0/24" {
		t.Errorf("the ledger says %+v", last)
	}
}

func idempotent(t *testing.T) {
	h := openHouse(t, 1, nil)
	for range 3 {
		h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusOK)
		h.wantAllowed(0, 0, false)
	}
	ledger, err := h.store.ListConsents(t.Context(), h.people[0].ID)
	must(t, err)
	if len(ledger) != 3 { // two imports, one withdrawal
		t.Errorf("%d entries in the ledger, want 3", len(ledger))
	}
	h.resubscribe(0, 0)
	h.wantAllowed(0, 0, true)
	h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
}

func longLived(t *testing.T) {
	h := openHouse(t, 1, nil)
	for name, claims := range map[string]token.Claims{
		"campaign": {RecipientID: h.people[0].ID, TopicID: h.topics[0].ID, CampaignID: 999_999, Number: 5},
		"topic":    {RecipientID: h.people[0].ID, TopicID: 999_999, CampaignID: 1, Number: 1},
		"person":   {RecipientID: 999_999, TopicID: h.topics[0].ID, CampaignID: 1, Number: 1},
		"all":      {RecipientID: 999_999, TopicID: 999_999, CampaignID: 999_999, Number: 1},
	} {
		tok := h.keys.Seal(token.Unsubscribe, claims)
		for range 2 {
			if a := h.post(tok).wantStatus(t, http.StatusOK); !strings.Contains(a.body, "You are unsubscribed") {
				t.Errorf("%s gone: %s", name, a.body)
			}
		}
		h.do(http.MethodGet, "/u/"+tok, "", "").wantStatus(t, http.StatusOK)
	}
}

func keyRotation(t *testing.T) {
	h := openHouse(t, 1, nil)
	old := h.oneClickToken(0, 0)
	path := filepath.Join(h.dir, "secret")
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(text, "2 "+strings.Repeat("5a", 32)+"\n"...), 0o600))
	h.keys = loadKeys(t, path)
	h.serve(nobody{t})
	if h.oneClickToken(0, 0) == old {
		t.Fatal("the key was not changed")
	}
	h.post(old).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
}

func opaqueToken(t *testing.T) {
	h := openHouse(t, 2, nil)
	seen := map[string]bool{}
	for person := range 2 {
		for topic := range 2 {
			tok := h.oneClickToken(person, topic)
			raw, err := base64.RawURLEncoding.DecodeString(tok)
			must(t, err)
			if len(raw) < 1+12+16 || strings.Contains(tok, "example") || strings.Contains(string(raw), "example") || seen[tok] {
				t.Errorf("token %q", tok)
			}
			seen[tok] = true
		}
	}
}

func purposesApart(t *testing.T) {
	h := openHouse(t, 1, nil)
	claims := token.Claims{RecipientID: h.people[0].ID, TopicID: h.topics[0].ID}
	for _, p := range []token.Purpose{token.Preferences, token.OpenBeacon, token.ClickLink} {
		h.post(h.keys.Seal(p, claims)).wantStatus(t, http.StatusNotFound)
	}
	h.wantAllowed(0, 0, true)
	own := h.oneClickToken(0, 0)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if a := h.do(method, "/p/"+own, form, "stop=all").wantStatus(t, http.StatusNotFound); strings.Contains(a.body, "@example") {
			t.Error("the one-click token shows the address")
		}
	}
	if page := h.do(http.MethodGet, "/u/"+own, "", "").body; strings.Contains(page, "@example") || strings.Contains(page, "/p/") {
		t.Errorf("the one-click page shows an address or opens the preferences: %s", page)
	}
	h.wantAllowed(0, 1, true)
}

func mutatedTokens(t *testing.T) {
	h := openHouse(t, 1, nil)
	good := h.oneClickToken(0, 0)
	unknown := h.keys.Seal(token.Unsubscribe, token.Claims{RecipientID: 999_999, TopicID: h.topics[0].ID})
	other := loadKeys(t, filepath.Join(t.TempDir(), "secret"))
	forged := []string{"x", "unsubscribe", good[:len(good)-1], good[1:], good + "A", good + good, strings.ToUpper(good),
		other.Seal(token.Unsubscribe, token.Claims{RecipientID: h.people[0].ID, TopicID: h.topics[0].ID}),
		base64.RawURLEncoding.EncodeToString([]byte(h.people[0].Email)), "%00", "%0d%0a", "..%2f..%2fetc"}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, whole := range []string{good, unknown} {
		for i := range whole {
			at := strings.IndexByte(alphabet, whole[i])
			for _, step := range []int{1, 16, 32} { // a low, a middle and the highest bit
				forged = append(forged, whole[:i]+string(alphabet[at^step])+whole[i+1:])
			}
		}
	}
	want := h.do(http.MethodGet, "/no/such/page", "", "").wantStatus(t, http.StatusNotFound)
	for _, tok := range forged {
		for _, a := range []answer{h.post(tok), h.do(http.MethodGet, "/u/"+tok, "", ""), h.do(http.MethodGet, "/p/"+tok, "", "")} {
			if a.status != http.StatusNotFound || a.body != want.body {
				t.Fatalf("%q: %d %s", tok, a.status, a.body)
			}
			if id := a.header.Get("X-Request-Id"); id == "" || strings.Contains(a.body, id) {
				t.Fatalf("%q: the page bears the request id, or there is none", tok)
			}
			sameHeaders(t, a, want)
		}
	}
	h.wantAllowed(0, 0, true)
}

func sameHeaders(tb testing.TB, a, b answer) {
	tb.Helper()
	for _, own := range []string{"X-Request-Id", "Date"} {
		a.header.Del(own)
		b.header.Del(own)
	}
	if got, want := fmt.Sprint(a.header), fmt.Sprint(b.header); got != want {
		tb.Errorf("headers %s, want %s", got, want)
	}
}

func manyFromOneAddress(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 200
	}
	unsubscribeAll(t, n)
}

// BenchmarkOneClick is the rate of distinct valid requests from one address; -benchtime=10000x
// is requirement 1.19 in full.
func BenchmarkOneClick(b *testing.B) { unsubscribeAll(b, b.N) }

func unsubscribeAll(tb testing.TB, n int) {
	h := openHouse(tb, n, nil)
	if b, ok := tb.(*testing.B); ok {
		b.ResetTimer()
	}
	var wait sync.WaitGroup
	next := make(chan int) // unbuffered: each sender takes what it sends at once
	for range 8 {
		wait.Go(func() {
			for i := range next {
				if a := h.post(h.oneClickToken(i, 0)); a.status != http.StatusOK {
					tb.Errorf("request %d: %d", i, a.status)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	for i := range n {
		if h.allowed(i, 0) {
			tb.Fatalf("recipient %d is still subscribed", i)
		}
	}
}

func storeDown(t *testing.T) {
	h := openHouse(t, 1, nil)
	must(t, h.store.Close())
	for _, body := range []string{oneClick, "confirm=yes"} {
		a := h.do(http.MethodPost, "/u/"+h.oneClickToken(0, 0), form, body).wantStatus(t, http.StatusServiceUnavailable)
		if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "You are unsubscribed") {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "stop=all").wantStatus(t, http.StatusServiceUnavailable)
	h.store = openStore(t, h.db, h.keys)
	h.serve(nobody{t})
	h.wantAllowed(0, 0, true)
	h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
}

func limits(t *testing.T) {
	h := openHouse(t, 1, nil)
	path := "/u/" + h.oneClickToken(0, 0)
	for _, query := range []string{"?" + oneClick, "?confirm=yes", "?stop=all&save=yes"} {
		h.do(http.MethodPost, path+query, form, "").wantStatus(t, http.StatusUnprocessableEntity)
		h.do(http.MethodGet, path+query, "", "").wantStatus(t, http.StatusOK)
		h.wantAllowed(0, 0, true)
	}
	h.do(http.MethodPost, path, form, oneClick+"&x="+strings.Repeat("x", 8<<10)).wantStatus(t, http.StatusRequestEntityTooLarge)
	kind, body := multipartBody(t, "", "List-Unsubscribe", "One-Click", "x", strings.Repeat("x", 8<<10))
	h.do(http.MethodPost, path, kind, body).wantStatus(t, http.StatusRequestEntityTooLarge)
	h.wantAllowed(0, 0, true)
	h.do(http.MethodPost, path+"?utm_source=x&List-Unsubscribe=no", form, oneClick).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
}

func headersAndPage(t *testing.T) {
	h := openHouse(t, 1, nil)
	csp := "default-src 'none'; style-src " + pages.StyleHash() + "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	path := "/u/" + h.oneClickToken(0, 0)
	foreign := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|src=|https?://|javascript:|\son[a-z]+=|@import|url\(`)
	for name, a := range map[string]answer{
		"page": h.do(http.MethodGet, path, "", ""), "done": h.post(h.oneClickToken(0, 0)), "invalid": h.do(http.MethodGet, path+"x", "", ""),
		"preferences": h.do(http.MethodGet, "/p/"+h.preferencesToken(0), "", ""), "too large": h.do(http.MethodPost, path, form, strings.Repeat("x", 8<<10)),
	} {
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex",
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": csp} {
			if got := strings.Join(a.header.Values(header), "|"); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		if kind := strings.ToLower(a.header.Get("Content-Type")); kind != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", name, kind)
		}
		if found := foreign.FindString(a.body); found != "" {
			t.Errorf("%s: the page holds %q", name, found)
		}
		if !strings.Contains(a.body, "<html lang=") {
			t.Errorf("%s: the page names no language", name)
		}
	}
}
