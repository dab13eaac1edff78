package testkit

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsReady is the longest that a NATS server may take to answer.
const natsReady = 10 * time.Second

// NATS gives the URL of a new NATS server with JetStream on a TCP port of its
// own. It ends with the test.
func NATS(tb testing.TB) string {
	tb.Helper()
	return NewNATS(tb).URL()
}

// NATSServer is a NATS server with JetStream that can be stopped and started
// again on the same port with the same store. Its methods are for one
// goroutine at a time.
type NATSServer struct {
	tb      testing.TB
	store   string
	port    int
	running *server.Server
}

// NewNATS starts a server. It ends with the test.
func NewNATS(tb testing.TB) *NATSServer {
	tb.Helper()
	n := &NATSServer{tb: tb, store: tb.TempDir(), port: server.RANDOM_PORT}
	n.Start()
	tb.Cleanup(n.Stop)
	return n
}

// URL is "nats://127.0.0.1:port"; it stays the same over Stop and Start.
func (n *NATSServer) URL() string {
	return "nats://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port))
}

// Start starts a stopped server and returns when it takes connections.
func (n *NATSServer) Start() {
	n.tb.Helper()
	if n.running != nil {
		return
	}
	started, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: n.port, JetStream: true, StoreDir: n.store,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		n.tb.Fatalf("testkit: NATS: %v", err)
	}
	started.Start()
	if !started.ReadyForConnections(natsReady) {
		started.Shutdown()
		n.tb.Fatalf("testkit: NATS is not ready within %s", natsReady)
	}
	n.running = started
	n.port = started.Addr().(*net.TCPAddr).Port
}

// Stop cuts all connections and returns when the server is gone. What it had
// acknowledged is in its store.
func (n *NATSServer) Stop() {
	if n.running == nil {
		return
	}
	n.running.Shutdown()
	n.running.WaitForShutdown()
	n.running = nil
}
