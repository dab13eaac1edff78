// Package inbound takes account notices in by SMTP submission, for applications
// that send mail already: the key of an account is the SMTP password, and the
// header field X-Notice-Type names the notice type.
//
// It follows RFC 6409 (submission), RFC 5321, RFC 4954 (AUTH PLAIN and LOGIN),
// RFC 3207 (STARTTLS), RFC 1870 (SIZE), RFC 2034 (enhanced codes), RFC 2920
// (pipelining), RFC 6152 and RFC 6531 (8-bit), RFC 9422 (LIMITS) and, for what
// is sent, RFC 5322 and RFC 2045 to 2047. It relays nothing: of a message it
// takes subject, text, HTML and files, and a notice type makes a new one of them.
//
// The dialogue is driven here, as smtpclient drives its own. go-smtp v0.25.1
// always offers CHUNKING, and takes a chunk that a closing connection cut short
// for the whole message.
package inbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"posthaste"
)

// Keys finds who holds an API key.
type Keys interface {
	// Authenticate gives the key behind the text that its holder sends;
	// posthaste.Unauthorized when there is none that works.
	Authenticate(ctx context.Context, key string) (posthaste.Key, error)
}

// Notices takes notices in, durably.
type Notices interface {
	// Submit returns once the notice is stored and queued, and soon after ctx
	// ends; the same key and Idempotency give the first one's id again.
	Submit(ctx context.Context, s Submission) (id string, err error)
}

// Submission is one message as it was sent in.
type Submission struct {
	Key         posthaste.Key
	Type        string   // key of the notice type, from X-Notice-Type
	To          []string // from RCPT TO, addr-specs, each mailbox once, at most MaxRecipients
	Subject     string   // one line
	Text        string   // with LF line ends, like HTML; either may be empty
	HTML        string
	Files       []posthaste.NoticeFile // named; only images have a ContentID
	Idempotency string                 // the Message-ID without its brackets: who lost our answer sends it again
	ExternalID  string                 // from X-Notice-External-ID
	ValidUntil  time.Time              // from X-Notice-Valid-Until (RFC 3339); zero if absent
	Metadata    map[string]string      // from X-Notice-Metadata: name=value, one per field
}

// MaxRecipients is the most recipients of one message (RFC 5321 section 4.5.3.1.8).
const MaxRecipients = 100

// Options shape a Server. A zero field means its default.
type Options struct {
	// Domain is the host name in the greeting: localhost.
	Domain string
	// Certificate is for STARTTLS, with TLS 1.2 or later whatever it says. Nil:
	// no STARTTLS, and so only clients on this machine can authenticate.
	Certificate *tls.Config
	// MaxBytes bounds a message on the wire: 14 MiB, in which 10 MB of files fit
	// as base64. Each connection may hold about three times that in memory.
	MaxBytes int64
	// MaxConnections bounds them at any time: 256.
	MaxConnections int
	// Timeout bounds the wait for a command, for each 64 KiB of a message and for
	// Submit: 5 min (RFC 5321 section 4.5.3.2). A client that has not
	// authenticated has it once in all.
	Timeout time.Duration
	// Grace is how long transactions may go on once the server stops: 10 s.
	Grace time.Duration
	// Log gets faults, never with addresses, keys or subjects: slog.Default().
	Log *slog.Logger
}

// Server answers SMTP clients. It is safe for concurrent use.
type Server struct {
	keys    Keys
	notices Notices
	domain  string
	tls     *tls.Config // nil: no STARTTLS
	size    int64
	timeout time.Duration
	grace   time.Duration
	given   *slog.Logger
	slots   chan struct{} // one for each connection there may be
}

// New makes a server; Serve starts it.
func New(keys Keys, notices Notices, o Options) *Server {
	s := &Server{
		keys: keys, notices: notices, given: o.Log,
		domain:  cmp.Or(o.Domain, "localhost"),
		size:    cmp.Or(o.MaxBytes, 14<<20),
		timeout: cmp.Or(o.Timeout, 5*time.Minute),
		grace:   cmp.Or(o.Grace, 10*time.Second),
		slots:   make(chan struct{}, cmp.Or(o.MaxConnections, 256)),
	}
	if o.Certificate != nil {
		s.tls = o.Certificate.Clone()
		s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
	}
	return s
}

// log is asked for late: the default may be set after New.
func (s *Server) log() *slog.Logger { return cmp.Or(s.given, slog.Default()) }
