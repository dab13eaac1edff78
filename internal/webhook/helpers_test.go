package webhook_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste"
	"posthaste/internal/webhook"
)

// loopback is what the tests' own servers need to be reached.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

var (
	secret    = []byte("a secret of thirty-two letters..")
	oldSecret = []byte("the secret that was there before")
)

// memory is a Store that keeps all in memory, those due longest first.
type memory struct {
	mu          sync.Mutex
	messages    []posthaste.WebhookMessage
	outcomes    []posthaste.WebhookOutcome // in the order they were recorded
	recorded    chan posthaste.WebhookOutcome
	limits      []int // of each take
	takeFails   []error
	recordFails []error
	records     int           // how often RecordWebhook was called
	slow        time.Duration // how long it takes
}

func newMemory(messages ...posthaste.WebhookMessage) *memory {
	return &memory{messages: messages, recorded: make(chan posthaste.WebhookOutcome, 1000)}
}

func (s *memory) TakeWebhookMessages(ctx context.Context, now, again time.Time, limit int) ([]posthaste.WebhookMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := shift(ctx, &s.takeFails); err != nil {
		return nil, err
	}
	s.limits = append(s.limits, limit)
	slices.SortStableFunc(s.messages, func(a, b posthaste.WebhookMessage) int { return a.DueAt.Compare(b.DueAt) })
	var taken []posthaste.WebhookMessage
	for i := range s.messages {
		m := &s.messages[i]
		if m.State == posthaste.WebhookWaiting && !m.DueAt.After(now) && len(taken) < limit {
			m.DueAt = again
			taken = append(taken, *m)
		}
	}
	return taken, nil
}

func (s *memory) RecordWebhook(ctx context.Context, outcomes []posthaste.WebhookOutcome) error {
	select {
	case <-time.After(s.slow):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records++
	if err := shift(ctx, &s.recordFails); err != nil {
		return err
	}
	for _, o := range outcomes {
		i := slices.IndexFunc(s.messages, func(m posthaste.WebhookMessage) bool { return m.ID == o.ID })
		m := &s.messages[i]
		m.State, m.DueAt, m.Status, m.Fault, m.Attempts = o.State, o.DueAt, o.Status, o.Fault, m.Attempts+1
		s.outcomes = append(s.outcomes, o)
		s.recorded <- o
	}
	return nil
}

// add has one more message wait.
func (s *memory) add(m posthaste.WebhookMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}

// shift gives the next error that is planned, or that of ctx.
func shift(ctx context.Context, errs *[]error) error {
	if len(*errs) == 0 {
		return ctx.Err()
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}

// done gives the outcomes recorded so far.
func (s *memory) done() []posthaste.WebhookOutcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outcomes)
}

// message is due now, to a webhook of its own unless told otherwise.
func message(id int64, url string) posthaste.WebhookMessage {
	now := time.Now()
	return posthaste.WebhookMessage{
		ID: id, MessageID: "msg_" + string(rune('a'+id%26)), Event: posthaste.NoticeWasAccepted, Body: []byte(`{"type":"notice.accepted"}`),
		Webhook: posthaste.Webhook{ID: id, URL: url, Secret: secret},
		State:   posthaste.WebhookWaiting, CreatedAt: now, SentSince: now, DueAt: now,
	}
}

// run has a sender work until stop is called or the test ends; ended is closed when it is done.
func run(t *testing.T, store webhook.Store, client *http.Client) (stop context.CancelFunc, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan struct{})
	go func() {
		defer close(end)
		webhook.New(store, client).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-end })
	return cancel, end
}

// tlsServer starts a server and gives a client that trusts and may call it.
func tlsServer(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	client := webhook.NewClient(loopback, rootsOf(server))
	t.Cleanup(client.CloseIdleConnections)
	return server, client
}

func rootsOf(server *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return roots
}

// deliver has a sender post one message and gives the first outcome.
func deliver(t *testing.T, client *http.Client, m posthaste.WebhookMessage) posthaste.WebhookOutcome {
	t.Helper()
	store := newMemory(m)
	run(t, store, client)
	select {
	case o := <-store.recorded:
		return o
	case <-time.After(30 * time.Second):
		t.Fatal("no outcome within 30 s")
		return posthaste.WebhookOutcome{}
	}
}

// peer answers requests without a network, in a bubble of testing/synctest.
type peer func(*http.Request) (*http.Response, error)

func (p peer) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// clientOf is a client as it is, but for the network.
func clientOf(p peer) *http.Client {
	client := webhook.NewClient(nil, nil)
	client.Transport = p
	return client
}

func answers(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
}

// hang answers nothing until the client gives up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// pass lets time go by in a bubble, and all that it starts come to a rest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
