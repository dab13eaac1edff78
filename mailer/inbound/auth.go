package inbound

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"posthaste"
)

// maxFailures is how many times AUTH may fail on one connection.
const maxFailures = 3

// auth finds the client's key: RFC 4954 section 4.
func (d *dialogue) auth(ctx context.Context, arg string) reply {
	switch {
	case !d.greeted:
		return sequence("say EHLO first")
	case d.key != nil:
		return sequence("you are authenticated already")
	case !d.private(): // section 6; the key has been seen by now if it stood in this command
		return reply{code: 538, enhanced: "5.7.11", text: "a key must not be sent in plain text: " + d.wayIn()}
	}
	mechanism, initial, given := strings.Cut(arg, " ")
	var secret string
	var r reply
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		secret, r = d.plain(initial, given)
	case "LOGIN":
		secret, r = d.login(initial, given)
	default:
		return reply{code: 504, enhanced: "5.5.4", text: "the mechanisms are PLAIN and LOGIN"}
	}
	if !r.none() {
		return d.failed(r)
	}
	return d.check(ctx, secret)
}

// wayIn says how a client that may not authenticate could.
func (d *dialogue) wayIn() string {
	if d.server.tls == nil {
		return "without a certificate here, only clients on this machine may authenticate"
	}
	return "say STARTTLS first"
}

// plain is RFC 4616: an identity, a user name and a password between NULs. Only
// the password counts.
func (d *dialogue) plain(initial string, given bool) (string, reply) {
	text, r := unbase64(initial)
	if !given {
		text, r = d.ask("")
	}
	if !r.none() {
		return "", r
	}
	parts := strings.Split(text, "\x00")
	if len(parts) != 3 {
		return "", reply{code: 501, enhanced: "5.5.2", text: "PLAIN needs identity, user name and password"}
	}
	return parts[2], reply{}
}

// login is the mechanism of draft-murchison-sasl-login, which old clients know alone.
func (d *dialogue) login(initial string, given bool) (string, reply) {
	_, r := unbase64(initial)
	if !given {
		_, r = d.ask("Username:")
	}
	if !r.none() {
		return "", r
	}
	return d.ask("Password:")
}

// ask sends a challenge and reads the answer to it.
func (d *dialogue) ask(challenge string) (string, reply) {
	if d.say("334 "+base64.StdEncoding.EncodeToString([]byte(challenge))+"\r\n") != nil {
		return "", reply{last: true}
	}
	line, err := d.line()
	if err != nil {
		return "", d.farewell(err)
	}
	if line == "*" {
		return "", reply{code: 501, enhanced: "5.7.0", text: "cancelled"}
	}
	return unbase64(line)
}

// unbase64 undoes base64, in which "=" is the empty text (RFC 4954 section 4).
func unbase64(line string) (string, reply) {
	if line == "=" {
		return "", reply{}
	}
	text, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return "", reply{code: 501, enhanced: "5.5.2", text: "that is not base64"}
	}
	return string(text), reply{}
}

// check asks who holds the key.
func (d *dialogue) check(ctx context.Context, secret string) reply {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	key, err := d.server.keys.Authenticate(ctx, secret)
	switch {
	case err == nil:
		d.key = &key
		d.until = time.Time{}
		return reply{code: 235, enhanced: "2.7.0", text: "welcome"}
	case errors.Is(err, posthaste.Unauthorized):
		return d.failed(reply{code: 535, enhanced: "5.7.8", text: "there is no such key, or it works no more"})
	case ended(ctx, err):
		return reply{code: 421, enhanced: "4.3.2", text: "the key could not be looked up in time, come back later", last: true}
	case !errors.Is(err, posthaste.Unavailable): // whoever is unavailable says so itself
		d.server.log().Error("a key sent by SMTP could not be looked up", "error", harmless(err.Error()))
	}
	return reply{code: 454, enhanced: "4.7.0", text: "keys cannot be looked up now, try again later"}
}

// failed counts: whoever guesses keys has to connect again after a few.
func (d *dialogue) failed(r reply) reply {
	if d.failures++; d.failures >= maxFailures && !r.last {
		return reply{code: 421, enhanced: "4.7.0", text: "AUTH failed too many times", last: true}
	}
	return r
}
