package testkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Phase is a moment in the dialogue at which a Script can misbehave.
type Phase string

// The phases.
const (
	Greeting  Phase = "greeting"  // before the 220
	EHLO      Phase = "EHLO"      // also HELO
	STARTTLS  Phase = "STARTTLS"  // the command
	Handshake Phase = "handshake" // after 220 to STARTTLS: any behaviour replaces the TLS handshake
	AUTH      Phase = "AUTH"
	MAIL      Phase = "MAIL"
	RCPT      Phase = "RCPT"
	DATA      Phase = "DATA"
	Body      Phase = "body" // after the first bytes of the message
	Dot       Phase = "dot"  // after the final dot
	RSET      Phase = "RSET"
	QUIT      Phase = "QUIT"
)

// Behaviour is what the peer does instead of the usual.
type Behaviour struct {
	raw  string // written as it is
	then ending
}

type ending int

const (
	goOn ending = iota
	hangUp
	stall  // read and say nothing until the other side goes
	freeze // not even read
)

// Say answers with the given lines, each complete: Say("550-5.1.1 no", "550 5.1.1 such user").
func Say(lines ...string) Behaviour { return Behaviour{raw: join(lines)} }

// SayAndDrop answers and closes the connection.
func SayAndDrop(lines ...string) Behaviour { return Behaviour{raw: join(lines), then: hangUp} }

// Raw writes bytes as they are.
func Raw(text string) Behaviour { return Behaviour{raw: text} }

// Drop closes the connection without an answer.
func Drop() Behaviour { return Behaviour{then: hangUp} }

// Stall says nothing more on this connection, but reads on.
func Stall() Behaviour { return Behaviour{then: stall} }

// Freeze neither says nor reads anything more on this connection.
func Freeze() Behaviour { return Behaviour{then: freeze} }

func join(lines []string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// Step is one line of a script.
type Step struct {
	at    Phase
	nth   int // 0: every time
	do    Behaviour
	offer []string
}

// At makes the peer misbehave whenever it comes to the phase.
func At(p Phase, b Behaviour) Step { return Step{at: p, do: b} }

// Nth makes it misbehave only the nth time, from 1, counted over all connections.
func Nth(n int, p Phase, b Behaviour) Step { return Step{at: p, nth: n, do: b} }

// Offer replaces the EHLO keywords, which are PIPELINING, 8BITMIME and
// ENHANCEDSTATUSCODES. STARTTLS and AUTH work when offered; AUTH takes any password.
func Offer(keywords ...string) Step { return Step{offer: append([]string{}, keywords...)} }

// Script is an SMTP server on a real port that follows the rules except where
// its steps say otherwise; the first step that fits counts. It ends with the test.
type Script struct {
	listener net.Listener
	steps    []Step
	offers   []string
	ca       authority
	wg       sync.WaitGroup
	done     chan struct{}

	mu       sync.Mutex
	conns    map[net.Conn]struct{} // nil once closed
	dialled  int
	seen     map[Phase]int
	grown    chan struct{} // closed and replaced with each arrival at a phase
	commands []string
	messages []Received
}

// NewScript starts the server.
func NewScript(tb testing.TB, steps ...Step) *Script {
	tb.Helper()
	ca, err := localAuthority()
	if err != nil {
		tb.Fatalf("testkit: certificate: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testkit: listen: %v", err)
	}
	s := &Script{
		listener: listener, steps: steps, ca: ca,
		offers: []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"},
		conns:  map[net.Conn]struct{}{}, seen: map[Phase]int{}, grown: make(chan struct{}), done: make(chan struct{}),
	}
	for _, step := range steps {
		if step.offer != nil {
			s.offers = step.offer
		}
	}
	s.wg.Go(s.accept)
	tb.Cleanup(s.close)
	return s
}

// Addr is host:port.
func (s *Script) Addr() string { return s.listener.Addr().String() }

// URL is smtp://host:port.
func (s *Script) URL() string { return "smtp://" + s.Addr() }

// Roots trusts the certificate used after STARTTLS.
func (s *Script) Roots() *x509.CertPool { return s.ca.roots }

// Connections is the number of connections taken so far.
func (s *Script) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialled
}

// Commands gives the command lines received so far, without line ends; the
// secrets of an AUTH dialogue are not among them.
func (s *Script) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Messages gives those that came whole, whatever was answered. Data is as on
// the wire: dots still stuffed, without the final one.
func (s *Script) Messages() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Arrived returns when some connection has come to the phase, or with ctx's error.
func (s *Script) Arrived(ctx context.Context, p Phase) error {
	for {
		s.mu.Lock()
		seen, grown := s.seen[p], s.grown
		s.mu.Unlock()
		if seen > 0 {
			return nil
		}
		select {
		case <-grown:
		case <-s.done:
			return fmt.Errorf("%s: the script has ended", p)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", p, ctx.Err())
		}
	}
}

// behaviour counts one arrival at a phase and gives the step for it.
func (s *Script) behaviour(p Phase) (Behaviour, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[p]++
	close(s.grown)
	s.grown = make(chan struct{})
	for _, step := range s.steps {
		if step.at == p && (step.nth == 0 || step.nth == s.seen[p]) {
			return step.do, true
		}
	}
	return Behaviour{}, false
}

func (s *Script) offered(keyword string) bool {
	return slices.ContainsFunc(s.offers, func(line string) bool {
		return line == keyword || strings.HasPrefix(line, keyword+" ")
	})
}

func (s *Script) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		open := s.conns != nil
		if open {
			s.conns[conn] = struct{}{}
			s.dialled++
		}
		s.mu.Unlock()
		if !open {
			_ = conn.Close()
			return
		}
		s.wg.Go(func() {
			(&scriptTalk{Script: s, conn: conn}).run()
			_ = conn.Close()
		})
	}
}

func (s *Script) close() {
	close(s.done)
	_ = s.listener.Close()
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for conn := range conns {
		_ = conn.Close()
	}
	s.wg.Wait()
}

// upgrade starts TLS on a connection that has said 220.
func (s *Script) upgrade(conn net.Conn) (net.Conn, error) {
	secured := tls.Server(conn, s.ca.server())
	return secured, secured.Handshake()
}
