package webhook_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestAMessageAsItArrives(t *testing.T) {
	t.Parallel()
	type arrived struct {
		Method, Path, Query, ContentType, UserAgent, ID, Body string
	}
	seen := make(chan arrived, 1)
	verified := make(chan error, 1)
	server, client := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verified <- webhook.Verify(r.Header, body, time.Now(), secret)
		seen <- arrived{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), r.UserAgent(), r.Header.Get("webhook-id"), string(body)}
		w.WriteHeader(http.StatusAccepted)
	})
	m := message(1, server.URL+"/in?token=x")
	o := deliver(t, client, m)
	if diff := cmp.Diff(posthaste.WebhookOutcome{ID: 1, State: posthaste.WebhookDelivered, Status: 202}, o); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	want := arrived{"POST", "/in", "token=x", "application/json", "Posthaste", m.MessageID, string(m.Body)}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if err := <-verified; err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	server, client := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/busy":
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/broken":
			http.Error(w, "s3cret of the receiver", http.StatusInternalServerError)
		}
	})
	for path, want := range map[string]struct {
		state       posthaste.WebhookState
		status      int
		fault       string
		least, most time.Duration
	}{
		"/":       {posthaste.WebhookDelivered, 200, "", 0, 0},
		"/gone":   {posthaste.WebhookDead, 410, "answered 410", 0, 0},
		"/busy":   {posthaste.WebhookWaiting, 503, "answered 503", 10 * time.Minute, 10 * time.Minute},
		"/broken": {posthaste.WebhookWaiting, 500, "answered 500", 4500 * time.Millisecond, 5500 * time.Millisecond},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			o := deliver(t, client, message(1, server.URL+path))
			if o.State != want.state || o.Status != want.status || o.Fault != want.fault {
				t.Errorf("%+v, want %+v", o, want)
			}
			if want.most == 0 != o.DueAt.IsZero() {
				t.Fatalf("due at %v", o.DueAt)
			}
			if want.most > 0 && (o.DueAt.Before(begun.Add(want.least)) || o.DueAt.After(time.Now().Add(want.most))) {
				t.Errorf("due after %v, want %v to %v", o.DueAt.Sub(begun), want.least, want.most)
			}
		})
	}
}

// All of these would hold the sender up for ever, if it had that long.
func TestTheLimitCutsAnExchangeAnywhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		fault   string
	}{
		{"no answer", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client leave
			<-r.Context().Done()
		}, 0, "no answer within 1s"},
		{"a body in drops", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 200, ""},
		{"another protocol", func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_, _ = conn.Read(make([]byte, 1)) // until the client leaves
		}, 101, "answered 101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, client := tlsServer(t, tt.handler)
			if client.Timeout != 5*time.Second {
				t.Errorf("the limit is %v, want 5 s", client.Timeout)
			}
			client.Timeout = time.Second
			if o := deliver(t, client, message(1, server.URL)); o.Status != tt.status || o.Fault != tt.fault {
				t.Errorf("%+v, want %d %q", o, tt.status, tt.fault)
			}
		})
	}
}

// endless is a body without an end that counts what is read of it.
type endless struct {
	read   atomic.Int64
	closed atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) { e.read.Add(int64(len(p))); return len(p), nil }
func (e *endless) Close() error               { e.closed.Store(true); return nil }

func TestAHugeAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	body := &endless{}
	client := clientOf(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
	})
	if o := deliver(t, client, message(1, "https://hook.example.com/")); o.State != posthaste.WebhookDelivered {
		t.Errorf("%+v", o)
	}
	if n := body.read.Load(); n > webhook.AnswerLimit || webhook.AnswerLimit != 4<<10 || !body.closed.Load() {
		t.Errorf("%d bytes read, closed: %v", n, body.closed.Load())
	}
}

// A compressed answer is not unpacked: the client does not ask for one.
func TestNoCompressionIsAskedFor(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	server, client := tlsServer(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- strings.Join(r.Header.Values("Accept-Encoding"), ",")
	})
	deliver(t, client, message(1, server.URL))
	if got := <-asked; got != "" {
		t.Errorf("asks for %q", got)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	peers := make(chan string, 2)
	server, client := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		peers <- r.RemoteAddr
		_, _ = io.WriteString(w, "thank you")
	})
	store := newMemory(message(1, server.URL))
	run(t, store, client)
	<-store.recorded
	store.add(message(2, server.URL))
	<-store.recorded
	if one, other := <-peers, <-peers; one != other {
		t.Errorf("two connections, from %s and %s", one, other)
	}
}
