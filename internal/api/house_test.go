package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"posthaste"
	"posthaste/internal/api"
	"posthaste/internal/audit"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/internal/webhook"
	"posthaste/mailer"
	"posthaste/templates/pages"
	"posthaste/tracker/report"
	"posthaste/unsubscribe"
)

// The faults that tests provoke are no news, unless somebody looks for them with -v.
func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	}
	os.Exit(m.Run())
}

// house is the API on a real database.
type house struct {
	tb       testing.TB
	store    *store.Store
	keys     *token.Keys
	file     string
	key      string
	handler  http.Handler
	composer *composer
	workers  *workers
	api      *api.API
	meter    *api.Meter
	topic    posthaste.Topic
	person   posthaste.Recipient
	draft    posthaste.Campaign
	sent     []string // by the program itself
	lost     error    // of the courier, if it loses what it is given
}

// composer takes every content but one that holds "{{bad".
type composer struct {
	api.Composer
	sender error
}

func (*composer) Check(_ context.Context, c posthaste.Campaign) ([]string, error) {
	if strings.Contains(c.Body, "{{bad") {
		return nil, posthaste.Refuse("body", "line 2, column 7: there is no bad")
	}
	return []string{"https://example.com/a"}, nil
}
func (c *composer) CheckSender() error { return c.sender }
func (*composer) MessageID(c posthaste.Campaign, number int64) string {
	return fmt.Sprintf("%d.%d@example.com", c.ID, number)
}
func (*composer) Preview(_ context.Context, c posthaste.Campaign, recipientID int64) (posthaste.Preview, error) {
	return posthaste.Preview{Subject: fmt.Sprint(c.Subject, " to ", recipientID), HTML: "<p>", Text: "t", Source: "s"}, nil
}

// workers notes what it is told.
type workers struct {
	mu        sync.Mutex
	announced []posthaste.CampaignState
	published []int64 // notices
	reply     posthaste.Reply
	err       error
}

func (w *workers) AnnounceState(_ context.Context, _ int64, s posthaste.CampaignState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced = append(w.announced, s)
	return w.err
}
func (w *workers) RequestTest(context.Context, int64, int64) (posthaste.Reply, error) {
	return w.reply, w.err
}
func (w *workers) PublishNotices(_ context.Context, ids []int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.published = append(w.published, ids...)
	return w.err
}
func (w *workers) QueuedNotices(context.Context) (uint64, error)              { return 0, w.err }
func (w *workers) TellOptOut(context.Context, string, posthaste.OptOut) error { return w.err }

// open has a topic, one recipient who consents to it, and a draft.
func open(tb testing.TB) *house {
	tb.Helper()
	dir := tb.TempDir()
	h := &house{tb: tb, file: filepath.Join(dir, "test.db"), composer: &composer{}, workers: &workers{}}
	var err error
	h.keys, err = token.Load(filepath.Join(dir, "secret"))
	must(tb, err)
	h.store, err = store.Open(tb.Context(), "sqlite:"+h.file, h.keys)
	must(tb, err)
	tb.Cleanup(func() { _ = h.store.Close() }) // some tests close it themselves
	_, err = h.store.Migrate(tb.Context())
	must(tb, err)
	var hash []byte
	h.key, hash = api.NewKey()
	_, err = h.store.PutKey(tb.Context(), posthaste.Key{Name: "desk", Scopes: posthaste.Scopes}, hash)
	must(tb, err)
	h.serve(h.store, h.composer)

	h.topic, err = h.store.AddTopic(tb.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
	must(tb, err)
	h.person, _, err = h.store.PutRecipient(tb.Context(), posthaste.Recipient{Email: "a@example.com", Name: "A"}, "a@example.com")
	must(tb, err)
	must(tb, h.store.RecordConsents(tb.Context(), []posthaste.Consent{{RecipientID: h.person.ID, Purpose: posthaste.ForTopic, TopicID: h.topic.ID,
		Decision: posthaste.Given, Channel: posthaste.ByImport, Source: "form", Wording: "yes"}}))
	h.draft = h.addDraft()
	return h
}

// hooks are webhooks on the real database.
type hooks struct {
	*store.Store
	keys *token.Keys
}

func (hooks) CheckURL(url string) error { return webhook.CheckURL(url) }
func (h hooks) Secret(w posthaste.Webhook) string {
	return webhook.FormatSecret(h.keys.WebhookSecret(w.ID, w.Generation))
}

// heads sign the end of the audit log.
type heads struct {
	*store.Store
	keys *token.Keys
}

func (h heads) Head(ctx context.Context) (audit.Head, error) {
	number, chain, err := h.FindAuditEnd(ctx)
	return audit.NewHead(h.keys, number, chain, time.Now()), err
}

// withFailingTopics is a store that cannot look topics up.
type withFailingTopics struct{ *store.Store }

func (withFailingTopics) FindTopic(context.Context, string) (posthaste.Topic, error) {
	return posthaste.Topic{}, errors.New("find topic: connection reset")
}

func (h *house) serve(s api.Store, c api.Composer) {
	e := web.New(web.Options{Name: "operator"})
	notices := mailer.NewNoticeComposer(h.store, h.keys, mailer.Sender{Name: "Example Post Ltd", PublicURL: "https://mail.example.com",
		BounceDomain: "bounces.example.com", ListDomain: "lists.example.com"})
	h.meter = api.NewMeter(s)
	decisions := unsubscribe.New(unsubscribe.Parts{Store: h.store, Workers: h.workers, Courier: h, Keys: h.keys,
		Sender: unsubscribe.Sender{Name: "Example Post Ltd", PublicURL: "https://mail.example.com", Receivers: []string{"mx.example.com: each mail; so that it is delivered"}}})
	h.api = api.New(api.Parts{Store: s, Composer: c, Workers: h.workers, OptOuts: decisions, Privacy: decisions,
		Notices: notices, Intake: mailer.NewNoticeIntake(h.store, notices, h.workers), Meter: h.meter, Webhooks: hooks{h.store, h.keys}, Heads: heads{h.store, h.keys}, Files: report.Files{}})
	h.api.Register(e)
	h.handler = e
}

// Send notes a mail that somebody asked for.
func (h *house) Send(_ context.Context, noticeType, email string, m pages.Mail) (string, error) {
	if h.lost != nil {
		return "", h.lost
	}
	h.sent = append(h.sent, noticeType+" "+email+" "+m.Subject)
	return "own@example.com", nil
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (h *house) addDraft() posthaste.Campaign {
	h.tb.Helper()
	c, err := h.store.AddCampaign(h.tb.Context(), posthaste.Campaign{Name: "May", TopicID: h.topic.ID, From: "News <news@example.com>", Subject: "s", Format: posthaste.Markdown,
		Body: "b", Layout: "letter", Tracking: posthaste.Tracking{Opens: posthaste.TrackNone, Clicks: posthaste.TrackNone}})
	must(h.tb, err)
	return c
}

// sending is a campaign whose one delivery is uncertain.
func (h *house) sending() posthaste.Campaign {
	h.tb.Helper()
	ctx := h.tb.Context()
	c := h.addDraft()
	_, err := h.store.Schedule(ctx, c.ID, c.Version, time.Now(), "UTC", nil)
	must(h.tb, err)
	return h.freeze(c.ID)
}

// freeze fixes the audience of what is scheduled and makes its deliveries uncertain.
func (h *house) freeze(id int64) posthaste.Campaign {
	h.tb.Helper()
	ctx := h.tb.Context()
	c, err := h.store.Freeze(ctx, id)
	must(h.tb, err)
	chunks, err := h.store.QueueReady(ctx, time.Now(), 10)
	must(h.tb, err)
	for _, chunk := range chunks {
		_, err = h.store.TakeChunk(ctx, chunk, "lost")
		must(h.tb, err)
		_, err = h.store.Claim(ctx, chunk, "lost", nil, 100)
		must(h.tb, err)
	}
	_, err = h.store.ReleaseLost(ctx, 0)
	must(h.tb, err)
	return c
}

// call is a request; zero values are what a client in good faith sends.
type call struct {
	method, path string
	kind         string // of the content; "-" for none, default application/json
	body         string
	header       []string
}

// do makes a request; every answer is held against the document.
func (h *house) do(c call) *httptest.ResponseRecorder {
	h.tb.Helper()
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	r.Header.Set("Authorization", "Bearer "+h.key)
	switch {
	case c.kind == "" && c.body != "":
		r.Header.Set("Content-Type", "application/json")
	case c.kind != "-":
		r.Header.Set("Content-Type", c.kind)
	}
	for i := 0; i+1 < len(c.header); i += 2 {
		r.Header.Del(c.header[i])
		if c.header[i+1] != "" {
			r.Header.Set(c.header[i], c.header[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	h.documented(r, c.body, w)
	return w
}

// call expects a status and reads the answer.
func (h *house) call(method, path, body string, status int) map[string]any {
	h.tb.Helper()
	w := h.do(call{method: method, path: path, body: body})
	if w.Code != status {
		h.tb.Fatalf("%s %s: %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	out := map[string]any{}
	if w.Body.Len() > 0 {
		must(h.tb, json.Unmarshal(w.Body.Bytes(), &out))
	}
	return out
}

type problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []posthaste.Field
}

// refused expects a problem document, with that field if one is given, and an unchanged database.
func (h *house) refused(name string, c call, status int, field string) problem {
	h.tb.Helper()
	before := h.dump()
	w := h.do(c)
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		h.tb.Errorf("%s: %s %s: no problem document: %d %s", name, c.method, c.path, w.Code, w.Body)
	}
	if w.Code != status || p.Status != status {
		h.tb.Errorf("%s: %s %s: status %d, want %d: %+v", name, c.method, c.path, w.Code, status, p)
	}
	if field != "" && !slices.ContainsFunc(p.Errors, func(f posthaste.Field) bool { return f.Name == field && f.Reason != "" }) {
		h.tb.Errorf("%s: %s %s: fields %v, want %s", name, c.method, c.path, p.Errors, field)
	}
	if after := h.dump(); after != before {
		h.tb.Errorf("%s: %s %s: the database changed: %s", name, c.method, c.path, difference(before, after))
	}
	return p
}

// difference is the lines of one dump that are not in the other.
func difference(before, after string) string {
	var out strings.Builder
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			out.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			out.WriteString("+ " + line)
		}
	}
	return out.String()
}

// dump is everything that the database holds.
func (h *house) dump() string {
	h.tb.Helper()
	db, err := driver.Open("file:" + h.file)
	must(h.tb, err)
	defer db.Close()
	names, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	must(h.tb, err)
	var tables []string
	for names.Next() {
		var name string
		must(h.tb, names.Scan(&name))
		tables = append(tables, name)
	}
	must(h.tb, names.Err())
	var out strings.Builder
	for _, table := range tables {
		rows, err := db.Query("SELECT * FROM " + table)
		must(h.tb, err)
		columns, err := rows.Columns()
		must(h.tb, err)
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		for rows.Next() {
			must(h.tb, rows.Scan(into...))
			fmt.Fprintln(&out, table, row)
		}
		must(h.tb, rows.Err())
		must(h.tb, rows.Close())
	}
	return out.String()
}

// withoutAudit leaves the audit log out of a dump: of what changes nothing else there is an entry too.
func withoutAudit(dump string) string {
	lines := slices.DeleteFunc(strings.Split(dump, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "audit") || strings.HasPrefix(line, "sqlite_sequence [audit ")
	})
	return strings.Join(lines, "\n")
}
