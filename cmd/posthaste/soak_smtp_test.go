package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mood is how a moody server treats messages.
type mood int32

const (
	even     mood = iota
	storming      // 451 to every RCPT
	dropping      // takes some messages and hangs up before it says so
	stalling      // takes some messages and says so two seconds later
	lying         // answers in as many lines as RFC 5321 allows, some of them empty
	closing       // hangs up after every seventh message, as some providers do
)

// moody is an SMTP server that takes a while for each message, counts what it
// has taken whole, and changes its mood.
type moody struct {
	listener net.Listener
	mood     atomic.Int32
	count    atomic.Int64
	dropped  atomic.Int64
	mu       sync.Mutex
	times    map[string]int
	ids      map[string]map[string]bool // Message-IDs by recipient
}

func newMoody(tb testing.TB) *moody {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m := &moody{listener: l, times: map[string]int{}, ids: map[string]map[string]bool{}}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talks.Go(func() { m.talk(conn); _ = conn.Close() })
		}
	})
	tb.Cleanup(func() { _ = l.Close() })
	return m
}

func (m *moody) is(mood mood) bool { return m.mood.Load() == int32(mood) }

func (m *moody) snapshot() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.times)
}

func (m *moody) talk(conn net.Conn) {
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	say := func(code, text string) {
		if m.is(lying) && code != "354" {
			fmt.Fprintf(w, "%s-%s\r\n%s-\r\n", code, text, code)
		}
		fmt.Fprintf(w, "%s %s\r\n", code, text)
	}
	say("220", "moody.test")
	to := ""
	for taken := 0; ; {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "EHLO":
			_, _ = io.WriteString(w, "250-moody.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
		case "RCPT":
			if m.is(storming) {
				to = ""
				say("451", "4.7.1 try again later")
				continue
			}
			_, rest, _ := strings.Cut(line, "<")
			to, _, _ = strings.Cut(rest, ">")
			say("250", "2.1.5 ok")
		case "DATA":
			if to == "" {
				say("503", "5.5.1 no recipient")
				continue
			}
			say("354", "go ahead")
			if w.Flush() != nil {
				return
			}
			id, whole := readMessageID(r)
			if !whole {
				return
			}
			<-time.After(2 * time.Millisecond)
			m.take(to, id)
			if taken++; m.is(dropping) && rand.IntN(100) == 0 {
				m.dropped.Add(1)
				return
			}
			if m.is(stalling) && rand.IntN(200) == 0 {
				<-time.After(2 * time.Second)
			}
			say("250", "2.0.0 taken")
			if m.is(closing) && taken%7 == 0 {
				_ = w.Flush()
				return
			}
		case "QUIT":
			say("221", "2.0.0 bye")
			_ = w.Flush()
			return
		default:
			say("250", "2.0.0 ok")
		}
	}
}

func (m *moody) take(to, id string) {
	m.mu.Lock()
	m.times[to]++
	if m.ids[to] == nil {
		m.ids[to] = map[string]bool{}
	}
	m.ids[to][id] = true
	m.mu.Unlock()
	m.count.Add(1)
}

// messageIDs gives those of all messages to a recipient.
func (m *moody) messageIDs(to string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.ids[to]))
}

// readMessageID reads a message to its final dot.
func readMessageID(r *bufio.Reader) (id string, whole bool) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return id, false
		}
		if value, ok := bytes.CutPrefix(line, []byte("Message-ID: <")); ok && id == "" {
			id = strings.TrimRight(string(value), ">\r\n")
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			return id, true
		}
	}
}
