package testkit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// chunkBytes is the most that a proxy takes in one piece.
	chunkBytes = 16 << 10
	// windowChunks is what may be under way in one direction of a connection,
	// so that a delay holds up each chunk, not those behind it as well. A sender
	// that is further ahead has to wait, as on a real network.
	windowChunks = 64
	// targetTimeout is the longest that the target may take to connect.
	targetTimeout = 5 * time.Second
)

// Proxy is a TCP proxy between two parts of a test that can break the link as
// real networks do. Of Cut, Stall and Heal the last one called counts; a delay
// is apart from them until Heal ends it too. A target that takes no connection
// shows as a reset. A connection is present once the proxy has taken it, which
// is certain when a byte has come through. It is safe for concurrent use and
// ends with the test.
type Proxy struct {
	listener        net.Listener
	network, target string
	wg              sync.WaitGroup

	mu      sync.Mutex
	state   linkState
	delay   time.Duration
	links   map[*link]struct{}
	writing int           // goroutines between enter and leave
	changed chan struct{} // closed and replaced when any of the above lets somebody go on
}

type linkState int

const (
	passing linkState = iota
	stalled
	severed
)

// link is one connection through a Proxy.
type link struct {
	near, far net.Conn // far is nil until the target has answered, and guarded by Proxy.mu until then
	ctx       context.Context
	end       context.CancelFunc
}

// chunk is what one read gave: bytes, and why no more will come after them.
type chunk struct {
	bytes []byte
	end   error // nil: more may come
	came  time.Time
}

// NewProxy listens on a port of its own and passes everything on to the target,
// which is "host:port" or "unix:/path/to/socket".
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testkit: listen: %v", err)
	}
	p := &Proxy{
		listener: listener, network: "tcp", target: target,
		links: map[*link]struct{}{}, changed: make(chan struct{}),
	}
	if socket, ok := strings.CutPrefix(target, "unix:"); ok {
		p.network, p.target = "unix", socket
	}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.wg.Wait()
	})
	return p
}

// Addr is host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Host is Addr without the port.
func (p *Proxy) Host() string {
	host, _, _ := net.SplitHostPort(p.Addr())
	return host
}

// Port is Addr without the host.
func (p *Proxy) Port() string {
	_, port, _ := net.SplitHostPort(p.Addr())
	return port
}

// Cut resets all connections (a unix socket, which knows no reset, is closed)
// and does so with new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = severed
	p.drop()
}

// Drop closes all connections as Cut does, but takes new ones.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
}

// Stall holds up everything until Heal: bytes, farewells, and the target's part
// of new connections. Once it returns, nothing passes. The kernel still answers
// keep-alives, so only the program's own deadlines can tell.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = stalled
	p.tell()
	p.setWriteDeadlines(time.Unix(1, 0)) // long past: a write that waits for its reader would keep us
	for p.writing > 0 && p.state == stalled {
		changed := p.changed
		p.mu.Unlock()
		<-changed
		p.mu.Lock()
	}
}

// Delay passes every chunk of bytes, in either direction, and every farewell on
// only after d. It counts for what is under way too: 0 lets that go at once.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
	p.tell()
}

// Heal ends Cut, Stall and Delay. What waited passes on.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.delay = passing, 0
	p.setWriteDeadlines(time.Time{})
	p.tell()
}

// tell wakes whoever waits for a change. The caller holds p.mu, as it does for
// setWriteDeadlines and drop.
func (p *Proxy) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) setWriteDeadlines(at time.Time) {
	for l := range p.links {
		_ = l.near.SetWriteDeadline(at)
		if l.far != nil {
			_ = l.far.SetWriteDeadline(at)
		}
	}
}

func (p *Proxy) drop() {
	for l := range p.links {
		l.abort()
	}
	p.tell()
}

// abort ends a link for both sides at once.
func (l *link) abort() {
	l.end()
	reset(l.near)
	if l.far != nil {
		reset(l.far)
	}
}

// reset closes a connection with an RST, which tells the other side that what
// is under way is lost.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *Proxy) accept() {
	defer p.Drop() // no more can come, so this ends all
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.take(near)
	}
}

func (p *Proxy) take(near net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == severed {
		reset(near)
		return
	}
	l := &link{near: near}
	l.ctx, l.end = context.WithCancel(context.Background())
	p.links[l] = struct{}{}
	p.wg.Go(func() { p.carry(l) })
}

// carry serves one link until both directions are over or it is aborted.
func (p *Proxy) carry(l *link) {
	connected := p.dial(l)
	if connected {
		var directions sync.WaitGroup
		directions.Go(func() { p.pass(l, l.near, l.far) })
		directions.Go(func() { p.pass(l, l.far, l.near) })
		directions.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	if !connected {
		l.abort()
		return
	}
	l.end()
	_ = l.near.Close() // not abort: what was written last may still be under way
	_ = l.far.Close()
}

// dial connects a link to the target. A Stall is not over before it is.
func (p *Proxy) dial(l *link) bool {
	if !p.enter(l, time.Time{}) {
		return false
	}
	defer p.leave()
	dialer := net.Dialer{Timeout: targetTimeout}
	far, err := dialer.DialContext(l.ctx, p.network, p.target)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l.far = far
	return l.ctx.Err() == nil
}

// pass brings what one side says to the other, each chunk at its time. When the
// other takes no more, that is the end of this direction only: what that one
// said last may still be on its way back.
func (p *Proxy) pass(l *link, from, to net.Conn) {
	chunks := make(chan chunk, windowChunks)
	p.wg.Go(func() { l.read(from, chunks) })
	for {
		var c chunk
		select {
		case c = <-chunks:
		case <-l.ctx.Done():
			return
		}
		for len(c.bytes) > 0 {
			if !p.enter(l, c.came) {
				return
			}
			n, err := to.Write(c.bytes)
			p.leave()
			c.bytes = c.bytes[n:]
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // that would be Stall
				return
			}
		}
		if c.end == nil {
			continue
		}
		if !p.enter(l, c.came) {
			return
		}
		if errors.Is(c.end, io.EOF) {
			_ = to.(interface{ CloseWrite() error }).CloseWrite()
		} else {
			l.abort()
		}
		p.leave()
		return
	}
}

// read takes what one side says until it ends or the link does.
func (l *link) read(from net.Conn, chunks chan<- chunk) {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := from.Read(buffer)
		select {
		case chunks <- chunk{bytes.Clone(buffer[:n]), err, time.Now()}:
		case <-l.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// enter returns true when what came then may pass now, and leave must follow;
// false when the link has ended.
func (p *Proxy) enter(l *link, came time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l.ctx.Err() == nil {
		var due <-chan time.Time
		if p.state == passing {
			early := p.delay - time.Since(came)
			if early <= 0 {
				p.writing++
				return true
			}
			due = time.After(early)
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-due:
		case <-l.ctx.Done():
		}
		p.mu.Lock()
	}
	return false
}

func (p *Proxy) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	if p.state == stalled {
		p.tell()
	}
}
