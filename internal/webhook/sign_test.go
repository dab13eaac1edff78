package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/webhook"
)

// The published example of Standard Webhooks, which its libraries are tested with.
const (
	exampleSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	exampleID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	exampleBody      = `{"test": 2432232314}`
	exampleSeconds   = 1614265330
	exampleSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestSignGivesThePublishedSignature(t *testing.T) {
	t.Parallel()
	secret, err := webhook.ParseSecret(exampleSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got := webhook.Sign(secret, exampleID, time.Unix(exampleSeconds, 999), []byte(exampleBody)); got != exampleSignature {
		t.Errorf("signature %q, want %q", got, exampleSignature)
	}
}

func TestSignIsAnHMAC(t *testing.T) {
	t.Parallel()
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("msg_1.1795500000.\x00{\xff}"))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if got := webhook.Sign(secret, "msg_1", time.Unix(1795500000, 0), []byte("\x00{\xff}")); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	example, err := webhook.ParseSecret(exampleSecret)
	if err != nil {
		t.Fatal(err)
	}
	seconds := strconv.Itoa(exampleSeconds)
	for _, tt := range []struct {
		name                     string
		id, timestamp, signature string
		body                     string
		late                     time.Duration
		secrets                  [][]byte
		want                     bool
	}{
		{"as it was sent", exampleID, seconds, exampleSignature, exampleBody, 0, [][]byte{example}, true},
		{"five minutes late", exampleID, seconds, exampleSignature, exampleBody, 5 * time.Minute, [][]byte{example}, true},
		{"five minutes early", exampleID, seconds, exampleSignature, exampleBody, -5 * time.Minute, [][]byte{example}, true},
		{"one of two secrets", exampleID, seconds, exampleSignature, exampleBody, 0, [][]byte{secret, example}, true},
		{"one of several signatures", exampleID, seconds, "v1a,bm90aGluZw== v1,bm90aGluZw== " + exampleSignature, exampleBody, 0, [][]byte{example}, true},
		{"another body", exampleID, seconds, exampleSignature, exampleBody + " ", 0, [][]byte{example}, false},
		{"another id", "msg_x", seconds, exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"another instant", exampleID, strconv.Itoa(exampleSeconds + 1), exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"another secret", exampleID, seconds, exampleSignature, exampleBody, 0, [][]byte{secret}, false},
		{"no secret", exampleID, seconds, exampleSignature, exampleBody, 0, nil, false},
		{"another version", exampleID, seconds, "v2" + exampleSignature[2:], exampleBody, 0, [][]byte{example}, false},
		{"cut signature", exampleID, seconds, exampleSignature[:20], exampleBody, 0, [][]byte{example}, false},
		{"too late", exampleID, seconds, exampleSignature, exampleBody, 5*time.Minute + time.Second, [][]byte{example}, false},
		{"too early", exampleID, seconds, exampleSignature, exampleBody, -5*time.Minute - time.Second, [][]byte{example}, false},
		{"before all time", exampleID, "-9223372036854775808", exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"no id", "", seconds, exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"no id, and signed so", "", seconds, webhook.Sign(example, "", time.Unix(exampleSeconds, 0), []byte(exampleBody)), exampleBody, 0, [][]byte{example}, false},
		{"no timestamp", exampleID, "", exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"no number", exampleID, "now", exampleSignature, exampleBody, 0, [][]byte{example}, false},
		{"no signature", exampleID, seconds, "", exampleBody, 0, [][]byte{example}, false},
	} {
		header := http.Header{}
		header.Set("webhook-id", tt.id)
		header.Set("webhook-timestamp", tt.timestamp)
		header.Set("webhook-signature", tt.signature)
		err := webhook.Verify(header, []byte(tt.body), time.Unix(exampleSeconds, 0).Add(tt.late), tt.secrets...)
		if (err == nil) != tt.want || err != nil && !errors.Is(err, posthaste.Unauthorized) {
			t.Errorf("%s: %v, want accepted: %v", tt.name, err, tt.want)
		}
	}
}

// While a rotation lasts, receivers with the old secret and those with the new one are served.
func TestBothSecretsSignDuringARotation(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	server, client := tlsServer(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	for _, tt := range []struct {
		name  string
		until time.Duration
		both  bool
	}{{"during", time.Hour, true}, {"after", -time.Second, false}} {
		m := message(1, server.URL)
		m.Webhook.OldSecret, m.Webhook.OldUntil = oldSecret, time.Now().Add(tt.until)
		if o := deliver(t, client, m); o.State != posthaste.WebhookDelivered {
			t.Fatalf("%s: %+v", tt.name, o)
		}
		header := <-seen
		if err := webhook.Verify(header, m.Body, time.Now(), secret); err != nil {
			t.Errorf("%s: with the new secret: %v", tt.name, err)
		}
		if err := webhook.Verify(header, m.Body, time.Now(), oldSecret); (err == nil) != tt.both {
			t.Errorf("%s: with the old secret: %v", tt.name, err)
		}
		seconds, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := webhook.Sign(secret, m.MessageID, time.Unix(seconds, 0), m.Body)
		if tt.both {
			want += " " + webhook.Sign(oldSecret, m.MessageID, time.Unix(seconds, 0), m.Body)
		}
		if got := header.Get("webhook-signature"); got != want {
			t.Errorf("%s: signatures %q, want %q", tt.name, got, want)
		}
	}
}
