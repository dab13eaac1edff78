package testkit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// beNATS is the variable by which a test binary is told to be a server of a
// cluster; it holds a nodeSpec.
const beNATS = "BE_NATS"

type nodeSpec struct {
	Name         string
	Port, Routes int // of clients, and of the other servers
	Store        string
	Others       []string
}

// BeNATS is for TestMain: it makes this process a server of a cluster, until it
// is killed or its standard input ends, if it was started as one.
func BeNATS() bool {
	text := os.Getenv(beNATS)
	if text == "" {
		return false
	}
	var spec nodeSpec
	err := json.Unmarshal([]byte(text), &spec)
	var routes []*url.URL
	for _, other := range spec.Others {
		routes = append(routes, &url.URL{Scheme: "nats", Host: other})
	}
	var node *server.Server
	if err == nil {
		node, err = server.NewServer(&server.Options{
			ServerName: spec.Name, Host: "127.0.0.1", Port: spec.Port, JetStream: true, StoreDir: spec.Store, NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: spec.Routes, NoAdvertise: true}, Routes: routes,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "be NATS:", err)
		os.Exit(1)
	}
	node.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return true
}

// NATSCluster is three servers in processes of their own, which can be killed.
// The test's binary must call BeNATS. Its methods are for one goroutine at a time.
type NATSCluster struct {
	tb    testing.TB
	specs [3]nodeSpec
	nodes [3]*exec.Cmd
}

// NewNATSCluster starts a cluster. It ends with the test.
func NewNATSCluster(tb testing.TB) *NATSCluster {
	tb.Helper()
	c := &NATSCluster{tb: tb}
	for i := range c.specs {
		c.specs[i] = nodeSpec{Name: fmt.Sprintf("n%d", i+1), Port: freePort(tb), Routes: freePort(tb), Store: tb.TempDir()}
	}
	for i := range c.specs {
		for j := range c.specs {
			if i != j {
				c.specs[i].Others = append(c.specs[i].Others, fmt.Sprintf("127.0.0.1:%d", c.specs[j].Routes))
			}
		}
	}
	for i := range c.nodes {
		c.Start(i)
	}
	tb.Cleanup(func() {
		for i := range c.nodes {
			c.Kill(i)
		}
	})
	return c
}

// Addr is host:port of a server, from 0.
func (c *NATSCluster) Addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", c.specs[i].Port) }

// Kill ends a server at once.
func (c *NATSCluster) Kill(i int) {
	if c.nodes[i] != nil {
		_ = c.nodes[i].Process.Kill() // or it is gone
		_ = c.nodes[i].Wait()
		c.nodes[i] = nil
	}
}

// Start starts a killed server and returns when it takes connections.
func (c *NATSCluster) Start(i int) {
	c.tb.Helper()
	if c.nodes[i] != nil {
		return
	}
	spec, err := json.Marshal(c.specs[i])
	if err != nil {
		c.tb.Fatal("testkit:", err)
	}
	node := exec.Command(os.Args[0])
	node.Env = append(withoutPosthaste(os.Environ()), beNATS+"="+string(spec))
	node.Stderr = os.Stderr
	if _, err := node.StdinPipe(); err != nil { // held open until this process ends
		c.tb.Fatal("testkit:", err)
	}
	if err := node.Start(); err != nil {
		c.tb.Fatal("testkit:", err)
	}
	c.nodes[i] = node
	for deadline := time.Now().Add(natsReady); ; {
		conn, err := net.DialTimeout("tcp", c.Addr(i), time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatal("testkit: a NATS server does not start:", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func withoutPosthaste(environ []string) (kept []string) {
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "POSTHASTE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// freePort is one that was free a moment ago.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal("testkit:", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
