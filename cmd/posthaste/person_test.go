package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"posthaste"
	"posthaste/internal/testkit"
)

// person sits before a browser with a program that keeps its mails in a folder.
type person struct {
	*program
	t      *testing.T
	ctx    context.Context
	outbox string

	mu     sync.Mutex
	asked  int      // requests of the browser
	posts  []string // Sec-Fetch-Site of those that send a form
	faults []string // what no page may do
}

// newPerson has a program with a form for two topics, and a browser, which runs
// scripts or does not. At the end p.check is to be called.
func newPerson(t *testing.T, scripts bool) *person {
	t.Helper()
	ctx := testkit.Browser(t)
	dir := t.TempDir()
	p := &person{t: t, ctx: ctx, outbox: filepath.Join(dir, "outbox")}
	p.program = start(t, []string{"POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street, Exampletown"})
	p.addTopic()
	p.call("POST", "/topics", `{"key": "offers", "name": "Offers"}`, 201, nil)
	p.call("POST", "/forms", `{"key": "news", "title": "Our news", "topics": ["weekly", "offers"], "measurement": true, "policy_version": "2026-11"}`, 201, nil)
	must(t, chromedp.Listen(ctx, p.watch))
	_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	must(t, err)
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	must(t, err)
	_, err = chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
	must(t, err)
	p.do(chromedp.Navigate(serveHTML(t, `<title>A site</title><script>document.title = "ran"</script>`)))
	if ran := testkit.Evaluate[string](t, ctx, "document.title") == "ran"; ran != scripts {
		t.Fatalf("scripts run: %t", ran)
	}
	return p
}

// watch notes what the browser does, and what it complains of.
func (p *person) watch(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := func(format string, args ...any) { p.faults = append(p.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.asked++
		if u, err := url.Parse(e.Request.URL); err != nil || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
			fault("a request goes to %s", e.Request.URL)
		}
	case *network.EventRequestWillBeSentExtraInfo:
		for name, value := range e.Headers {
			switch strings.ToLower(name) {
			case "cookie":
				fault("a cookie is sent: %s", value)
			case "content-type":
				p.posts = append(p.posts, fmt.Sprint(e.Headers["Sec-Fetch-Site"]))
			}
		}
	case *network.EventResponseReceived:
		if addr, err := netip.ParseAddr(strings.Trim(e.Response.RemoteIPAddress, "[]")); err != nil || !addr.IsLoopback() {
			fault("an answer comes from %q", e.Response.RemoteIPAddress)
		}
	case *network.EventResponseReceivedExtraInfo:
		for name := range e.Headers {
			if strings.EqualFold(name, "Set-Cookie") {
				fault("a cookie is set")
			}
		}
	case *log.EventEntryAdded:
		fault("the browser logs: %s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		fault("a page writes to the console: %v", e)
	case *runtime.EventExceptionThrown:
		fault("a script fails: %v", e)
	}
}

// check wants that no page did what none may do.
func (p *person) check() {
	cookies, err := chromedp.CallBrowser(p.ctx, storage.GetCookies, storage.GetCookiesParams{})
	must(p.t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(cookies.Cookies) > 0 || len(p.faults) > 0 || p.asked == 0 {
		p.t.Errorf("%d requests, %d cookies, faults:\n%s", p.asked, len(cookies.Cookies), strings.Join(p.faults, "\n"))
	}
}

// atOnce is more than any step takes; without it a wrong selector waits for minutes.
const atOnce = 20 * time.Second

func (p *person) do(step chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, atOnce)
	defer cancel()
	must(p.t, chromedp.Do(ctx, step))
}

// lead does what leads to another page, which is in a language and has a heading.
func (p *person) lead(step chromedp.Action[chromedp.Void], lang, heading string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, atOnce)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, step)
	must(p.t, err)
	if answer.Status != http.StatusOK {
		p.t.Fatalf("%s answers %d", answer.URL, answer.Status)
	}
	if got := testkit.Evaluate[[]string](p.t, p.ctx, "[document.documentElement.lang, document.querySelector('h1')?.textContent ?? '']"); !slices.Equal(got, []string{lang, heading}) {
		p.t.Fatalf("the page is %q, want %q", got, []string{lang, heading})
	}
}

// open opens an address.
func (p *person) open(address, lang, heading string) {
	p.t.Helper()
	p.lead(chromedp.Navigate(address), lang, heading)
}

// press clicks on the first element of a selector.
func (p *person) press(selector, lang, heading string) {
	p.t.Helper()
	p.lead(chromedp.Click(chromedp.CSS(selector)), lang, heading)
}

// tick clicks on the label of a box, or of a choice.
func (p *person) tick(input string) {
	p.t.Helper()
	id := testkit.Evaluate[string](p.t, p.ctx, "document.querySelector('input"+input+"').id")
	p.do(chromedp.Click(chromedp.CSS(`label[for="` + id + `"]`)))
}

// tickTopic is tick by the name of the box.
func (p *person) tickTopic(name string) { p.tick(`[name="` + name + `"]`) }

// enter types a text into a field.
func (p *person) enter(field, text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(`input[name="`+field+`"]`), text))
}

// says tells whether the page shows a text.
func (p *person) says(text string) bool {
	p.t.Helper()
	return strings.Contains(testkit.Evaluate[string](p.t, p.ctx, "document.body.innerText"), text)
}

// ticked are the names of what is ticked on the page.
func (p *person) ticked() []string {
	p.t.Helper()
	return testkit.Evaluate[[]string](p.t, p.ctx, "[...document.querySelectorAll('input:checked')].map(e => e.name)")
}

// boxes are the names of what can be ticked for a topic, in the order of the page.
func (p *person) boxes() []string {
	p.t.Helper()
	return testkit.Evaluate[[]string](p.t, p.ctx, "[...document.querySelectorAll('input[name^=topic-]')].map(e => e.name)")
}

// letters are the mails in the folder.
func (p *person) letters() (all []inbox) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.outbox, "*", "*.eml"))
	must(p.t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(p.t, err)
		all = append(all, readMessage(p.t, raw))
	}
	return all
}

// openLetter waits for a mail with a link to such a page, shows it as a
// web mailer does, on a site of its own, and follows the link.
func (p *person) openLetter(path, lang, heading string) inbox {
	p.t.Helper()
	var found inbox
	waitFor(p.t, "a mail with a link to "+path, func() bool {
		for _, in := range p.letters() {
			if len(in.find(path)) > 0 {
				found = in
				return true
			}
		}
		return false
	})
	p.do(chromedp.Navigate(serveHTML(p.t, found.html)))
	p.press(`a[href*="`+path+`"]`, lang, heading)
	return found
}

// serveHTML is another site with one page.
func serveHTML(tb testing.TB, page string) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page)) // the browser tells what it misses
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

// consents are the latest decisions of somebody.
func (p *person) consents(email string) map[string]string {
	p.t.Helper()
	var ledger struct {
		Items []struct{ Purpose, Topic, Decision string }
	}
	p.call("GET", "/recipients/"+email+"/consents", "", 200, &ledger)
	decisions := map[string]string{}
	for _, c := range ledger.Items {
		decisions[strings.TrimSpace(c.Purpose+" "+c.Topic)] = c.Decision
	}
	return decisions
}

func (p *person) wantConsents(email string, want map[string]string) {
	p.t.Helper()
	if got := p.consents(email); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("decisions %v, want %v", got, want)
	}
}

// TestAPersonWithoutScripts goes through everything that a person can do, in a
// browser that runs no script.
func TestAPersonWithoutScripts(t *testing.T) {
	t.Parallel()
	p := newPerson(t, false)
	defer p.check()
	const email = "ada@example.com"

	p.open(p.public+"/s/news?lang=de", "de", "Our news")
	boxes := p.boxes()
	if len(boxes) != 2 || len(p.ticked()) > 0 {
		t.Fatalf("boxes %q, ticked %q", boxes, p.ticked())
	}
	p.enter("email", email)
	p.enter("name", "Ada Lovelace")
	p.tickTopic(boxes[0])
	p.press("button[type=submit]", "de", "Bitte sehen Sie in Ihr Postfach")

	letter := p.openLetter("/confirm/", "de", "Bitte bestätigen Sie")
	if subject, _ := letter.header.Subject(); subject != "Bitte bestätigen Sie Ihre Anmeldung bei Example Ltd" {
		t.Errorf("subject %q", subject)
	}
	p.wantConsents(email, map[string]string{}) // it was only looked at
	p.press("button[type=submit]", "de", "Es ist bestätigt")
	p.wantConsents(email, map[string]string{"topic weekly": "given"})

	p.press(`a[href*="/p/"]`, "de", "Ihre Post, Ihre Wahl")
	if got := p.ticked(); !slices.Equal(got, boxes[:1]) {
		t.Errorf("ticked %q", got)
	}
	p.tickTopic(boxes[1])
	p.tickTopic("opens")
	p.do(chromedp.SetValue(chromedp.CSS("select[name=lang]"), "fr"))
	p.press("button[name=save]", "fr", "Vos e-mails, votre choix")
	if got := p.ticked(); len(got) != 3 || !slices.Contains(got, boxes[0]) || !slices.Contains(got, boxes[1]) || !slices.Contains(got, "opens") || !p.says("Vos choix sont enregistrés.") {
		t.Errorf("ticked %q", got)
	}
	p.tickTopic("opens")
	p.press("button[name=save]", "fr", "Vos e-mails, votre choix")
	p.wantConsents(email, map[string]string{"topic weekly": "given", "topic offers": "given", "opens": "withdrawn"})

	p.unsubscribeAndBack(email)
	p.seeAndDelete(email)
}

// unsubscribeAndBack gets a newsletter, stops it, takes that back, stops it all
// the same, and says why.
func (p *person) unsubscribeAndBack(email string) {
	p.t.Helper()
	id := p.draft("Hello {{ recipient.name }}", "")
	p.step(id, "schedule")
	p.untilSent(id)
	letter := p.openLetter("/u/", "fr", "Se désabonner")
	if !strings.Contains(letter.text, "Ada Lovelace") {
		p.t.Errorf("the mail says %q", letter.text)
	}
	p.wantConsents(email, map[string]string{"topic weekly": "given", "topic offers": "given", "opens": "withdrawn"}) // it was only looked at
	p.press("button.primary", "fr", "Votre désabonnement est enregistré")
	p.wantConsents(email, map[string]string{"topic weekly": "withdrawn", "topic offers": "given", "opens": "withdrawn"})
	p.press("button[name=undo]", "fr", "L’envoi a repris")
	p.wantConsents(email, map[string]string{"topic weekly": "given", "topic offers": "given", "opens": "withdrawn"})
	p.open(letter.find("/u/")[0], "fr", "Se désabonner")
	p.press("button.primary", "fr", "Votre désabonnement est enregistré")
	p.tick(`[value="too_often"]`)
	p.press("form.apart button", "fr", "Votre désabonnement est enregistré")
	if !p.says("Merci. La raison est conservée sans votre nom.") {
		p.t.Error("no thanks")
	}
	p.wantConsents(email, map[string]string{"topic weekly": "withdrawn", "topic offers": "given", "opens": "withdrawn"})
}

// seeAndDelete asks for the data, reads and downloads them, and deletes all.
func (p *person) seeAndDelete(email string) {
	p.t.Helper()
	for _, in := range p.letters() {
		if links := in.find("/p/"); len(links) > 0 {
			p.open(links[0], "fr", "Vos e-mails, votre choix")
		}
	}
	p.press("button[name=data]", "fr", "Vos e-mails, votre choix")
	p.openLetter("/d/", "fr", "Ce que nous conservons à votre sujet")
	if p.says("Ada Lovelace") {
		p.t.Error("whoever follows the link sees the data")
	}
	p.press("button[name=show]", "fr", "Ce que nous conservons à votre sujet")
	for _, want := range []string{"Ada Lovelace", email, "Weekly", "News for {{ recipient.name"} { // as its author wrote it
		if !p.says(want) {
			p.t.Errorf("the page of their data does not say %q", want)
		}
	}
	folder := p.t.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder})
	must(p.t, err)
	p.do(chromedp.Click(chromedp.CSS("button[name=download]")))
	file := filepath.Join(folder, "my-data.json")
	waitFor(p.t, "the download", func() bool { _, err := os.Stat(file); return err == nil })
	text, err := os.ReadFile(file)
	must(p.t, err)
	var out posthaste.Export
	must(p.t, json.Unmarshal(text, &out))
	if out.Person.Email != email || out.Person.Name != "Ada Lovelace" || out.Person.Locale != "fr" || len(out.SignUps) != 1 || len(out.Mailings) != 1 || len(out.Requests) != 1 {
		p.t.Errorf("file %s", text)
	}
	p.press("button[name=erase]", "fr", "Vos données sont supprimées")
	if testkit.Evaluate[int](p.t, p.ctx, "document.querySelectorAll('main li').length") < 5 || p.says(email) {
		p.t.Errorf("receipt %s", testkit.Evaluate[string](p.t, p.ctx, "document.body.innerText"))
	}
	p.call("GET", "/recipients/"+email, "", 404, nil)
	for _, in := range p.letters() {
		if strings.Contains(in.raw, email) {
			p.t.Errorf("a mail is still there: %s", in.header.Get("Subject"))
		}
	}
}

// TestTheFormOnAnotherSite puts the form into a page of another site, as its
// owner would, and signs up from there.
func TestTheFormOnAnotherSite(t *testing.T) {
	t.Parallel()
	p := newPerson(t, true)
	defer p.check()
	var embed struct{ HTML string }
	p.call("GET", "/forms/news/embed?lang=fr", "", 200, &embed)
	site := serveHTML(t, `<!DOCTYPE html><html lang="en"><head><title>A site</title></head><body><h1>A site</h1>`+embed.HTML+`<hr>`+embed.HTML+`</body></html>`)
	if strings.Contains(site, "localhost") || !strings.Contains(p.public, "localhost") {
		t.Fatalf("%s and %s are one site", site, p.public)
	}
	p.open(site, "en", "A site")
	boxes := p.boxes()
	if len(boxes) != 4 || len(p.ticked()) > 0 {
		t.Fatalf("boxes %q, ticked %q", boxes, p.ticked())
	}
	p.do(chromedp.Click(chromedp.CSS(`input[name="` + boxes[1] + `"]`)))
	p.enter("email", "bea@example.com")
	p.press("button[type=submit]", "fr", "Consultez votre boîte de réception")
	if at := testkit.Evaluate[string](t, p.ctx, "location.href"); at != p.public+"/s/news" {
		t.Errorf("it ends at %s", at)
	}
	p.openLetter("/confirm/", "fr", "Merci de confirmer")
	p.press("button[type=submit]", "fr", "C’est confirmé")
	p.wantConsents("bea@example.com", map[string]string{"topic offers": "given"})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.posts, []string{"cross-site", "same-origin"}) {
		t.Errorf("forms were sent %q", p.posts)
	}
}
