package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"posthaste"
	"posthaste/internal/audit"
	"posthaste/internal/testkit"
)

// promised is a running program with everything that the promises are about.
type promised struct {
	*program
	env      []string
	sink     *testkit.Sink
	receiver *receiver
	out      *http.Client // a recipient's browser: it keeps cookies, if it is given any
	campaign int64        // the last one that was sent
}

const firstName = "Reader"

// TestPromises holds the running program against each promise of the sender's
// privacy policy. Each has a counter-case beside it: what must go, goes.
func TestPromises(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		p := &promised{receiver: newReceiver(t)}
		p.sink = testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true, OnRcpt: func(to string) error {
			if strings.HasPrefix(to, "gone@") {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			}
			return nil
		}})
		p.env = append(append(env, p.receiver.trust(t)...), "POSTHASTE_SMTP_URL="+p.sink.URL(), "POSTHASTE_TRUSTED_PROXIES=127.0.0.0/8", "POSTHASTE_FROM=privacy@example.com")
		p.program = start(t, p.env)
		p.out = newBrowser(t)
		p.addTopic()
		p.call("POST", "/topics", `{"key": "offers", "name": "Offers"}`, 201, nil)
		p.call("POST", "/forms", `{"key": "news", "title": "Our news", "topics": ["weekly", "offers"], "measurement": true, "policy_version": "2026-11", "policy_url": "https://example.com/privacy"}`, 201, nil)
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		for _, promise := range []struct {
			name string
			kept func(*testing.T)
		}{
			{"P1 newsletters only to those who chose them", p.onlyThoseWhoChose},
			{"P2 notices about the account reach whoever opted out, and carry no promotion", p.noticesReachEverybody},
			{"P3 opt out at any time by the mail", p.optOutByTheMail},
			{"P4 or by customer service", p.optOutByTheDesk},
			{"P5 beacons only of those who agreed, also for mail already sent", p.beaconsHonourConsent},
			{"P6 only the first three parts of an IP address", p.addressesAreCut},
			{"P7 every operation leaves an audit trail", p.auditTrail},
			{"P8 nothing for advertising, nothing of third parties", p.nothingOfThirdParties},
			{"P9 phone numbers and consent are never shared", p.neverShared},
			{"P10 forms say what for, and evidence is kept", p.formsKeepEvidence},
			{"P11 no cookies for recipients", p.noCookies},
			{"P12 networks only to detect abuse", p.listBombing},
			{"P13 disclosure of one person, with a reason", p.disclosure},
			{"P14 significant changes are announced to everyone", p.changesAreAnnounced},
			{"P15 automated decisions are explained and reversible", p.decisionsAreReversible},
			{"P16 people see and delete their data", p.seeAndDelete},
			{"P16 people have their data corrected", p.corrected},
			{"P17 API usage is shown", p.usageIsShown},
			{"P7 tampering with the audit trail is found out", p.tampering},
		} {
			t.Run(promise.name, func(t *testing.T) {
				p.tb = t
				promise.kept(t)
			})
		}
	})
}

// newBrowser keeps cookies, if it is given any.
func newBrowser(tb testing.TB) *http.Client {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	must(tb, err)
	return &http.Client{Jar: jar, Timeout: time.Minute}
}

// send sends a campaign of a topic to whoever chose it and waits for its end.
func (p *promised) send(more string) campaignAnswer {
	p.tb.Helper()
	p.campaign = p.draft("Hello. [Read](https://example.com/read).", more)
	p.step(p.campaign, "schedule")
	return p.untilSent(p.campaign)
}

// mails gives the messages to an address, oldest first.
func (p *promised) mails(to string) (all []inbox) {
	p.tb.Helper()
	for _, m := range p.sink.Messages() {
		if strings.EqualFold(m.To, to) {
			all = append(all, readMessage(p.tb, m.Data))
		}
	}
	return all
}

// last waits for a message to an address beyond those that there were.
func (p *promised) last(to string, before int) inbox {
	p.tb.Helper()
	waitFor(p.tb, "a mail to "+to, func() bool { return len(p.mails(to)) > before })
	return p.mails(to)[before]
}

func (p *promised) importOne(topic, email string) {
	p.tb.Helper()
	p.importCSV(topic, "email,name\n"+email+","+firstName+"\n")
}

// browse makes a request as a recipient's browser would, and keeps cookies.
func (p *promised) browse(method, address, body string, status int, header ...string) string {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), method, address, strings.NewReader(body))
	must(p.tb, err)
	request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0")
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := p.out.Do(request)
	must(p.tb, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(p.tb, err)
	if answer.StatusCode != status {
		p.tb.Fatalf("%s %s answered %d, want %d: %s", method, request.URL.Path, answer.StatusCode, status, text)
	}
	return string(text)
}

func (p *promised) onlyThoseWhoChose(t *testing.T) {
	p.importOne("weekly", "chose@example.com")
	p.importOne("offers", "other@example.com")
	p.call("PUT", "/recipients/silent@example.com", `{"name": "Silent"}`, 201, nil)
	p.browse("POST", p.public+"/s/news", url.Values{"email": {"unconfirmed@example.com"}, p.topicField("weekly"): {"yes"}}.Encode(), 200)
	done := p.send("")
	if len(p.mails("chose@example.com")) != 1 || len(p.mails("other@example.com"))+len(p.mails("silent@example.com")) > 0 || done.Counts.Accepted != 1 {
		t.Errorf("counts %+v", done.Counts)
	}
	if got := p.mails("unconfirmed@example.com"); len(got) != 1 || got[0].header.Get("List-Unsubscribe") != "" {
		t.Errorf("who did not confirm got %d mails", len(got))
	}
}

// topicField is the name of a topic's box in forms.
func (p *promised) topicField(key string) string {
	p.tb.Helper()
	page := p.browse("GET", p.public+"/s/news", "", 200)
	found := regexp.MustCompile(`name="(topic-\d+)"`).FindAllStringSubmatch(page, -1)
	if len(found) != 2 {
		p.tb.Fatalf("form %s", page)
	}
	if key == "weekly" {
		return found[0][1]
	}
	return found[1][1]
}

func (p *promised) noticesReachEverybody(t *testing.T) {
	p.importOne("weekly", "account@example.com")
	p.send("")
	p.oneClick(p.last("account@example.com", 0).unsubscribeURL(t), 200)
	p.notify(`{"type": "receipt", "to": {"email": "account@example.com"}, "data": ` + order + `}`)
	if notice := p.last("account@example.com", 1); notice.header.Get("Subject") != "Receipt A-7" || notice.header.Get("List-Unsubscribe") != "" || strings.Contains(notice.html, "/o/") {
		t.Errorf("notice %+v", notice.header)
	}
	if done := p.send(""); done.Counts.Suppressed == 0 && len(p.mails("account@example.com")) != 2 {
		t.Errorf("the newsletter goes on: %+v", done.Counts)
	}
	for _, more := range []string{`, "tracking": {"opens": "individual"}`, `, "topic": "weekly"`} {
		p.call("POST", "/notice-types", noticeType("promo", more), 422, nil)
	}
	p.call("POST", "/notice-types", strings.Replace(noticeType("promo", ""), "Thank you", "[Sale](https://example.com/?utm_source=mail)", 1), 422, nil)
}

func (p *promised) optOutByTheMail(t *testing.T) {
	p.importOne("weekly", "stops@example.com")
	p.importOne("weekly", "stays@example.com")
	p.importOne("offers", "stops@example.com")
	p.send("")
	mail := p.last("stops@example.com", 0)
	link := mail.unsubscribeURL(t)
	if !strings.Contains(mail.text, p.public+"/u/") || len(mail.find("/u/")) == 0 || len(mail.find("/p/")) == 0 {
		t.Error("no visible link")
	}
	for range 20 { // scanners
		p.browse("GET", link, "", 200)
	}
	p.send("")
	if len(p.mails("stops@example.com")) != 2 {
		t.Fatal("looking at the link opted out")
	}
	p.oneClick(link, 200)
	p.send("")
	if got, stays := len(p.mails("stops@example.com")), len(p.mails("stays@example.com")); got != 2 || stays != 3 {
		t.Errorf("after the answer it got %d more; others got %d", got-2, stays)
	}
	p.send(`, "topic": "offers"`)
	if len(p.mails("stops@example.com")) != 3 {
		t.Error("one topic stopped another")
	}
	p.browse("POST", mail.find("/p/")[0], "stop=all", 200)
	p.send(`, "topic": "offers"`)
	p.notify(`{"type": "receipt", "to": {"email": "stops@example.com"}, "data": ` + order + `}`)
	p.notify(`{"type": "receipt", "to": {"email": "stays@example.com"}, "data": ` + order + `}`)
	p.last("stays@example.com", 3)
	if len(p.mails("stops@example.com")) != 3 {
		t.Error("all mail was stopped, and some went")
	}
}

func (p *promised) optOutByTheDesk(t *testing.T) {
	p.importOne("weekly", "calls@example.com")
	p.call("POST", "/desk/requests", `{"kind": "opt_out", "email": "Calls@Example.com", "scope": "weekly", "reason": "call, ticket 1"}`, 201, nil)
	p.call("POST", "/desk/requests", `{"kind": "opt_out", "email": "nobody-yet@example.com", "reason": "letter"}`, 201, nil)
	p.importOne("weekly", "nobody-yet@example.com")
	p.importOne("weekly", "calls@example.com")
	p.send("")
	if len(p.mails("calls@example.com"))+len(p.mails("nobody-yet@example.com")) > 0 {
		t.Error("whoever called was mailed")
	}
	var why struct{ Answer string }
	p.call("GET", fmt.Sprintf("/recipients/calls@example.com/why?campaign=%d", p.campaign), "", 200, &why)
	if !strings.Contains(why.Answer, "had withdrawn consent to \"Weekly\"") || !strings.Contains(why.Answer, "by desk") {
		t.Errorf("why: %q", why.Answer)
	}
	if log := p.log("action=recipient.opt_out&limit=1"); len(log) != 1 || !strings.HasPrefix(log[0].Object, "recipient/") {
		t.Errorf("log %+v", log)
	}
}

// logged is what the tests read of an entry of the audit log.
type logged struct {
	ID                            int64
	Actor, Action, Object, Reason string
	RequestID                     string `json:"request_id"`
	CallerID                      string `json:"caller_request_id"`
	Network                       string
	Details, Metadata             map[string]string
}

func (p *promised) log(query string) []logged {
	p.tb.Helper()
	var found struct{ Items []logged }
	p.call("GET", "/audit?"+query, "", 200, &found)
	return found.Items
}

func (p *promised) beaconsHonourConsent(t *testing.T) {
	p.importOne("weekly", "measured@example.com")
	p.importOne("weekly", "private@example.com")
	for _, purpose := range []string{"opens", "clicks"} {
		p.call("POST", "/recipients/measured@example.com/consents", `{"purpose": "`+purpose+`", "decision": "given", "source": "form", "wording": "measure me"}`, 200, nil)
	}
	id := p.send(`, "tracking": {"opens": "individual", "clicks": "individual"}`).ID
	measured, private := p.last("measured@example.com", 0), p.last("private@example.com", 0)
	if len(private.find("/o/"))+len(private.find("/c/")) > 0 || !strings.Contains(private.html, `"https://example.com/read"`) {
		t.Error("without consent: a beacon")
	}
	open, click := measured.find("/o/"), measured.find("/c/")
	if len(open) != 1 || len(click) != 1 {
		t.Fatalf("with consent: %d pixels, %d links", len(open), len(click))
	}
	pixel := p.get(open[0], 200)
	p.until(id, "the hit", func(c campaignAnswer) bool { return c.Hits.Opened == 1 })
	p.browse("POST", measured.find("/p/")[0], "save=yes&"+p.topicField("weekly")+"=yes", 200) // opens and clicks unticked
	if p.get(open[0], 200) != pixel || p.get(click[0], 302) != "https://example.com/read" {
		t.Error("after the withdrawal the beacons answer otherwise")
	}
	p.importOne("weekly", "later@example.com")
	p.call("POST", "/recipients/later@example.com/consents", `{"purpose": "opens", "decision": "given", "source": "form", "wording": "measure me"}`, 200, nil)
	later := p.send(`, "tracking": {"opens": "individual", "clicks": "none"}`).ID
	p.get(p.last("later@example.com", 0).find("/o/")[0], 200)
	p.until(later, "a hit that came after", func(c campaignAnswer) bool { return c.Hits.Opened == 1 })
	if c := p.program.campaign(id); c.Hits.Clicked != 0 || c.Hits.Opened != 1 {
		t.Errorf("counted after the withdrawal, of mail already sent: %+v", c.Hits)
	}
}

const (
	wholeAddress, cutAddress   = "203.0.113.77", "203.0.113.0/24"
	wholeAddress6, cutAddress6 = "2001:db8:77:1234::77", "2001:db8:77::/48"
)

func (p *promised) addressesAreCut(t *testing.T) {
	for i, address := range []string{wholeAddress, wholeAddress6} {
		email := fmt.Sprintf("network%d@example.com", i)
		p.browse("POST", p.public+"/s/news", url.Values{"email": {email}, p.topicField("weekly"): {"yes"}, "opens": {"yes"}}.Encode(), 200, "X-Forwarded-For", address)
		p.browse("POST", p.last(email, 0).confirmLink(t), "confirm=yes", 200, "X-Forwarded-For", address)
	}
	p.send(`, "tracking": {"opens": "individual", "clicks": "none"}`)
	before := p.program.campaign(p.campaign).Hits.Opened
	p.browse("GET", p.last("network0@example.com", 1).find("/o/")[0], "", 200, "X-Forwarded-For", wholeAddress)
	p.until(p.campaign, "the hit", func(c campaignAnswer) bool { return c.Hits.Opened == before+1 })
	for _, cut := range []string{cutAddress, cutAddress6} {
		if found := p.search(cut); len(found) == 0 {
			t.Errorf("%s is nowhere, so that this proves nothing", cut)
		}
	}
	for _, whole := range []string{wholeAddress, wholeAddress6, "2001:db8:77:1234"} {
		if found := p.search(whole); len(found) > 0 {
			t.Errorf("%s is in %v", whole, found)
		}
	}
}

// confirmLink is that of the mail that asks to confirm a sign-up.
func (in inbox) confirmLink(tb testing.TB) string { return in.link(tb, "/confirm/") }

func (in inbox) link(tb testing.TB, path string) string {
	tb.Helper()
	found := regexp.MustCompile(`http://localhost:\d+` + path + `[A-Za-z0-9_-]+`).FindString(in.text)
	if found == "" {
		tb.Fatalf("no link to %s in %q", path, in.text)
	}
	return found
}

func (p *promised) auditTrail(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.operators+"/api/v1/recipients/traced@example.com", strings.NewReader(`{"name": "Traced"}`))
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Request-Id", "their-42")
	request.Header.Set("Audit-Reason", "ticket 42")
	request.Header.Set("Audit-Metadata", `{"system": "crm"}`)
	request.Header.Set("X-Forwarded-For", wholeAddress)
	p.do(request, 201)
	p.call("GET", "/recipients/traced@example.com", "", 200, nil)
	if log := p.log("request=their-42"); len(log) != 1 || log[0].Action != "recipient.add" || log[0].Reason != "ticket 42" || log[0].Metadata["system"] != "crm" || log[0].Network != cutAddress || log[0].RequestID == "" {
		t.Errorf("log %+v", log)
	}
	if log := p.log("action=recipient.read&limit=1"); len(log) != 1 {
		t.Error("a read left no entry")
	}
	if log := p.log("action=audit.read&limit=1"); len(log) != 1 {
		t.Error("a read of the log left no entry")
	}
	var head audit.Head
	waitFor(t, "a seal", func() bool {
		p.call("GET", "/audit/head", "", 200, &head)
		return head.Seal > 0
	})
	kept, err := json.Marshal(head)
	must(t, err)
	file := t.TempDir() + "/heads"
	writeFile(t, file, string(kept)+"\n")
	if out := command(t, p.env, "audit", "verify", "--heads", file); !strings.Contains(out, "The log is whole.") {
		t.Errorf("verify: %s", out)
	}
}

// tampering has a stopped program's log changed in the ways that somebody could
// who has the database, and not the secret file. Each is taken back.
func (p *promised) tampering(t *testing.T) {
	must(t, p.stop())
	var out bytes.Buffer
	verify := func() error {
		out.Reset()
		return run(context.Background(), []string{"audit", "verify"}, p.env, &out)
	}
	if err := verify(); err != nil {
		t.Fatalf("untouched: %v %s", err, out.String())
	}
	raw := p.raw()
	var last int64
	var actor string
	must(t, raw.QueryRowContext(t.Context(), "SELECT max(number), (SELECT actor FROM audit WHERE id = 3) FROM audit_seals").Scan(&last, &actor))
	for change, back := range map[string]string{
		"UPDATE audit SET actor = 'root' WHERE id = 3":                                 "UPDATE audit SET actor = '" + actor + "' WHERE id = 3",
		"UPDATE audit SET id = -3 WHERE id = 3":                                        "UPDATE audit SET id = 3 WHERE id = -3",
		fmt.Sprintf("UPDATE audit_seals SET number = -number WHERE number = %d", last): fmt.Sprintf("UPDATE audit_seals SET number = %d WHERE number = -%[1]d", last),
	} {
		_, err := raw.ExecContext(t.Context(), change)
		must(t, err)
		if err := verify(); err == nil {
			t.Errorf("%s was not found out: %s", change, out.String())
		}
		_, err = raw.ExecContext(t.Context(), back)
		must(t, err)
	}
	if err := verify(); err != nil {
		t.Errorf("all taken back: %v %s", err, out.String())
	}
}

func (p *promised) nothingOfThirdParties(t *testing.T) {
	var all struct {
		Tables map[string]struct{ Purpose string }
	}
	p.call("GET", "/inventory", "", 200, &all)
	for table, item := range all.Tables {
		if item.Purpose == "" || regexp.MustCompile(`(?i)advert|market`).MatchString(item.Purpose) {
			t.Errorf("%s is kept for %q", table, item.Purpose)
		}
	}
	p.importOne("weekly", "pages@example.com")
	p.send("")
	mail := p.last("pages@example.com", 0)
	pages := []string{p.browse("GET", p.public+"/s/news", "", 200), p.browse("GET", mail.find("/u/")[0], "", 200), p.browse("GET", mail.find("/p/")[0], "", 200)}
	resource := regexp.MustCompile(`(?i)(src|action|srcset|data)="(https?:)?//|<link[^>]+href|@import|url\(`)
	for _, page := range append(pages, mail.html) {
		if found := resource.FindString(page); found != "" {
			t.Errorf("a resource of somebody else: %s", found)
		}
	}
	if !resource.MatchString(`<img src="https://ads.example/x">`) {
		t.Error("this test cannot fail")
	}
}

func (p *promised) neverShared(t *testing.T) {
	p.call("POST", "/webhooks", `{"url": "`+p.receiver.URL+`/hook", "events": ["notice.accepted", "notice.suppressed", "campaign.sent"]}`, 201, nil)
	p.importOne("weekly", "shared@example.com")
	p.notify(`{"type": "receipt", "to": {"email": "shared@example.com"}, "data": ` + order + `, "external_id": "order-9",
		"metadata": {"shop": "west", "mobile": "030 1234567", "contact": "+49 30 7654321"}}`)
	p.send("")
	waitFor(t, "the webhook", func() bool { return len(p.receiver.all()) >= 2 })
	told := ""
	for _, m := range p.receiver.all() {
		told += m.body
	}
	if !strings.Contains(told, "order-9") || !strings.Contains(told, "west") {
		t.Fatalf("told %s", told)
	}
	for _, never := range []string{"shared@example.com", "1234567", "7654321", "consent", "given", "opted_out", firstName} {
		if strings.Contains(told, never) {
			t.Errorf("%q was told: %s", never, told)
		}
	}
}

func (p *promised) formsKeepEvidence(t *testing.T) {
	page := p.browse("GET", p.public+"/s/news?lang=fr", "", 200)
	if strings.Contains(page, " checked") || !strings.Contains(page, "https://example.com/privacy") {
		t.Error("a box is ticked, or the policy is not there")
	}
	p.browse("POST", p.public+"/s/news", url.Values{"email": {"evident@example.com"}, "lang": {"fr"}, p.topicField("weekly"): {"yes"}, "clicks": {"yes"}}.Encode(), 200)
	mail := p.last("evident@example.com", 0)
	link := mail.confirmLink(t)
	p.browse("GET", link, "", 200)
	var ledger struct {
		Items []struct {
			Purpose, Topic, Channel, Source, Wording, Language, Network string
			Policy                                                      string `json:"policy_version"`
			SignUp                                                      int64  `json:"sign_up"`
		}
	}
	p.call("GET", "/recipients/evident@example.com/consents", "", 200, &ledger)
	if len(ledger.Items) != 0 {
		t.Fatal("a link that was looked at is taken for consent")
	}
	p.browse("POST", link, "confirm=yes", 200)
	p.call("GET", "/recipients/evident@example.com/consents", "", 200, &ledger)
	if len(ledger.Items) != 2 {
		t.Fatalf("ledger %+v", ledger)
	}
	unescaped := strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&").Replace(page)
	for _, c := range ledger.Items {
		if c.Channel != "form" || c.Source != "form:news" || c.Language != "fr" || c.Policy != "2026-11" || c.SignUp == 0 || c.Network != "127.0.0.0/24" || !strings.Contains(unescaped, c.Wording) {
			t.Errorf("evidence %+v", c)
		}
	}
	var out posthaste.Export
	p.read("/recipients/evident@example.com/export", &out)
	if u := out.SignUps; len(u) != 1 || u[0].ConfirmedAt == nil || u[0].RequestedAt.IsZero() || "<"+u[0].MessageID+">" != mail.header.Get("Message-Id") {
		t.Errorf("sign-up %+v, mail %s", u, mail.header.Get("Message-Id"))
	}
}

// read gets what needs a reason.
func (p *promised) read(path string, into any) {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), http.MethodGet, p.operators+"/api/v1"+path, nil)
	must(p.tb, err)
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Audit-Reason", "letter of the person")
	must(p.tb, json.Unmarshal([]byte(p.do(request, 200)), into))
}

func (p *promised) noCookies(t *testing.T) {
	here, err := url.Parse(p.public)
	must(t, err)
	if cookies := p.out.Jar.Cookies(here); len(cookies) > 0 {
		t.Errorf("the recipients' pages set %v", cookies)
	}
	p.out.Jar.SetCookies(here, []*http.Cookie{{Name: "a", Value: "b"}})
	if len(p.out.Jar.Cookies(here)) != 1 {
		t.Error("this test cannot fail")
	}
}

func (p *promised) listBombing(t *testing.T) {
	for range 6 {
		p.browse("POST", p.public+"/s/news", url.Values{"email": {"victim@example.com"}, p.topicField("weekly"): {"yes"}}.Encode(), 200, "X-Forwarded-For", "198.51.100.9")
	}
	p.browse("POST", p.public+"/s/news", url.Values{"email": {"bystander@example.com"}, p.topicField("weekly"): {"yes"}}.Encode(), 200, "X-Forwarded-For", "198.51.100.200")
	p.last("bystander@example.com", 0)
	if n := len(p.mails("victim@example.com")); n != 3 {
		t.Errorf("one mailbox got %d mails that it did not ask for", n)
	}
}

func (p *promised) disclosure(t *testing.T) {
	p.importOne("weekly", "disclosed@example.com")
	p.call("GET", "/recipients/disclosed@example.com/export", "", 422, nil)
	var out posthaste.Export
	p.read("/recipients/disclosed@example.com/export", &out)
	text, err := json.Marshal(out)
	must(t, err)
	if !strings.Contains(string(text), "disclosed@example.com") || strings.Contains(string(text), "chose@example.com") {
		t.Errorf("export %s", text)
	}
	if log := p.log("action=recipient.export&limit=1"); len(log) != 1 || log[0].Reason != "letter of the person" || log[0].Object != fmt.Sprintf("recipient/%d", out.Person.ID) {
		t.Errorf("log %+v", log)
	}
	for _, path := range []string{"/recipients", "/recipients/export", "/recipients/all/export"} { // there is no export of many
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.operators+"/api/v1"+path, nil)
		must(t, err)
		request.Header.Set("Authorization", "Bearer "+p.key)
		request.Header.Set("Audit-Reason", "r")
		answer, err := http.DefaultClient.Do(request)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != 404 && answer.StatusCode != 405 {
			t.Errorf("GET %s: %d", path, answer.StatusCode)
		}
	}
}

func (p *promised) changesAreAnnounced(t *testing.T) {
	p.call("PUT", "/recipients/holder@example.com", `{"name": "Holder"}`, 201, nil) // who chose no topic
	p.call("POST", "/notice-types", policyType("policy", ""), 201, nil)
	done := p.announced(announcement("policy", `{"everybody": true}`, ""))
	if len(p.mails("holder@example.com")) != 1 || done.Counts.Accepted < 5 {
		t.Errorf("counts %+v", done.Counts)
	}
	for _, stranger := range []string{"unconfirmed@example.com", "bystander@example.com"} {
		if n := len(p.mails(stranger)); n != 1 {
			t.Errorf("%s, who never confirmed, got %d mails", stranger, n)
		}
	}
}

func (p *promised) decisionsAreReversible(t *testing.T) {
	p.importOne("weekly", "gone@example.com")
	p.send("")
	var out posthaste.Export
	p.read("/recipients/gone@example.com/export", &out)
	if len(out.Decisions) != 1 || out.Decisions[0].Rule == "" || !strings.Contains(out.Decisions[0].Input, "5.1.1") {
		t.Fatalf("decisions %+v", out.Decisions)
	}
	p.read("/recipients/holder@example.com/export", &out)
	if len(out.Decisions) != 0 {
		t.Errorf("of somebody else: %+v", out.Decisions)
	}
	var found struct{ Items []struct{ ID int64 } }
	p.call("GET", "/suppressions?email=gone@example.com", "", 200, &found)
	p.call("DELETE", fmt.Sprintf("/suppressions/%d", found.Items[0].ID), "", 204, nil)
	p.read("/recipients/gone@example.com/export", &out)
	if len(out.Suppressions) != 0 {
		t.Errorf("reversed, and yet %+v", out.Suppressions)
	}
}

func (p *promised) seeAndDelete(t *testing.T) {
	const email = "forgetme@example.com"
	p.importOne("weekly", email)
	p.send("")
	mail := p.last(email, 0)
	p.browse("POST", mail.find("/p/")[0], "data=send", 200)
	link := p.last(email, 1).link(t, "/d/")
	if page := p.browse("POST", link, "show=yes", 200); !strings.Contains(page, "f…@example.com") || !strings.Contains(page, "Yes, send me news.") {
		t.Errorf("page %s", page)
	}
	var out posthaste.Export
	must(t, json.Unmarshal([]byte(p.browse("POST", link, "download=json", 200)), &out))
	if out.Person.Email != email || len(out.Mailings) != 1 || len(out.Notices) != 1 {
		t.Errorf("file %+v", out)
	}
	if len(p.search(email)) == 0 {
		t.Fatal("the address is nowhere, so that this proves nothing")
	}
	p.browse("POST", link, "erase=yes", 200)
	waitFor(t, "the address to be gone", func() bool { return len(p.search(email)) == 0 })
	p.importOne("weekly", email)
	p.send("")
	p.oneClick(mail.unsubscribeURL(t), 200) // an old link stays truthful
	if n := len(p.mails(email)); n != 2 {
		t.Errorf("brought in again, it got %d mails", n-2)
	}
	// By customer service: a link to the mailbox, and nothing without it.
	p.importOne("weekly", "byletter@example.com")
	p.call("POST", "/desk/requests", `{"kind": "erasure", "email": "byletter@example.com", "reason": "letter"}`, 201, nil)
	p.browse("POST", p.last("byletter@example.com", 0).link(t, "/d/"), "erase=yes", 200)
	p.call("GET", "/recipients/byletter@example.com", "", 404, nil)
}

// corrected has the address corrected once its mailbox confirms, with what was
// decided under the one before.
func (p *promised) corrected(t *testing.T) {
	const before, after, silent = "misspelt@example.com", "spelt@example.com", "hushed@example.com"
	p.importOne("weekly", before)
	p.importOne("weekly", silent)
	p.call("POST", "/desk/requests", `{"kind": "opt_out", "email": "`+silent+`", "reason": "call"}`, 201, nil)
	for from, to := range map[string]string{before: after, silent: "hushed.too@example.com"} {
		p.call("POST", "/desk/requests", `{"kind": "correction", "email": "`+from+`", "new_email": "`+to+`", "reason": "call"}`, 201, nil)
		link := p.last(to, 0).link(t, "/a/")
		p.browse("GET", link, "", 200)
		p.call("GET", "/recipients/"+from, "", 200, nil)
		p.browse("POST", link, "correct=yes", 200)
		p.call("GET", "/recipients/"+from, "", 404, nil)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, p.operators+"/api/v1/recipients/"+after, strings.NewReader(`{"name": "Ada Lovelace"}`))
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Audit-Reason", "call")
	p.do(request, 200)
	p.importOne("weekly", silent) // which somebody brings in again
	p.send("")
	var out posthaste.Export
	p.read("/recipients/"+after+"/export", &out)
	if out.Person.Name != "Ada Lovelace" || len(out.Notices) != 1 || len(out.Mailings) != 1 || len(out.Consents) != 1 {
		t.Errorf("of the person: %+v", out)
	}
	for address, want := range map[string]int{before: 0, after: 2, silent: 0, "hushed.too@example.com": 1} {
		if got := len(p.mails(address)); got != want {
			t.Errorf("%s got %d mails, want %d", address, got, want)
		}
	}
}

func (p *promised) usageIsShown(t *testing.T) {
	var made struct{ Key string }
	p.call("POST", "/keys", `{"name": "customer", "scopes": ["topics:read"]}`, 201, &made)
	other := &program{tb: t, key: made.Key, operators: p.operators}
	other.call("GET", "/topics", "", 200, nil)
	other.call("GET", "/campaigns", "", 403, nil)
	var used struct{ Items []posthaste.Usage }
	waitFor(t, "the usage", func() bool {
		other.call("GET", "/usage", "", 200, &used)
		return slices.ContainsFunc(used.Items, func(u posthaste.Usage) bool { return u.Scope == posthaste.ReadTopics && u.Requests == 1 }) &&
			slices.ContainsFunc(used.Items, func(u posthaste.Usage) bool { return u.Scope == posthaste.ReadCampaigns && u.Refused == 1 })
	})
	for _, u := range used.Items {
		if u.Key != "customer" {
			t.Errorf("the usage of %s is shown to a customer", u.Key)
		}
	}
}
