package inbound_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"posthaste"
	"posthaste/mailer/inbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is long enough for a busy machine.
const patient = 30 * time.Second

// The keys there are.
const (
	goodKey    = "ph_good"
	otherKey   = "ph_reads_only"
	expiredKey = "ph_expired"
	lostKey    = "ph_store_is_down"
	brokenKey  = "ph_store_is_broken"
)

// keys is a small set of keys.
type keys struct{}

func (keys) Authenticate(_ context.Context, key string) (posthaste.Key, error) {
	may := []posthaste.Scope{posthaste.ReadNotices, posthaste.SendNotices}
	switch key {
	case goodKey:
		return posthaste.Key{ID: 7, Name: "shop", Scopes: may}, nil
	case otherKey:
		return posthaste.Key{ID: 8, Scopes: may[:1]}, nil
	case expiredKey:
		return posthaste.Key{ID: 9, Scopes: may, ExpiresAt: time.Now().Add(-time.Minute)}, nil
	case lostKey:
		return posthaste.Key{}, &posthaste.Error{Kind: posthaste.Unavailable, Message: "no answer"}
	case brokenKey:
		return posthaste.Key{}, errString("disk of fox@example.org is full")
	}
	return posthaste.Key{}, posthaste.Unauthorized
}

type errString string

func (e errString) Error() string { return string(e) }

// notices keeps what is submitted.
type notices struct {
	mu     sync.Mutex
	all    []inbound.Submission
	submit func(context.Context, inbound.Submission) (string, error) // nil: takes everything
}

func (n *notices) Submit(ctx context.Context, s inbound.Submission) (string, error) {
	n.mu.Lock()
	n.all = append(n.all, s)
	n.mu.Unlock()
	if n.submit != nil {
		return n.submit(ctx, s)
	}
	return "notice-1", nil
}

func (n *notices) list() []inbound.Submission {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all
}

// only gives the one submission there was.
func (n *notices) only(t *testing.T) inbound.Submission {
	t.Helper()
	all := n.list()
	if len(all) != 1 {
		t.Fatalf("%d submissions, want 1", len(all))
	}
	return all[0]
}

// house is a server under test.
type house struct {
	t       *testing.T
	addr    string
	roots   *x509.CertPool
	notices *notices
	logged  *logBuffer
	stop    func()
	done    chan error
}

type setup struct {
	inbound.Options
	far    bool // clients seem to be on another machine
	plain  bool // no certificate
	direct bool // TLS from the first byte
	submit func(context.Context, inbound.Submission) (string, error)
}

// start runs a server until the end of the test.
func start(t *testing.T, s setup) *house {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, addr: listener.Addr().String(), notices: &notices{submit: s.submit}, logged: &logBuffer{}, done: make(chan error, 1)}
	certificate, roots := certify(t)
	h.roots = roots
	if !s.plain {
		s.Certificate = certificate
	}
	if s.far {
		listener = farListener{listener}
	}
	if s.direct {
		listener = tls.NewListener(listener, certificate)
	}
	if s.Timeout == 0 {
		s.Timeout = patient
	}
	s.Domain = "in.example.com"
	s.Log = slog.New(slog.NewTextHandler(h.logged, nil))
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go func() { h.done <- inbound.New(keys{}, h.notices, s.Options).Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		h.wait()
	})
	return h
}

// wait returns when the server has stopped.
func (h *house) wait() {
	h.t.Helper()
	select {
	case err := <-h.done:
		if err != nil {
			h.t.Errorf("Serve: %v", err)
		}
		h.done <- nil
	case <-time.After(patient):
		h.t.Fatal("the server does not stop")
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// farListener makes its clients seem to come from another machine.
type farListener struct{ net.Listener }

func (l farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{conn}, nil
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77), Port: 4321}
}

// certify makes a certificate for 127.0.0.1 and the pool that trusts it.
func certify(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS10}, roots
}

// peer is a client that says what it is told to.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial connects and reads the greeting.
func (h *house) dial() *peer {
	h.t.Helper()
	p := h.connect()
	p.hears("220 in.example.com")
	return p
}

func (h *house) connect() *peer {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patient))
	return &peer{h.t, conn, bufio.NewReader(conn)}
}

// signedIn connects and authenticates from this machine.
func (h *house) signedIn() *peer {
	h.t.Helper()
	p := h.dial()
	p.talk("EHLO app.example.net", "250", "AUTH PLAIN "+plain(goodKey), "235 2.7.0")
	return p
}

func plain(key string) string { return b64("\x00anybody\x00" + key) }

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// raw sends a text as it is.
func (p *peer) raw(text string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// reply reads one whole reply, its lines joined by LF; empty when the connection is over.
func (p *peer) reply() string {
	p.t.Helper()
	var lines []string
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			if len(lines) > 0 || line != "" {
				p.t.Fatalf("reply ends after %q %q: %v", lines, line, err)
			}
			return ""
		}
		line = strings.TrimSuffix(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// hears checks how the next reply begins.
func (p *peer) hears(want string) string {
	p.t.Helper()
	got := p.reply()
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		p.t.Fatalf("heard %q, want %q", got, want)
	}
	return got
}

// talk says lines and checks how each reply begins, by turns.
func (p *peer) talk(steps ...string) string {
	p.t.Helper()
	last := ""
	for i := 0; i < len(steps); i += 2 {
		p.raw(steps[i] + "\r\n")
		got := p.reply()
		if !strings.HasPrefix(got, steps[i+1]) {
			p.t.Fatalf("to %.80q: heard %q, want %q", steps[i], got, steps[i+1])
		}
		last = got
	}
	return last
}

// gone checks that the server has closed the connection.
func (p *peer) gone() {
	p.t.Helper()
	if got := p.reply(); got != "" {
		p.t.Fatalf("heard %q after the end", got)
	}
}

// begin opens a transaction up to the message.
func (p *peer) begin() {
	p.t.Helper()
	p.talk("MAIL FROM:<app@example.net>", "250", "RCPT TO:<fox@example.org>", "250", "DATA", "354")
}

// encrypt says STARTTLS and goes on within TLS.
func (p *peer) encrypt(roots *x509.CertPool) {
	p.t.Helper()
	p.talk("STARTTLS", "220")
	conn := tls.Client(p.conn, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if err := conn.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.in = conn, bufio.NewReader(conn)
}

const message = "X-Notice-Type: receipt\r\nSubject: hello\r\nMessage-ID: <1@app.example.net>\r\n\r\nHello, fox.\r\n"
