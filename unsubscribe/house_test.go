package unsubscribe_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
	"posthaste/unsubscribe"
)

// house is the service on a real database behind a real listener.
type house struct {
	tb      testing.TB
	dir     string
	db      string // the URL of the database
	store   *store.Store
	keys    *token.Keys
	topics  []posthaste.Topic
	people  []posthaste.Recipient
	url     string
	client  *http.Client
	service *unsubscribe.Service
	// onAnswer, if set, is called when the answer's status is about to be sent.
	onAnswer func(status int)

	mu     sync.Mutex
	sent   []sentMail
	lost   error    // of the courier, if it loses what it is given
	erased []string // addresses whose files were removed
}

// nobody is the workers of a house where nothing is being sent.
type nobody struct{ tb testing.TB }

func (n nobody) TellOptOut(context.Context, string, posthaste.OptOut) error {
	n.tb.Error("a worker was told, although no window is open")
	return nil
}

// openHouse has two topics, to both of which n recipients consent.
func openHouse(tb testing.TB, n int, workers unsubscribe.Workers) *house {
	tb.Helper()
	return openHouseOn(tb, "sqlite:"+filepath.Join(tb.TempDir(), "test.db"), n, workers)
}

// openHouseOn is openHouse on an empty database.
func openHouseOn(tb testing.TB, db string, n int, workers unsubscribe.Workers) *house {
	tb.Helper()
	h := &house{tb: tb, dir: tb.TempDir(), db: db}
	h.keys = loadKeys(tb, filepath.Join(h.dir, "secret"))
	h.store = openStore(tb, h.db, h.keys)
	for _, t := range []posthaste.Topic{{Key: "weekly", Name: "The Weekly & More"}, {Key: "offers", Name: "Offers"}} {
		topic, err := h.store.AddTopic(tb.Context(), t)
		must(tb, err)
		h.topics = append(h.topics, topic)
		_, err = h.store.Import(tb.Context(), posthaste.Import{TopicID: topic.ID, Evidence: posthaste.Evidence{Source: "form", Wording: "yes"}}, rows(n))
		must(tb, err)
	}
	for i := range n {
		r, err := h.store.FindRecipientByAddress(tb.Context(), email(i))
		must(tb, err)
		h.people = append(h.people, r)
	}
	if workers == nil {
		workers = nobody{tb}
	}
	h.serve(workers)
	return h
}

func (h *house) serve(workers unsubscribe.Workers) { h.serveFrom(h.store, workers) }

// serveFrom is serve with a store that differs from the house's in something.
func (h *house) serveFrom(from unsubscribe.Store, workers unsubscribe.Workers) {
	e := web.New(web.Options{Name: "public", Pages: true, Actor: posthaste.ByRecipient})
	h.service = unsubscribe.New(unsubscribe.Parts{Store: from, Workers: workers, Courier: h, Files: h, Keys: h.keys, Sender: unsubscribe.Sender{Name: "Example Post Ltd",
		PostalAddress: "1 Sample Street", PublicURL: "https://mail.example.com", Receivers: []string{"mx.example.com: each mail; so that it is delivered"}}})
	h.service.Register(e)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.ServeHTTP(&witness{w, h.onAnswer}, r)
	}))
	h.tb.Cleanup(server.Close)
	h.url = server.URL
	h.client = server.Client()
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

// witness looks at the world in the moment of the answer.
type witness struct {
	http.ResponseWriter
	onAnswer func(status int)
}

func (w *witness) WriteHeader(status int) {
	if w.onAnswer != nil {
		w.onAnswer(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// sentMail is a mail that the service had sent.
type sentMail struct {
	noticeType, email string
	pages.Mail
}

// link is the path behind the one link of the mail.
func (m sentMail) link(tb testing.TB) string {
	tb.Helper()
	_, path, found := strings.Cut(m.Text, "https://mail.example.com")
	if !found {
		tb.Fatalf("no link in %q", m.Text)
	}
	return strings.Fields(path)[0]
}

// Send keeps a mail.
func (h *house) Send(_ context.Context, noticeType, email string, m pages.Mail) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return "", h.lost
	}
	h.sent = append(h.sent, sentMail{noticeType, email, m})
	return fmt.Sprintf("%d@example.com", len(h.sent)), nil
}

// Erase stands for the outbox.
func (h *house) Erase(email string) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.erased = append(h.erased, email)
	return 1, nil
}

func loadKeys(tb testing.TB, path string) *token.Keys {
	tb.Helper()
	keys, err := token.Load(path)
	must(tb, err)
	return keys
}

func openStore(tb testing.TB, db string, keys *token.Keys) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), db, keys)
	must(tb, err)
	tb.Cleanup(func() { _ = s.Close() }) // some tests close it themselves
	_, err = s.Migrate(tb.Context())
	must(tb, err)
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func email(n int) string { return "r" + strconv.Itoa(n) + "@example.com" }

func rows(n int) iter.Seq2[posthaste.ImportRow, error] {
	return func(yield func(posthaste.ImportRow, error) bool) {
		for i := range n {
			if !yield(posthaste.ImportRow{Line: i + 2, Email: email(i), Canonical: email(i)}, nil) {
				return
			}
		}
	}
}

func (h *house) oneClickToken(person, topic int) string {
	return h.keys.Seal(token.Unsubscribe, token.Claims{RecipientID: h.people[person].ID, TopicID: h.topics[topic].ID, CampaignID: 7, Number: 1})
}

func (h *house) preferencesToken(person int) string {
	return h.keys.Seal(token.Preferences, token.Claims{RecipientID: h.people[person].ID})
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; whatever it is, the answer is no redirect and sets no cookie.
func (h *house) do(method, path, kind, body string, header ...string) answer {
	h.tb.Helper()
	request, err := http.NewRequestWithContext(h.tb.Context(), method, h.url+path, strings.NewReader(body))
	must(h.tb, err)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
			continue
		}
		request.Header.Set(header[i], header[i+1])
	}
	response, err := h.client.Do(request)
	must(h.tb, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(h.tb, err)
	if response.StatusCode >= 300 && response.StatusCode < 400 || response.Header.Get("Location") != "" {
		h.tb.Errorf("%s %s redirects: %d", method, path, response.StatusCode)
	}
	if len(response.Cookies()) > 0 {
		h.tb.Errorf("%s %s sets a cookie", method, path)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

const (
	form     = "application/x-www-form-urlencoded"
	oneClick = "List-Unsubscribe=One-Click"
)

// post is the one-click POST as mailbox providers send it.
func (h *house) post(token string) answer {
	h.tb.Helper()
	return h.do(http.MethodPost, "/u/"+token, form, oneClick)
}

func (a answer) wantStatus(tb testing.TB, status int) answer {
	tb.Helper()
	if a.status != status {
		tb.Errorf("status %d, want %d; body %q", a.status, status, a.body)
	}
	return a
}

// allowed reports whether a mailing of the topic may go to the person.
func (h *house) allowed(person, topic int) bool {
	h.tb.Helper()
	mail, err := h.store.FindMail(context.WithoutCancel(h.tb.Context()), h.topics[topic].ID, h.people[person].ID)
	must(h.tb, err)
	return mail.Allowed
}

func (h *house) wantAllowed(person, topic int, want bool) {
	h.tb.Helper()
	if got := h.allowed(person, topic); got != want {
		h.tb.Errorf("recipient %d, topic %s: mail allowed %v, want %v", person, h.topics[topic].Key, got, want)
	}
}

// resubscribe is what the recipient's own tick in the preference centre does.
func (h *house) resubscribe(person, topic int) {
	h.tb.Helper()
	must(h.tb, h.store.RecordConsents(h.tb.Context(), []posthaste.Consent{{RecipientID: h.people[person].ID, Purpose: posthaste.ForTopic,
		TopicID: h.topics[topic].ID, Decision: posthaste.Given, Channel: posthaste.ByPreferences, Source: "test", Wording: "again"}}))
}

// multipartBody is fields in multipart form, with the content type that says so.
func multipartBody(tb testing.TB, boundary string, fields ...string) (kind, body string) {
	tb.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	if boundary != "" {
		must(tb, w.SetBoundary(boundary))
	}
	for i := 0; i+1 < len(fields); i += 2 {
		must(tb, w.WriteField(fields[i], fields[i+1]))
	}
	must(tb, w.Close())
	return w.FormDataContentType(), b.String()
}

// openWindow has a worker hold an open window over every recipient of the first topic.
func (h *house) openWindow(worker string) {
	h.tb.Helper()
	ctx := h.tb.Context()
	c, err := h.store.AddCampaign(ctx, posthaste.Campaign{Name: "c", TopicID: h.topics[0].ID, From: "a@example.com", Subject: "s", Format: posthaste.Markdown,
		Body: "b", Layout: "letter", Tracking: posthaste.Tracking{Opens: posthaste.TrackNone, Clicks: posthaste.TrackNone}})
	must(h.tb, err)
	_, err = h.store.Schedule(ctx, c.ID, c.Version, time.Now(), "UTC", nil)
	must(h.tb, err)
	_, err = h.store.Freeze(ctx, c.ID)
	must(h.tb, err)
	chunks, err := h.store.QueueReady(ctx, time.Now(), 10)
	must(h.tb, err)
	must(h.tb, h.store.Beat(ctx, worker))
	taken, err := h.store.TakeChunk(ctx, chunks[0], worker)
	must(h.tb, err)
	mails, err := h.store.Claim(ctx, chunks[0], worker, nil, 1000)
	must(h.tb, err)
	if !taken || len(mails) != len(h.people) {
		h.tb.Fatalf("the window covers %d of %d recipients", len(mails), len(h.people))
	}
}

func values(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}
