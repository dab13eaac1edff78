package inbound

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"posthaste"
)

// reply is what a client is told. The zero value says nothing.
type reply struct {
	code     int
	enhanced string   // RFC 3463; empty where RFC 2034 has none
	text     string   // ASCII, one line; it never quotes what the client sent
	before   []string // lines before that one, of EHLO only
	last     bool     // the connection ends after it
}

// none reports whether there is nothing to say and nothing to end.
func (r reply) none() bool { return r.code == 0 && !r.last }

// String is the reply as it goes over the wire.
func (r reply) String() string {
	if r.code == 0 {
		return ""
	}
	var lines strings.Builder
	for _, line := range r.before {
		fmt.Fprintf(&lines, "%d-%s\r\n", r.code, line)
	}
	text := r.text
	if r.enhanced != "" {
		text = r.enhanced + " " + text
	}
	fmt.Fprintf(&lines, "%d %s\r\n", r.code, text)
	return lines.String()
}

// mistake reports whether the reply tells a client that it does not speak SMTP.
// A bad recipient or message is none.
func (r reply) mistake() bool { return r.code == 500 || r.code == 502 || r.code == 503 }

// bad refuses a message for what it is (RFC 3463 section 3.7).
func bad(text string) reply { return reply{code: 554, enhanced: "5.6.0", text: text} }

// sequence refuses a command for when it came.
func sequence(text string) reply { return reply{code: 503, enhanced: "5.5.1", text: text} }

// syntax refuses a command for its arguments.
func syntax(text string) reply { return reply{code: 501, enhanced: "5.5.4", text: text} }

// ended reports whether err is that a context has ended.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// refusal says why Submit did not take a message. A client tries a 4xx again
// and reports a 5xx to its user.
func (s *Server) refusal(ctx context.Context, key int64, err error) reply {
	told := func(code int, enhanced string) reply {
		return reply{code: code, enhanced: enhanced, text: words(err)}
	}
	switch {
	case errors.Is(err, posthaste.Invalid), errors.Is(err, posthaste.Conflict):
		return told(554, "5.6.0") // sent again as it is, it would be refused again
	case errors.Is(err, posthaste.NotFound):
		return told(550, "5.6.0") // the header names a type that there is not
	case errors.Is(err, posthaste.Unauthorized):
		return told(550, "5.7.1") // the key may not, or no longer
	case errors.Is(err, posthaste.TooLarge):
		return told(552, "5.3.4")
	case errors.Is(err, posthaste.Forbidden):
		return told(550, "5.7.1") // the key may not send this type
	case errors.Is(err, posthaste.Limited):
		return told(451, "4.7.1") // the key has sent enough for now
	case errors.Is(err, posthaste.Unavailable):
		return told(451, "4.3.0")
	case ended(ctx, err):
		return reply{code: 421, enhanced: "4.3.2", text: "it could not be taken in time, send it again later", last: true}
	}
	s.log().Error("a notice sent by SMTP could not be taken", "key", key, "error", harmless(err.Error()))
	return reply{code: 451, enhanced: "4.3.0", text: "something failed here, send it again later"}
}

// maxFaults is how many faults of an input one reply tells.
const maxFaults = 3

// words gives what an error says to the person who caused it; its cause is ours.
func words(err error) string {
	e, ok := errors.AsType[*posthaste.Error](err)
	if !ok { // a kind alone
		e = &posthaste.Error{}
		for _, kind := range []posthaste.Kind{posthaste.Invalid, posthaste.NotFound, posthaste.Conflict,
			posthaste.Unauthorized, posthaste.Forbidden, posthaste.Limited, posthaste.TooLarge, posthaste.Unavailable} {
			if errors.Is(err, kind) {
				e.Message = string(kind)
			}
		}
	}
	var text strings.Builder
	text.WriteString(e.Message)
	for _, f := range e.Fields[:min(len(e.Fields), maxFaults)] {
		fmt.Fprintf(&text, "; %s: %s", f.Name, f.Reason)
	}
	return harmless(text.String())
}

// replyText bounds the text of a reply in octets: with its codes it fits the
// 512 of RFC 5321 section 4.5.3.1.5.
const replyText = 480

// harmless makes a text fit for one line of a reply or a log: ASCII, short, and
// without anything that may be an address.
func harmless(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if at := strings.Trim(word, `.,;:()'"`); len(at) > 1 && strings.Contains(at, "@") {
			words[i] = "(address)"
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.Join(words, " "))
	return text[:min(len(text), replyText)]
}
