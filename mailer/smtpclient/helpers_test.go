package smtpclient_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is long enough for a busy machine; short is for peers that stall,
// and long enough for the phases before the stall.
const (
	patient = 30 * time.Second
	short   = 400 * time.Millisecond
)

var patience = smtpclient.Timeouts{Connect: patient, Command: patient, Data: patient, Dot: patient}

var (
	envelope = relay.Envelope{From: "b+token@bounces.example.com", To: "fox@example.org"}
	message  = []byte("From: news@example.com\r\nTo: fox@example.org\r\nSubject: hello\r\n\r\nHello, fox.\r\n")
)

func dialer(t *testing.T, url string, opts smtpclient.Options) *smtpclient.Dialer {
	t.Helper()
	if opts.Timeouts == (smtpclient.Timeouts{}) {
		opts.Timeouts = patience
	}
	d, err := smtpclient.New(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dial(t *testing.T, d *smtpclient.Dialer) relay.Connection {
	t.Helper()
	conn, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send dials a script and sends one message.
func send(t *testing.T, script *testkit.Script, limits smtpclient.Timeouts) relay.Answer {
	t.Helper()
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{Timeouts: limits}))
	return relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message})
}
