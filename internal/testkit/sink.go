package testkit

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"crypto/tls"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// TLSMode says how a server of this package encrypts.
type TLSMode int

// The modes.
const (
	PlainText   TLSMode = iota // no TLS offered
	StartTLS                   // RFC 3207
	ImplicitTLS                // from the first byte, RFC 8314
)

// SinkOptions shape a Sink. The zero value takes every message, in plain text,
// without AUTH, and keeps the envelopes only.
type SinkOptions struct {
	TLS TLSMode
	// User and Password, when set, are asked for by AUTH PLAIN before MAIL. URL carries them.
	User, Password string
	// SMTPUTF8 offers RFC 6531.
	SMTPUTF8 bool
	// KeepBodies keeps the messages too, as Received.Data.
	KeepBodies bool
	// The hooks may refuse with a *smtp.SMTPError. They run concurrently, one
	// per connection. OnData gets the whole message.
	OnMail func(from string) error
	OnRcpt func(to string) error
	OnData func(Received) error
}

// Received is one message as it came over the wire.
type Received struct {
	From, To string // To: the first recipient
	UTF8     bool   // MAIL carried SMTPUTF8
	Data     []byte // with dot-stuffing undone; nil without KeepBodies
	At       time.Time
}

// Sink is a real SMTP server that keeps what it is sent. It is safe for
// concurrent use and ends with the test.
type Sink struct {
	opts     SinkOptions
	addr     string
	roots    *x509.CertPool
	mu       sync.Mutex
	messages []Received
	grown    chan struct{} // closed and replaced with each message
}

// NewSink starts a server on a port of its own.
func NewSink(tb testing.TB, opts SinkOptions) *Sink {
	tb.Helper()
	ca, err := localAuthority()
	if err != nil {
		tb.Fatalf("testkit: certificate: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testkit: listen: %v", err)
	}
	s := &Sink{opts: opts, addr: listener.Addr().String(), roots: ca.roots, grown: make(chan struct{})}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &sinkSession{sink: s, allowed: opts.User == ""}, nil
	}))
	server.Domain = "sink.test"
	server.AllowInsecureAuth = true
	server.EnableSMTPUTF8 = opts.SMTPUTF8
	server.ErrorLog = log.New(io.Discard, "", 0)
	switch opts.TLS {
	case StartTLS:
		server.TLSConfig = ca.server()
	case ImplicitTLS:
		listener = tls.NewListener(listener, ca.server())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

// Addr is host:port.
func (s *Sink) Addr() string { return s.addr }

// URL is smtp:// or smtps:// with user and password, fit for POSTHASTE_SMTP_URL.
func (s *Sink) URL() string {
	u := url.URL{Scheme: "smtp", Host: s.addr}
	if s.opts.TLS == ImplicitTLS {
		u.Scheme = "smtps"
	}
	if s.opts.User != "" {
		u.User = url.UserPassword(s.opts.User, s.opts.Password)
	}
	return u.String()
}

// Roots trusts the sink's certificate.
func (s *Sink) Roots() *x509.CertPool { return s.roots }

// Messages gives what was accepted, in the order of acceptance.
func (s *Sink) Messages() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count is the number of accepted messages.
func (s *Sink) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages)
}

// Wait returns when at least n messages were accepted, or with ctx's error.
func (s *Sink) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		have, grown := len(s.messages), s.grown
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages: %w", have, n, ctx.Err())
		}
	}
}

func (s *Sink) keep(r Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, r)
	close(s.grown)
	s.grown = make(chan struct{})
}

// sinkSession is one connection, as go-smtp wants it.
type sinkSession struct {
	sink    *Sink
	allowed bool
	open    Received
}

func (s *sinkSession) AuthMechanisms() []string {
	if s.sink.opts.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.sink.opts.User || password != s.sink.opts.Password {
			return smtp.ErrAuthFailed
		}
		s.allowed = true
		return nil
	}), nil
}

func (s *sinkSession) Mail(from string, opts *smtp.MailOptions) error {
	if !s.allowed {
		return smtp.ErrAuthRequired
	}
	if hook := s.sink.opts.OnMail; hook != nil {
		if err := hook(from); err != nil {
			return err
		}
	}
	s.open = Received{From: from, UTF8: opts.UTF8}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if hook := s.sink.opts.OnRcpt; hook != nil {
		if err := hook(to); err != nil {
			return err
		}
	}
	if s.open.To == "" {
		s.open.To = to
	}
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	var body bytes.Buffer
	if _, err := body.ReadFrom(r); err != nil {
		return err
	}
	got := s.open
	got.Data, got.At = body.Bytes(), time.Now()
	if hook := s.sink.opts.OnData; hook != nil {
		if err := hook(got); err != nil {
			return err
		}
	}
	if !s.sink.opts.KeepBodies {
		got.Data = nil
	}
	s.sink.keep(got)
	return nil
}

func (s *sinkSession) Reset()        { s.open = Received{} }
func (s *sinkSession) Logout() error { return nil }
