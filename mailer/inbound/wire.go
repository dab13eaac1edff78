package inbound

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// lineLimit bounds a line in octets: eight times what RFC 5321 section 4.5.3.1.4
// gives a command, four times what 4.5.3.1.6 gives a line of text. No API key
// needs the 12,288 that RFC 4954 section 4 gives AUTH.
const lineLimit = 4096

// stage is how far the server has stopped.
type stage int

const (
	running  stage = iota
	stopping       // what waits for a command ends, what is in a transaction may go on
	stopped        // everything ends
)

var (
	errStopping = errors.New("the server stops")
	errLineEnd  = errors.New("a line does not end in CR LF")
)

// wire is one connection: lines in and replies out, each within its time. One
// goroutine uses it; only enter may be called from others.
type wire struct {
	raw     net.Conn // deadlines are set here, below TLS
	conn    net.Conn // raw, or TLS over it
	in      *bufio.Reader
	timeout time.Duration
	until   time.Time // of a client that is not known yet: the end of all its time

	mu    sync.Mutex
	stage stage
	busy  bool // a transaction is under way
}

func newWire(raw net.Conn, timeout time.Duration) *wire {
	return &wire{raw: raw, conn: raw, in: bufio.NewReaderSize(raw, lineLimit), timeout: timeout, until: time.Now().Add(timeout)}
}

// over puts another connection, TLS, in place of the one so far.
func (w *wire) over(conn net.Conn) {
	w.conn = conn
	w.in.Reset(conn)
}

// enter takes the connection to a stage: it wakes what must not wait any longer.
func (w *wire) enter(to stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = to
	if to == stopped || !w.busy {
		_ = w.raw.SetReadDeadline(time.Now()) // fails on a closed connection only, like the next line
	}
	_ = w.raw.SetWriteDeadline(time.Now().Add(lastWords))
}

// occupy says whether a transaction is under way.
func (w *wire) occupy(busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = busy
}

// arm gives what is read next its time.
func (w *wire) arm() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == stopped || w.stage == stopping && !w.busy {
		return errStopping
	}
	until := time.Now().Add(w.timeout)
	if !w.until.IsZero() {
		until = w.until
	}
	return w.raw.SetReadDeadline(until)
}

// line reads one command or answer, without its end. A lone LF ends none: RFC
// 5321 section 2.3.8.
func (w *wire) line() (string, error) {
	if err := w.arm(); err != nil {
		return "", err
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text, found := strings.CutSuffix(string(line), "\r\n")
	if !found || strings.ContainsAny(text, "\r\x00") {
		return "", errLineEnd
	}
	return text, nil
}

// say writes replies. One that is empty takes no time.
func (w *wire) say(text string) error {
	if text == "" {
		return nil
	}
	w.mu.Lock()
	limit := w.timeout
	if w.stage != running {
		limit = min(limit, lastWords)
	}
	err := w.raw.SetWriteDeadline(time.Now().Add(limit))
	w.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = w.conn.Write([]byte(text))
	return err
}

// linger reads on for a moment before the connection is closed. With something
// unread it would be reset, and on some systems our last reply be lost by that.
func (w *wire) linger() {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() == nil && w.raw.SetReadDeadline(time.Now().Add(lastWords)) == nil {
		_, _ = io.Copy(io.Discard, w.raw) // its end, however it comes, is all that is wanted
	}
}

// farewell is what a client hears when nothing more can be read from it.
func (w *wire) farewell(err error) reply {
	w.mu.Lock()
	ends := w.stage != running
	w.mu.Unlock()
	r := reply{last: true} // it is gone, or would not understand
	switch {
	case errors.Is(err, errStopping), ends && errors.Is(err, os.ErrDeadlineExceeded):
		r.code, r.enhanced, r.text = 421, "4.3.2", "the server stops, come back later"
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.code, r.enhanced, r.text = 421, "4.4.2", "nothing came within "+w.timeout.String()
	case errors.Is(err, bufio.ErrBufferFull):
		r.code, r.enhanced, r.text = 500, "5.5.2", "the line is too long"
	case errors.Is(err, errLineEnd):
		r.code, r.enhanced, r.text = 500, "5.5.2", "a line must end in CR LF and hold neither of them, nor NUL"
	}
	return r
}
