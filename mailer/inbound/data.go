package inbound

import (
	"bufio"
	"bytes"
	"context"
	"errors"
)

// block is how much of a message has Options.Timeout to arrive.
const block = 64 << 10

// data takes the message in: what is answered with 250 has been stored.
func (d *dialogue) data(ctx context.Context, arg string) reply {
	switch {
	case arg != "":
		return syntax("DATA stands alone")
	case len(d.to) == 0:
		return sequence("there is no recipient")
	}
	defer d.reset()
	if d.say("354 go ahead, end with a dot on a line\r\n") != nil {
		return reply{last: true}
	}
	message, r := d.message()
	if !r.none() {
		return r
	}
	s, r := read(message)
	if !r.none() {
		return r
	}
	s.Key, s.To = *d.key, d.to
	// A client waits for 10 minutes (RFC 5321 section 4.5.3.2.6).
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	id, err := d.server.notices.Submit(ctx, s)
	if err != nil {
		return d.server.refusal(ctx, s.Key.ID, err)
	}
	return reply{code: 250, enhanced: "2.6.0", text: harmless(id) + " queued"}
}

// message reads up to CR LF, dot, CR LF and no other sequence: whoever takes
// less for the end can be made to read a second message inside the first. A
// message with a lone CR or LF is refused altogether, as RFC 5321 section 2.3.8
// has it, since some other server may have split it differently.
func (d *dialogue) message() ([]byte, reply) {
	var message []byte
	var fault reply
	var total, armed int64
	begins, before := true, byte(0) // at a line's begin; the octet before it otherwise
	for {
		if total >= armed {
			if err := d.arm(); err != nil {
				return nil, d.farewell(err)
			}
			armed = total + block
		}
		part, err := d.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, d.farewell(err)
		}
		if begins && string(part) == ".\r\n" {
			return message, fault
		}
		total += int64(len(part))
		ends := bytes.HasSuffix(part, []byte("\r\n")) || string(part) == "\n" && !begins && before == '\r'
		switch {
		case total > 2*d.server.size: // it does not heed SIZE, and may never end
			return nil, reply{code: 552, enhanced: "5.3.4", text: d.tooLarge().text, last: true}
		case total > d.server.size:
			fault = d.tooLarge()
		case !fault.none():
		case err != nil || !begins:
			fault = bad("a line is too long")
		case !ends || bytes.IndexByte(part[:len(part)-2], '\r') >= 0:
			fault = bad("a line must end in CR LF and hold neither of them")
		}
		if !fault.none() {
			message = nil
		} else {
			message = append(message, unstuffed(part)...)
		}
		begins, before = ends, part[len(part)-1]
	}
}

// unstuffed takes away the dot that was put before a line's own (RFC 5321 section 4.5.2).
func unstuffed(line []byte) []byte { return bytes.TrimPrefix(line, []byte(".")) }
