package testkit_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste/internal/testkit"
)

func TestNATSKeepsItsStoreAndPort(t *testing.T) {
	t.Parallel()
	broker := testkit.NewNATS(t)
	url := broker.URL()
	connect := func() jetstream.JetStream {
		conn, err := nats.Connect(url, nats.Timeout(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	js := connect()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FOX", Subjects: []string{"fox"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "fox", []byte("jumps")); err != nil {
		t.Fatal(err)
	}

	broker.Stop()
	if conn, err := nats.Connect(url, nats.Timeout(time.Second)); err == nil {
		conn.Close()
		t.Error("a stopped server took a connection")
	}
	broker.Start()

	if broker.URL() != url {
		t.Errorf("URL() = %q after the restart, want %q", broker.URL(), url)
	}
	stream, err := connect().Stream(t.Context(), "FOX")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages after the restart, want 1", n)
	}
}
