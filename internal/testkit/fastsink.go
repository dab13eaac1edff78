package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// fastBuffer holds a few pipelined messages, so that one read and one write
// serve them all. A line may be longer than it.
const fastBuffer = 64 << 10

// FastSink is an SMTP server that costs next to nothing: it offers PIPELINING,
// takes everything, and counts. It is for benchmarks and for counting across
// processes; it checks neither order nor grammar of the dialogue. Safe for
// concurrent use.
type FastSink struct {
	listener   net.Listener
	messages   atomic.Int64
	recipients atomic.Int64
	record     atomic.Bool
	wg         sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
	times map[string]int
}

// Listen starts a sink at addr, "127.0.0.1:0" for a free port. Close ends it.
func Listen(addr string) (*FastSink, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &FastSink{listener: listener, conns: map[net.Conn]struct{}{}, times: map[string]int{}}
	s.wg.Go(s.accept)
	return s, nil
}

// NewFastSink starts a sink that ends with the test.
func NewFastSink(tb testing.TB) *FastSink {
	tb.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testkit: listen: %v", err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// Addr is host:port.
func (s *FastSink) Addr() string { return s.listener.Addr().String() }

// URL is smtp://host:port.
func (s *FastSink) URL() string { return "smtp://" + s.Addr() }

// Count is the number of messages answered with 250 to their final dot. It
// grows before the answer is written.
func (s *FastSink) Count() int64 { return s.messages.Load() }

// Recipients is the number of RCPT commands seen, of finished messages or not.
func (s *FastSink) Recipients() int64 { return s.recipients.Load() }

// RecordRecipients makes the sink remember how often each address was accepted.
func (s *FastSink) RecordRecipients() { s.record.Store(true) }

// Times gives how often a message to each address was accepted, since RecordRecipients.
func (s *FastSink) Times() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times)
}

// Close cuts all connections and returns when their goroutines have ended.
func (s *FastSink) Close() error {
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

func (s *FastSink) accept() {
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
func (s *FastSink) talk(conn net.Conn) {
	r, w := bufio.NewReaderSize(conn, fastBuffer), bufio.NewWriterSize(conn, fastBuffer)
	_, _ = w.WriteString("220 fast.test ESMTP\r\n")
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
			answer = "250-fast.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
		case "MAIL", "RSET":
			to = to[:0]
		case "RCPT":
			s.recipients.Add(1)
			if s.record.Load() {
				to = append(to, path(line))
			}
		case "DATA":
			_, _ = w.WriteString("354 go ahead\r\n")
			if w.Flush() != nil || !skipData(r) {
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

func (s *FastSink) count(to []string) {
	if len(to) > 0 {
		s.mu.Lock()
		for _, address := range to {
			s.times[address]++
		}
		s.mu.Unlock()
	}
	s.messages.Add(1)
}

// skipData reads up to and with the final dot.
func skipData(r *bufio.Reader) bool {
	atLineStart := true
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			atLineStart = false
		case err != nil:
			return false
		case atLineStart && string(line) == ".\r\n":
			return true
		default:
			atLineStart = true
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
