package smtpclient

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// readLimit is the most bytes that are read between two commands: answers are
// kept whole in memory, and RFC 5321 section 4.5.3.1.5 allows 512 a line.
const readLimit = 256 << 10

var errTooMuch = errors.New("the next hop's answer is too long")

// wire is the TCP connection below TLS. Deadlines are set on it, and closing
// it ends whatever waits on it.
type wire struct {
	net.Conn
	read  int // since allow; one goroutine at a time
	close sync.Once
}

// allow bounds what follows in time, and in bytes read.
func (w *wire) allow(limit time.Duration) {
	w.read = 0
	_ = w.SetDeadline(time.Now().Add(limit)) // fails on a closed connection only, as what follows will
}

func (w *wire) Read(p []byte) (int, error) {
	if w.read >= readLimit {
		return 0, errTooMuch
	}
	n, err := w.Conn.Read(p)
	w.read += n
	return n, err
}

// Close closes once; it is safe for concurrent use.
func (w *wire) Close() (err error) {
	w.close.Do(func() { err = w.Conn.Close() })
	return err
}

// fault is an error without an answer in plain words; stopped is the error of
// the caller's context.
func fault(stopped, err error, limit time.Duration) string {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case stopped != nil:
		return "stopped by us"
	case errors.Is(err, os.ErrDeadlineExceeded), isNet && timeout.Timeout():
		return "no answer within " + limit.String()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the next hop closed the connection"
	}
	return err.Error()
}
