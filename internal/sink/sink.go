// Package sink is an SMTP server that takes every message, keeps none, and
// costs next to nothing, so that a benchmark measures the sender. It offers
// PIPELINING (RFC 2920) and counts; it checks neither order nor grammar of the
// dialogue, and knows no TLS and no AUTH. It must never be reachable from
// outside.
package sink

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// buffer holds a few pipelined messages, so that one read and one write serve
// them all. A line of a command may not be longer than it.
const buffer = 64 << 10

// Sink is a listening server, safe for concurrent use.
type Sink struct {
	listener   net.Listener
	messages   atomic.Int64
	recipients atomic.Int64
	bytes      atomic.Int64
	watched    atomic.Pointer[string] // the prefix of Watch
	wg         sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
	times map[string]int
	last  map[string]time.Time
}

// Listen starts a sink at addr, "127.0.0.1:0" for a free port. Close ends it.
func Listen(ctx context.Context, addr string) (*Sink, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{listener: listener, conns: map[net.Conn]struct{}{}, times: map[string]int{}, last: map[string]time.Time{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is host:port.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// URL is smtp://host:port.
func (s *Sink) URL() string { return "smtp://" + s.Addr() }

// Count is the number of messages answered with 250 to their final dot. It
// grows before the answer is written.
func (s *Sink) Count() int64 { return s.messages.Load() }

// Bytes is what those messages had together, as on the wire.
func (s *Sink) Bytes() int64 { return s.bytes.Load() }

// Recipients is the number of RCPT commands seen, of finished messages or not.
func (s *Sink) Recipients() int64 { return s.recipients.Load() }

// Watch makes the sink remember, for each address that begins with prefix, how
// often a message to it was accepted and when it was last named in RCPT. The
// empty prefix watches all.
func (s *Sink) Watch(prefix string) { s.watched.Store(&prefix) }

// Times gives how often a message to each watched address was accepted.
func (s *Sink) Times() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times)
}

// Named gives when each watched address was last named in RCPT.
func (s *Sink) Named() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.last)
}

// Close cuts all connections and returns when their goroutines have ended.
func (s *Sink) Close() error {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	err := s.listener.Close()
	for conn := range conns {
		_ = conn.Close()
	}
	s.wg.Wait()
	return err
}

func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		open := s.conns != nil
		if open {
			s.conns[conn] = struct{}{}
		}
		s.mu.Unlock()
		if !open {
			_ = conn.Close()
			return
		}
		s.wg.Go(func() {
			s.talk(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// talk answers one connection. Answers wait in the buffer while there is more
// to read, as RFC 2920 section 3.2 asks of a server.
func (s *Sink) talk(conn net.Conn) {
	r, w := bufio.NewReaderSize(conn, buffer), bufio.NewWriterSize(conn, buffer)
	_, _ = w.WriteString("220 sink.test ESMTP\r\n")
	var to []string
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		answer := "250 2.0.0 ok\r\n"
		switch verb(line) {
		case "EHLO":
			answer = "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
		case "MAIL", "RSET":
			to = to[:0]
		case "RCPT":
			to = s.name(to, line)
		case "DATA":
			_, _ = w.WriteString("354 go ahead\r\n")
			if w.Flush() != nil || !s.skip(r) {
				return
			}
			s.count(to)
			to = to[:0]
		case "QUIT":
			_, _ = w.WriteString("221 2.0.0 bye\r\n")
			_ = w.Flush()
			return
		}
		_, _ = w.WriteString(answer)
	}
}

// name notes a recipient, and gives the watched ones of the open message.
func (s *Sink) name(to []string, line []byte) []string {
	s.recipients.Add(1)
	prefix := s.watched.Load()
	if prefix == nil {
		return to
	}
	address := path(line)
	if !strings.HasPrefix(address, *prefix) {
		return to
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[address] = time.Now()
	return append(to, address)
}

func (s *Sink) count(to []string) {
	if len(to) > 0 {
		s.mu.Lock()
		for _, address := range to {
			s.times[address]++
		}
		s.mu.Unlock()
	}
	s.messages.Add(1)
}

// end is the final dot with the end of the line before it.
var end = []byte("\r\n.\r\n")

// skip reads a message up to and with its final dot, without looking at its lines.
func (s *Sink) skip(r *bufio.Reader) bool {
	first, err := r.Peek(len(end) - 2)
	if err != nil {
		return false
	}
	if bytes.Equal(first, end[2:]) { // a message of no line
		_, err := r.Discard(len(first))
		return err == nil
	}
	for {
		if _, err := r.Peek(len(end)); err != nil {
			return false
		}
		have, _ := r.Peek(r.Buffered())
		n, found := bytes.Index(have, end), true
		if n < 0 { // its beginning may be here, the rest not yet
			n, found = len(have)-len(end)+1, false
		} else {
			n += len(end)
		}
		s.bytes.Add(int64(n))
		if _, err := r.Discard(n); err != nil || found {
			return err == nil
		}
	}
}

// verb is the command of a line in upper case, of at most four letters.
func verb(line []byte) string {
	return string(bytes.ToUpper(bytes.TrimSpace(line[:min(len(line), 4)])))
}

// path is what stands between the angle brackets.
func path(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte("<"))
	inner, _, _ := bytes.Cut(rest, []byte(">"))
	return string(inner)
}
