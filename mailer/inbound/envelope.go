package inbound

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste"
	"posthaste/internal/address"
)

// mail opens a transaction. The sender that it names is not used: the notice
// type has its own.
func (d *dialogue) mail(arg string) reply {
	switch {
	case !d.greeted:
		return sequence("say EHLO first")
	case d.key == nil && !d.private(): // RFC 3207 section 4
		return reply{code: 530, enhanced: "5.7.0", text: "authenticate first; " + d.wayIn()}
	case d.key == nil: // RFC 4954 section 6
		return reply{code: 530, enhanced: "5.7.0", text: "authenticate first"}
	case d.open:
		return sequence("a message is being sent already")
	case !d.key.Works(time.Now()): // it may have run out on a long connection
		return reply{code: 550, enhanced: "5.7.1", text: "the key works no more"}
	case !d.key.May(posthaste.SendNotices):
		return reply{code: 550, enhanced: "5.7.1", text: fmt.Sprintf("the key lacks the scope %s", posthaste.SendNotices)}
	}
	_, params, ok := cutPath(arg, "FROM:")
	if !ok {
		return syntax("write MAIL FROM:<address>")
	}
	for _, param := range params {
		if r := d.mailParam(param); !r.none() {
			return r
		}
	}
	d.open = true
	d.occupy(true)
	return reply{code: 250, enhanced: "2.1.0", text: "ok"}
}

// mailParam obeys one parameter of MAIL.
func (d *dialogue) mailParam(param string) reply {
	name, value, _ := strings.Cut(param, "=")
	switch strings.ToUpper(name) {
	case "SIZE": // RFC 1870 section 6.1
		size, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return syntax("SIZE must be a number")
		}
		if size > uint64(d.server.size) {
			return d.tooLarge()
		}
	case "BODY": // RFC 6152: either is read alike
		if body := strings.ToUpper(value); body != "7BIT" && body != "8BITMIME" {
			return syntax("BODY must be 7BIT or 8BITMIME")
		}
	case "SMTPUTF8": // RFC 6531: taken with and without
	case "AUTH": // RFC 4954 section 5: nobody is trusted to name somebody else
	default:
		return reply{code: 555, enhanced: "5.5.4", text: "unknown parameter of MAIL"}
	}
	return reply{}
}

func (d *dialogue) tooLarge() reply {
	return reply{code: 552, enhanced: "5.3.4", text: fmt.Sprintf("a message may have %d octets", d.server.size)}
}

// rcpt adds a recipient; a mailbox that is named twice is one.
func (d *dialogue) rcpt(arg string) reply {
	if !d.open {
		return sequence("say MAIL first")
	}
	path, params, ok := cutPath(arg, "TO:")
	switch {
	case !ok:
		return syntax("write RCPT TO:<address>")
	case len(params) > 0:
		return reply{code: 555, enhanced: "5.5.4", text: "unknown parameter of RCPT"}
	}
	to, err := address.Parse(path)
	if err != nil {
		reason := "is not valid"
		if fields := posthaste.FieldsOf(err); len(fields) > 0 {
			reason = fields[0].Reason
		}
		return reply{code: 501, enhanced: "5.1.3", text: harmless("the address " + reason)}
	}
	if d.known[to.Canonical()] {
		return reply{code: 250, enhanced: "2.1.5", text: "ok"}
	}
	if len(d.to) >= MaxRecipients {
		return reply{code: 452, enhanced: "4.5.3", text: fmt.Sprintf("a message may have %d recipients", MaxRecipients)}
	}
	if d.known == nil {
		d.known = map[string]bool{}
	}
	d.known[to.Canonical()] = true
	d.to = append(d.to, to.String())
	return reply{code: 250, enhanced: "2.1.5", text: "ok"}
}

// cutPath takes "FROM:<path> NAME=value" apart (RFC 5321 section 4.1.2). What is
// quoted in the path may hold a ">".
func cutPath(arg, keyword string) (path string, params []string, ok bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", nil, false
	}
	arg, ok = strings.CutPrefix(strings.TrimLeft(arg[len(keyword):], " "), "<") // the space is wrong and common
	if !ok {
		return "", nil, false
	}
	quoted := false
	for i := 0; i < len(arg); i++ {
		switch c := arg[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			rest := arg[i+1:]
			return arg[:i], strings.Fields(rest), rest == "" || rest[0] == ' '
		}
	}
	return "", nil, false
}
