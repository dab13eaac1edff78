package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste/internal/inventory"
	"posthaste/internal/testkit"
)

// What must be found only where the inventory has it.
const (
	leakName    = "Zqxfirstname"
	leakCity    = "Zqxcity"
	leakValue   = "zqxvalue" // of a notice
	leakNetwork = "203.0.113.0/24"
)

// lockedBuffer takes the log of a program.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Not parallel: it looks at all that the program logs.
//
// TestNothingLeaks has the program do all that it does with one person, and then
// looks for the person, for whole IP addresses and for links that work, in every
// line of the log, every metric, stream, table and file.
func TestNothingLeaks(t *testing.T) {
	log := &lockedBuffer{}
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Run("modes", func(t *testing.T) {
		for i, m := range modes {
			t.Run(m.name, func(t *testing.T) { leakIn(t, m, fmt.Sprintf("zqxmarker%d@example.com", i), log) })
		}
	})
}

func leakIn(t *testing.T, m mode, email string, log *lockedBuffer) {
	bounced := "zqxgone" + email[len("zqxmarker"):]
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true, OnRcpt: func(to string) error {
		if to == bounced {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: no such user"}
		}
		return nil
	}})
	env := append(m.env(t), "POSTHASTE_DATA_DIR="+t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street", "POSTHASTE_TRUSTED_PROXIES=127.0.0.0/8", "POSTHASTE_SMTP_URL="+sink.URL())
	p := &promised{program: start(t, env), env: env, sink: sink, out: newBrowser(t)}
	p.tb = t
	tokens := p.liveOnce(email, bounced)

	texts := []string{"zqxmarker", "zqxgone", leakName, leakCity, leakValue, wholeAddress, wholeAddress6, p.key}
	metrics := p.get(p.monitor+"/metrics", 200)
	for _, text := range append(slices.Clone(texts), tokens...) {
		if strings.Contains(strings.ToLower(metrics), strings.ToLower(text)) {
			t.Errorf("%q is in the metrics", text)
		}
		if at := strings.Index(strings.ToLower(log.String()), strings.ToLower(text)); at >= 0 {
			t.Errorf("%q is in the log: …%s…", text, log.String()[max(0, at-300):min(len(log.String()), at+100)])
		}
	}
	if !strings.Contains(log.String(), `"route":"/u/:token"`) {
		t.Error("nothing was logged, so that this proves nothing")
	}
	p.leakInStreams(texts, tokens)
	must(t, p.stop())
	p.leakInTables(texts, tokens)
	for _, text := range append(slices.Clone(texts), tokens...) {
		if found := searchFiles(t, setting(env, "POSTHASTE_DATA_DIR"), text); len(found) > 0 {
			t.Errorf("%q is in %v", text, found)
		}
	}
	p.filesAreInTheInventory()
}

// liveOnce does all that can be done with a person, and gives the tokens of all
// links that the person got.
func (p *promised) liveOnce(email, bounced string) []string {
	p.tb.Helper()
	proxied := []string{"X-Forwarded-For", wholeAddress, "X-Real-Ip", wholeAddress, "Forwarded", "for=\"[" + wholeAddress6 + "]\""}
	p.addTopic()
	p.call("POST", "/forms", `{"key": "news", "title": "Our news", "topics": ["weekly"], "measurement": true, "policy_version": "1"}`, 201, nil)
	p.call("POST", "/notice-types", `{"key": "receipt", "name": "Receipts", "reason": "r", "from": "Example <account@example.com>", "subject": "Receipt", "body": "{{ data.v }}",
		"schema": {"type": "object", "properties": {"v": {"type": "string"}}}}`, 201, nil)
	field := regexp.MustCompile(`name="(topic-\d+)"`).FindStringSubmatch(p.browse("GET", p.public+"/s/news", "", 200))[1]
	p.browse("POST", p.public+"/s/news", url.Values{"email": {email}, "name": {leakName}, field: {"yes"}, "opens": {"yes"}, "clicks": {"yes"}}.Encode(), 200, proxied...)
	p.browse("POST", p.public+"/s/news", url.Values{"email": {email + "\r\nBcc: x"}, field: {"yes"}}.Encode(), 422, proxied...)
	p.browse("POST", p.last(email, 0).confirmLink(p.tb), "confirm=yes", 200, proxied...)
	p.importCSV("weekly", "email,name,city\n"+email+","+leakName+","+leakCity+"\n"+bounced+","+leakName+",\n")
	id := p.draft("Hello {{ recipient.name }} of {{ recipient.attributes.city }}. [Read](https://example.com/read).", `, "tracking": {"opens": "individual", "clicks": "individual"}`)
	p.call("POST", fmt.Sprintf("/campaigns/%d/preview", id), `{"recipient": "`+email+`"}`, 200, nil)
	p.call("POST", fmt.Sprintf("/campaigns/%d/test", id), `{"to": "`+email+`"}`, 200, nil)
	p.step(id, "schedule")
	p.untilSent(id)
	p.notify(`{"type": "receipt", "to": {"email": "` + email + `", "name": "` + leakName + `"}, "data": {"v": "` + leakValue + `"}, "external_id": "order-1"}`)
	p.notify(`{"type": "receipt", "to": {"email": "` + bounced + `"}, "data": {"v": "` + leakValue + `"}}`)
	letter := p.last(email, 2) // behind the confirmation and the test
	p.last(email, 3)
	p.browse("GET", letter.find("/o/")[0], "", 200, proxied...)
	p.until(id, "the hit", func(c campaignAnswer) bool { return c.Hits.Opened == 1 })
	p.browse("POST", letter.find("/p/")[0], "data=send", 200, proxied...)
	p.browse("POST", letter.find("/p/")[0], "save=yes", 200, proxied...)
	p.browse("POST", letter.find("/u/")[0], "confirm=yes", 200, proxied...)
	data := p.last(email, 4).link(p.tb, "/d/")
	p.browse("GET", data, "", 200, proxied...)
	p.browse("POST", data, "show=yes", 200, proxied...)
	p.browse("POST", data, "download=json", 200, proxied...)
	for _, path := range []string{"/recipients/" + email, "/recipients/" + email + "/consents", fmt.Sprintf("/recipients/%s/why?campaign=%d", email, id), "/notices?email=" + email,
		"/suppressions?email=" + email, fmt.Sprintf("/campaigns/%d/deliveries", id)} {
		p.call("GET", path, "", 200, nil)
	}
	p.call("POST", "/desk/requests", `{"kind": "opt_out", "email": "`+email+`", "reason": "call"}`, 201, nil)
	moved := "moved." + email
	p.call("POST", "/desk/requests", `{"kind": "correction", "email": "`+email+`", "new_email": "`+moved+`", "reason": "call"}`, 201, nil)
	address := p.last(moved, 0).link(p.tb, "/a/")
	p.browse("GET", address, "", 200, proxied...)
	p.browse("POST", address, "correct=yes", 200, proxied...)
	p.call("GET", "/recipients/zqxmarker-nobody@example.com", "", 404, nil)
	p.call("PUT", "/recipients/zqxmarker-bad address@example.com", `{}`, 422, nil)
	p.browse("GET", p.public+"/u/forged-zqxmarker", "", 404, proxied...)
	waitFor(p.tb, "notices to be final", func() bool {
		var open struct{ Items []shownNotice }
		for _, state := range []string{"queued", "claimed", "deferred"} {
			p.call("GET", "/notices?state="+state, "", 200, &open)
			if len(open.Items) > 0 {
				return false
			}
		}
		return true
	})
	var tokens []string
	for _, in := range append(p.mails(email), p.mails(moved)...) {
		for _, m := range regexp.MustCompile(`/(?:u|p|o|c|d|a|confirm)/([A-Za-z0-9_-]{30,})`).FindAllStringSubmatch(in.html+in.text+in.header.Get("List-Unsubscribe"), -1) {
			tokens = append(tokens, m[1])
		}
	}
	slices.Sort(tokens)
	if tokens = slices.Compact(tokens); len(tokens) < 7 {
		p.tb.Fatalf("only %d tokens", len(tokens))
	}
	return tokens
}

// leakInTables wants what is of the person only in columns that the inventory
// says so of, whole addresses and links nowhere.
func (p *promised) leakInTables(texts, tokens []string) {
	p.tb.Helper()
	all, err := inventory.Load()
	must(p.tb, err)
	seen := 0
	for _, text := range texts {
		for _, place := range searchColumns(p.tb, p.raw(), text) {
			table, column, _ := strings.Cut(place, ".")
			seen++
			if _, personal := all.Tables[table].Personal[column]; !personal || text == wholeAddress || text == wholeAddress6 || text == p.key {
				p.tb.Errorf("%q is in %s, where the inventory has nothing of the kind", text, place)
			}
		}
	}
	if seen < 4 {
		p.tb.Errorf("the person is in %d columns only, so that this proves nothing", seen)
	}
	for _, token := range tokens {
		for _, place := range searchColumns(p.tb, p.raw(), token) {
			if place != "notices.data" && place != "notice_calls.data" { // gone when the notice is forgotten, within a minute
				p.tb.Errorf("a link that works is in %s", place)
			}
		}
	}
}

// leakInStreams reads every message of every stream; the embedded one's are in files.
func (p *promised) leakInStreams(texts, tokens []string) {
	p.tb.Helper()
	broker := setting(p.env, "POSTHASTE_NATS_URL")
	if broker == "" {
		return
	}
	connection, err := nats.Connect(broker)
	must(p.tb, err)
	defer connection.Close()
	js, err := jetstream.New(connection)
	must(p.tb, err)
	streams := js.ListStreams(p.tb.Context())
	read := 0
	for info := range streams.Info() {
		stream, err := js.Stream(p.tb.Context(), info.Config.Name)
		must(p.tb, err)
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			message, err := stream.GetMsg(p.tb.Context(), seq)
			if err != nil { // it was taken
				continue
			}
			read++
			for _, text := range append(slices.Clone(texts), tokens...) {
				if bytes.Contains(bytes.ToLower(message.Data), []byte(strings.ToLower(text))) {
					p.tb.Errorf("%q is in a message of %s", text, info.Config.Name)
				}
			}
		}
	}
	must(p.tb, streams.Err())
	if read == 0 {
		p.tb.Error("no message was read, so that this proves nothing")
	}
}

// filesAreInTheInventory wants every file in the data folder to be known.
func (p *promised) filesAreInTheInventory() {
	p.tb.Helper()
	all, err := inventory.Load()
	must(p.tb, err)
	folder := setting(p.env, "POSTHASTE_DATA_DIR")
	for _, path := range listFiles(p.tb, folder) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all.Files)), func(known string) bool {
			if prefix, ok := strings.CutSuffix(known, "*"); ok {
				return strings.HasPrefix(path, prefix)
			}
			return path == known || strings.HasSuffix(known, "/") && strings.HasPrefix(path, known)
		}) {
			p.tb.Errorf("the file %s is not in the inventory", path)
		}
	}
}
