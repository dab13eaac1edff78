package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync/atomic"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/log"

	"posthaste"
	"posthaste/mailer/relay"
)

// authOrder is the order in which AUTH mechanisms are chosen from what the
// relay offers: those that do not show it the password first.
var authOrder = []mail.SMTPAuthType{
	mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin,
}

// localAuthOrder is the same for a relay on this machine, where plain text is allowed.
var localAuthOrder = []mail.SMTPAuthType{
	mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc,
}

// Dial connects, encrypts and authenticates. Everything together takes at most
// Timeouts.Connect; when ctx ends, so does the attempt. Its error is a
// *relay.ConnectError.
func (d *Dialer) Dial(ctx context.Context) (relay.Connection, error) {
	attempt := &attempt{dialer: d, caller: ctx}
	ctx, cancel := context.WithTimeout(ctx, d.timeouts.Connect)
	defer cancel()
	attempt.enter("connect")
	// One mail.Client per connection: it holds settings only, and choosing an
	// AUTH mechanism writes to them without a lock.
	settings, err := d.settings(attempt)
	if err != nil {
		return nil, attempt.fail(err)
	}
	stop := context.AfterFunc(ctx, attempt.abort) // go-mail heeds ctx only until TCP stands
	client, err := settings.DialToSMTPClientWithContext(ctx)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		attempt.abort() // go-mail leaves the connection open when EHLO or AUTH fails
		return nil, attempt.fail(err)
	}
	client.SetDebugLog(false)
	return newConn(client, attempt.wire.Load(), d.timeouts), nil
}

func (d *Dialer) settings(a *attempt) (*mail.Client, error) {
	policy := mail.TLSMandatory
	switch {
	case d.implicit || d.policy == tlsNone:
		policy = mail.NoTLS
	case d.policy == tlsOpportunistic:
		policy = mail.TLSOpportunistic
	}
	opts := []mail.Option{
		mail.WithPort(d.port), mail.WithTimeout(d.timeouts.Connect), mail.WithTLSPolicy(policy),
		mail.WithTLSConfig(d.tls.Clone()), mail.WithDialContextFunc(a.dial),
		mail.WithLogger(a), mail.WithDebugLog(),
	}
	if d.hello != "" {
		opts = append(opts, mail.WithHELO(d.hello))
	}
	if d.user != "" {
		order := authOrder
		if d.local {
			order = localAuthOrder
		}
		opts = append(opts, mail.WithUsername(d.user), mail.WithPassword(d.password),
			mail.WithOpportunisticSMTPAuth(order...))
	}
	return mail.NewClient(d.host, opts...)
}

// attempt watches one Dial: it holds the connection and knows the phase. Being
// go-mail's logger is how it learns which command is under way.
type attempt struct {
	dialer *Dialer
	caller context.Context
	phase  atomic.Pointer[string]
	wire   atomic.Pointer[wire] // nil until TCP stands
}

func (a *attempt) enter(phase string) { a.phase.Store(&phase) }

// dial opens TCP, and TLS when it begins with the first byte.
func (a *attempt) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn}
	a.wire.Store(w)
	if !a.dialer.implicit {
		a.enter("greeting")
		return w, nil
	}
	a.enter("TLS handshake")
	secured := tls.Client(w, a.dialer.tls.Clone())
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	a.enter("greeting")
	return secured, nil
}

func (a *attempt) abort() {
	if w := a.wire.Load(); w != nil {
		_ = w.Close()
	}
}

// Debugf hears of each command before it is written and of each good answer.
func (a *attempt) Debugf(l log.Log) {
	phase := *a.phase.Load()
	if l.Direction == log.DirServerToClient {
		if phase == "EHLO" || phase == "STARTTLS handshake" {
			a.enter(offer)
		}
		return
	}
	verb, _, _ := strings.Cut(l.Format, " ")
	switch {
	case verb == "EHLO" && phase == "STARTTLS": // the handshake happens with the first write
		a.enter("STARTTLS handshake")
	case verb == "EHLO", verb == "STARTTLS":
		a.enter(verb)
	case verb == "%s": // what go-mail puts in place of secrets
		a.enter("AUTH")
	}
}

// Infof, Warnf and Errorf complete go-mail's logger; it does not use them here.
func (*attempt) Infof(log.Log)  {}
func (*attempt) Warnf(log.Log)  {}
func (*attempt) Errorf(log.Log) {}

// offer is the phase after the answer to EHLO, in which go-mail compares what
// the relay offers with what is asked for. It does no I/O, so every fault in
// it is one of configuration.
const offer = "EHLO offer"

// fail says why the attempt came to nothing.
func (a *attempt) fail(err error) *relay.ConnectError {
	phase := *a.phase.Load()
	said, answered := errors.AsType[*textproto.Error](err)
	reply, text := posthaste.Reply{Stage: posthaste.AtConnect}, ""
	if answered {
		reply = relay.ReadReply(posthaste.AtConnect, said.Code, a.hide(said.Msg))
		text = fmt.Sprintf("%d %s %s", reply.Code, reply.Enhanced, reply.Text)
	} else {
		reply.Text = relay.Mask(a.hide(fault(a.caller.Err(), err, a.dialer.timeouts.Connect)))
		text = reply.Text
	}
	return &relay.ConnectError{
		Reply:     reply,
		Permanent: permanent(phase, said, err),
		Err:       &dialError{text: a.dialer.Addr() + ": " + phase + ": " + text, cause: err},
	}
}

// dialError has a cause to ask for, but not its text, in which a relay might
// have echoed the password.
type dialError struct {
	text  string
	cause error
}

func (e *dialError) Error() string { return e.text }
func (e *dialError) Unwrap() error { return e.cause }

// hide keeps a password that the relay echoes out of texts.
func (a *attempt) hide(text string) string {
	if a.dialer.password == "" {
		return text
	}
	return strings.ReplaceAll(text, a.dialer.password, "[password]")
}

// permanent reports faults that only a change of the configuration mends. A
// 4xx to AUTH is the relay's own trouble (454, RFC 4954 section 6).
func permanent(phase string, said *textproto.Error, err error) bool {
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch phase {
	case offer:
		return true
	case "STARTTLS", "AUTH":
		return said != nil && said.Code >= 500
	}
	return false
}
