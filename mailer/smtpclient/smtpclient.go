// Package smtpclient hands messages to an SMTP relay: RFC 5321 with STARTTLS
// (RFC 3207) or implicit TLS (RFC 8314), AUTH (RFC 4954), 8BITMIME (RFC 6152)
// and SMTPUTF8 (RFC 6531). It implements relay.Dialer and relay.Connection.
//
// go-mail dials, encrypts and authenticates (dial.go); the dialogue of each
// message is driven here, so that the stage of every answer is known
// (dialogue.go). It does not look up MX records, pool connections, try again
// or judge an answer, and it sends one recipient per message.
package smtpclient

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posthaste"
)

// Variable is the setting that faults of a URL are reported for.
const Variable = "POSTHASTE_SMTP_URL"

// Timeouts bound the steps of a dialogue. A zero field means its default.
type Timeouts struct {
	Connect time.Duration // TCP, TLS, greeting, EHLO and AUTH together: 30 s
	Command time.Duration // each of MAIL, RCPT, DATA, RSET: 2 min
	Data    time.Duration // each 64 KiB of the message: 3 min
	Dot     time.Duration // from the final dot to its answer: 10 min (RFC 5321 section 4.5.3.2.6)
}

// Options are what the URL does not say.
type Options struct {
	Roots    *x509.CertPool // nil: the system's
	Timeouts Timeouts
}

// tlsPolicy is what ?tls= says.
type tlsPolicy string

const (
	tlsRequired      tlsPolicy = "required"
	tlsOpportunistic tlsPolicy = "opportunistic"
	tlsNone          tlsPolicy = "none"
)

// Dialer opens connections to one relay. It is safe for concurrent use.
type Dialer struct {
	host     string
	port     int
	implicit bool // TLS from the first byte
	policy   tlsPolicy
	local    bool // the relay is on this machine
	user     string
	password string
	hello    string // empty: the machine's name
	tls      *tls.Config
	timeouts Timeouts
}

// New reads a relay's URL:
//
//	smtp://user:password@relay.example.com:587?tls=required&hello=mail.example.com
//	smtps://relay.example.com
//
// The port is 587, or 465 for smtps. With smtp, tls=required (the default)
// refuses a relay without STARTTLS, tls=opportunistic (the default for a relay
// on this machine) uses it where offered, tls=none never does. The certificate
// must be valid for the host, except under opportunistic on this machine,
// where plain text would do as well. A password goes over plain text to this
// machine only. An error is a *posthaste.Error about POSTHASTE_SMTP_URL and
// never holds the password.
func New(rawURL string, opts Options) (*Dialer, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // its text holds the URL, and so the password
		return nil, posthaste.Refuse(Variable, "is no URL; write smtp://user:password@host:587, with reserved characters of the password as %XX")
	}
	d := &Dialer{host: u.Hostname(), implicit: u.Scheme == "smtps", timeouts: opts.Timeouts.withDefaults()}
	if u.Scheme != "smtp" && !d.implicit {
		return nil, posthaste.Refuse(Variable, "must begin with smtp:// or smtps://")
	}
	if d.host == "" || strings.ContainsAny(d.host, " \t\r\n") {
		return nil, posthaste.Refuse(Variable, "names no host")
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, posthaste.Refuse(Variable, "has a path; write smtp://host:port only")
	}
	if d.port, err = port(u.Port(), d.implicit); err != nil {
		return nil, err
	}
	d.local = loopback(d.host)
	if u.User != nil {
		d.user = u.User.Username()
		d.password, _ = u.User.Password()
		if d.user == "" || d.password == "" {
			return nil, posthaste.Refuse(Variable, "needs both user and password, or neither")
		}
	}
	if err := d.query(u.RawQuery); err != nil {
		return nil, err
	}
	d.tls = &tls.Config{
		ServerName: d.host, RootCAs: opts.Roots, MinVersion: tls.VersionTLS12,
		// Encryption without authentication (RFC 7435), on this machine only.
		InsecureSkipVerify: !d.implicit && d.policy == tlsOpportunistic && d.local,
	}
	return d, nil
}

// Addr is the relay's host:port.
func (d *Dialer) Addr() string { return net.JoinHostPort(d.host, strconv.Itoa(d.port)) }

// query reads what follows the question mark.
func (d *Dialer) query(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return posthaste.Refuse(Variable, "has a query that cannot be read; known are tls and hello")
	}
	d.policy = tlsRequired
	if d.local && !d.implicit {
		d.policy = tlsOpportunistic
	}
	for name, value := range values {
		switch {
		case len(value) != 1:
			return posthaste.Refuse(Variable, "gives "+strconv.Quote(name)+" more than once")
		case name == "hello":
			if d.hello = value[0]; !helloName(d.hello) {
				return posthaste.Refuse(Variable, "hello must be a host name or an address literal such as [192.0.2.1]")
			}
		case name == "tls" && d.implicit:
			return posthaste.Refuse(Variable, "smtps:// always uses TLS; tls= belongs to smtp://")
		case name == "tls":
			d.policy = tlsPolicy(value[0])
		default:
			return posthaste.Refuse(Variable, "does not know "+strconv.Quote(name)+"; known are tls and hello")
		}
	}
	switch d.policy {
	case tlsRequired:
	case tlsOpportunistic, tlsNone:
		if d.user != "" && !d.local {
			return posthaste.Refuse(Variable, "a password needs tls=required unless the relay is on this machine")
		}
	default:
		return posthaste.Refuse(Variable, "tls must be required, opportunistic or none")
	}
	return nil
}

func port(text string, implicit bool) (int, error) {
	if text == "" {
		if implicit {
			return 465, nil
		}
		return 587, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, posthaste.Refuse(Variable, "has a port outside 1 to 65535")
	}
	return int(n), nil
}

// loopback tells hosts that are this machine. Only the name localhost and
// loopback addresses are trusted to be so, not what a name resolves to.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// helloName accepts what may follow EHLO (RFC 5321 section 4.1.1.1).
func helloName(name string) bool {
	return name != "" && len(name) <= 255 && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") == ""
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect: cmp.Or(t.Connect, 30*time.Second),
		Command: cmp.Or(t.Command, 2*time.Minute),
		Data:    cmp.Or(t.Data, 3*time.Minute),
		Dot:     cmp.Or(t.Dot, 10*time.Minute),
	}
}
