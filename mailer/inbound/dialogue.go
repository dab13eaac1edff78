package inbound

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"

	"posthaste"
)

// maxMistakes is how often a client may be told that it does not speak SMTP. One
// that speaks HTTP, or sends a message for commands, is stopped by it.
const maxMistakes = 10

// dialogue is what one client and we say to each other.
type dialogue struct {
	*wire
	server   *Server
	local    bool // the client is on this machine
	secured  bool // TLS
	greeted  bool // EHLO or HELO was said
	key      *posthaste.Key
	failures int // of AUTH
	mistakes int
	open     bool            // MAIL was accepted
	to       []string        // recipients so far
	known    map[string]bool // their canonical forms
}

// run speaks until either side ends it.
func (d *dialogue) run(ctx context.Context) {
	r := reply{code: 220, text: d.server.domain + " ESMTP"}
	if err := d.arm(); err != nil { // the first write may begin with a TLS handshake
		r = d.farewell(err)
	}
	for d.say(r.String()) == nil && !r.last {
		line, err := d.line()
		if err != nil {
			r = d.farewell(err)
			continue
		}
		r = d.answer(ctx, line)
		if r.mistake() {
			d.mistakes++
		}
		if d.mistakes > maxMistakes {
			r = reply{code: 421, enhanced: "4.7.0", text: "too many mistakes", last: true}
		}
	}
	if r.code >= 500 { // the client is still sending what it is refused for
		d.linger()
	}
}

// answer obeys one command: RFC 5321 section 4.1.1.
func (d *dialogue) answer(ctx context.Context, line string) reply {
	verb, arg, _ := strings.Cut(line, " ")
	arg = strings.Trim(arg, " \t")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return d.hello(arg, true)
	case "HELO":
		return d.hello(arg, false)
	case "STARTTLS":
		return d.startTLS(ctx, arg)
	case "AUTH":
		return d.auth(ctx, arg)
	case "MAIL":
		return d.mail(arg)
	case "RCPT":
		return d.rcpt(arg)
	case "DATA":
		return d.data(ctx, arg)
	case "RSET":
		d.reset()
		return reply{code: 250, enhanced: "2.0.0", text: "forgotten"}
	case "NOOP":
		return reply{code: 250, enhanced: "2.0.0", text: "nothing done"}
	case "VRFY": // RFC 5321 section 3.5.3: who is a recipient is not told
		return reply{code: 252, enhanced: "2.5.0", text: "send it and see"}
	case "QUIT":
		return reply{code: 221, enhanced: "2.0.0", text: "goodbye", last: true}
	case "BDAT":
		// What follows is a message, and must not be taken for commands.
		return reply{code: 502, enhanced: "5.5.1", text: "CHUNKING is not offered", last: true}
	}
	return reply{code: 500, enhanced: "5.5.2", text: "unknown command"}
}

// reset forgets the transaction, not the client.
func (d *dialogue) reset() {
	d.open, d.to, d.known = false, nil, nil
	d.occupy(false)
}

// hello says what is offered. It does not repeat what the client calls itself.
func (d *dialogue) hello(arg string, extended bool) reply {
	if arg == "" {
		return syntax("the name of the client is missing")
	}
	d.reset()
	d.greeted = true
	if !extended {
		return reply{code: 250, text: d.server.domain}
	}
	offers := []string{d.server.domain, "PIPELINING", fmt.Sprintf("SIZE %d", d.server.size), "8BITMIME", "SMTPUTF8",
		"ENHANCEDSTATUSCODES", fmt.Sprintf("LIMITS RCPTMAX=%d", MaxRecipients)}
	if d.server.tls != nil && !d.secured {
		offers = append(offers, "STARTTLS")
	}
	if d.private() {
		offers = append(offers, "AUTH PLAIN LOGIN")
	}
	last := len(offers) - 1
	return reply{code: 250, text: offers[last], before: offers[:last]}
}

// private reports whether a key may be sent: RFC 4954 section 4 has no
// passwords in plain text on a network. A proxy on this machine makes all of its
// clients look local: it must not be reachable in plain text.
func (d *dialogue) private() bool { return d.secured || d.local }

// startTLS encrypts the connection; all that was said before is forgotten (RFC
// 3207 section 4.2).
func (d *dialogue) startTLS(ctx context.Context, arg string) reply {
	switch {
	case arg != "":
		return syntax("STARTTLS stands alone")
	case d.secured:
		return sequence("TLS is in use already")
	case d.server.tls == nil:
		return reply{code: 502, enhanced: "5.5.1", text: "STARTTLS is not offered"}
	case d.in.Buffered() > 0: // it was not encrypted, and must not be taken for what was
		return reply{code: 503, enhanced: "5.5.1", text: "nothing may follow STARTTLS before it is answered", last: true}
	}
	if d.say("220 2.0.0 go ahead\r\n") != nil || d.arm() != nil {
		return reply{last: true}
	}
	conn := tls.Server(d.raw, d.server.tls)
	if conn.HandshakeContext(ctx) != nil {
		return reply{last: true} // TLS has told it why
	}
	d.over(conn)
	d.reset()
	d.secured, d.greeted, d.key = true, false, nil
	return reply{}
}
