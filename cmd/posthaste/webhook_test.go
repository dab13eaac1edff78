package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/internal/webhook"
)

// receiver is another system that is told of events.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status []int // of the next answers; then 204
	got    []told
}

type told struct {
	header http.Header
	body   string
}

func newReceiver(t *testing.T, status ...int) *receiver {
	r := &receiver{status: status}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, told{request.Header.Clone(), string(body)})
		answer := http.StatusNoContent
		if len(r.status) > 0 {
			answer, r.status = r.status[0], r.status[1:]
		}
		w.WriteHeader(answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]told{}, r.got...)
}

// trust gives the settings with which the receiver may be called.
func (r *receiver) trust(t *testing.T) []string {
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	return []string{"POSTHASTE_WEBHOOK_CA=" + file, "POSTHASTE_WEBHOOK_NETWORKS=127.0.0.0/8"}
}

// TestWebhookIsToldOfNotices: signed, again until it is taken, with the same id,
// with both secrets during a rotation, and without anything that must not leave.
func TestWebhookIsToldOfNotices(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{})
		receiver := newReceiver(t, http.StatusGone, http.StatusInternalServerError)
		env = append(append(env, receiver.trust(t)...), "POSTHASTE_SMTP_URL="+sink.URL())
		p := start(t, env)
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		var hook struct {
			ID     int64
			Secret string
		}
		p.call("POST", "/webhooks", `{"url": "`+receiver.URL+`/hook", "events": ["notice.accepted"]}`, 201, &hook)
		secret, err := webhook.ParseSecret(hook.Secret)
		if err != nil {
			t.Fatal(err)
		}
		send := func() {
			p.notify(`{"type": "receipt", "to": {"email": "ada@example.com"}, "data": ` + order + `, "external_id": "order-7",
				"metadata": {"shop": "west", "phone": "030 1234567", "contact": "+49 30 1234567"}}`)
		}
		send()
		var messages struct {
			Items []struct {
				ID        int64
				MessageID string `json:"message_id"`
				State     posthaste.WebhookState
				Status    int
			}
		}
		waitFor(t, "the message to be dead", func() bool { // 410: the receiver wants no more of it
			p.call("GET", fmt.Sprintf("/webhooks/%d/messages?state=dead", hook.ID), "", 200, &messages)
			return len(messages.Items) == 1
		})
		p.call("POST", fmt.Sprintf("/webhooks/%d/messages/%d/replay", hook.ID, messages.Items[0].ID), "{}", 200, nil)
		waitFor(t, "the message to be taken", func() bool { return len(receiver.all()) == 3 }) // 410, 500, and then it is
		id := ""
		for _, m := range receiver.all() {
			if err := webhook.Verify(m.header, []byte(m.body), time.Now(), secret); err != nil {
				t.Error(err)
			}
			if got := m.header.Get(webhook.IDHeader); id != "" && got != id || got != messages.Items[0].MessageID {
				t.Errorf("id %s, want %s", got, id)
			}
			id = m.header.Get(webhook.IDHeader)
			var event struct {
				Type posthaste.EventName
				Data struct {
					ExternalID string `json:"external_id"`
					Metadata   map[string]string
				}
			}
			if err := json.Unmarshal([]byte(m.body), &event); err != nil || event.Type != posthaste.NoticeWasAccepted || event.Data.ExternalID != "order-7" ||
				len(event.Data.Metadata) != 1 || event.Data.Metadata["shop"] != "west" {
				t.Errorf("body %s: %v", m.body, err)
			}
			for _, bad := range []string{"ada@", "1234567", "consent", "Tea"} {
				if strings.Contains(m.body, bad) {
					t.Errorf("%q left the house: %s", bad, m.body)
				}
			}
		}
		var rotated struct{ Secret string }
		p.call("POST", fmt.Sprintf("/webhooks/%d/rotate", hook.ID), "{}", 200, &rotated)
		if rotated.Secret == hook.Secret {
			t.Error("the secret is the old one")
		}
		fresh, err := webhook.ParseSecret(rotated.Secret)
		if err != nil {
			t.Fatal(err)
		}
		send()
		waitFor(t, "the next message", func() bool { return len(receiver.all()) == 4 })
		for _, s := range [][]byte{secret, fresh} {
			m := receiver.all()[3]
			if err := webhook.Verify(m.header, []byte(m.body), time.Now(), s); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestWebhookAddressesThatAreRefused, when they are given and when they are called.
func TestWebhookAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	sink := testkit.NewSink(t, testkit.SinkOptions{})
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_SMTP_URL=" + sink.URL(), receiver.trust(t)[0]}
	p := start(t, env)
	for _, url := range []string{"http://example.com/hook", "https://127.0.0.1/hook", "https://[::1]/", "https://10.0.0.1/", "https://169.254.169.254/latest", "https://user:pw@example.com/", "ftp://example.com", ""} {
		p.call("POST", "/webhooks", `{"url": "`+url+`", "events": ["notice.accepted"]}`, 422, nil)
	}
	// A name that leads here is found out only when it is called.
	p.call("POST", "/webhooks", `{"url": "`+strings.Replace(receiver.URL, "127.0.0.1", "localhost", 1)+`", "events": ["notice.accepted"]}`, 201, nil)
	p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
	p.notify(`{"type": "receipt", "to": {"email": "ada@example.com"}, "data": ` + order + `}`)
	var messages struct {
		Items []struct {
			Attempts int
			Fault    string
		}
	}
	waitFor(t, "an attempt", func() bool {
		p.call("GET", "/webhooks/1/messages", "", 200, &messages)
		return len(messages.Items) == 1 && messages.Items[0].Attempts > 0
	})
	if n := len(receiver.all()); n > 0 || !strings.Contains(messages.Items[0].Fault, "may not be called") {
		t.Errorf("%d calls; %+v", n, messages)
	}
}
