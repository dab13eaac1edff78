package message

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// lineOctets is the length of an encoded line: RFC 2045 sections 6.7 (5) and 6.8.
const lineOctets = 76

var crlfBytes = []byte("\r\n")

// literal is a fixed text, encoded ahead.
type literal struct {
	plain    []byte
	startsLF bool // which a CR before it would make one line end with
	endsCR   bool
	quoted   run    // as if it began a line
	lines    []byte // plain, with CRLF at the end of each
	base64   [3]run // of lines, when so many octets are taken off the front
}

// run is encoded text. It can stand at any column at which its first line fits.
type run struct {
	wire   []byte
	head   int  // octets of the first line
	tail   int  // octets of the last line
	breaks bool // it has more lines than one
}

func newRun(wire []byte) run {
	head := bytes.Index(wire, crlfBytes)
	if head < 0 {
		return run{wire: wire, head: len(wire), tail: len(wire)}
	}
	return run{wire: wire, head: head, tail: len(wire) - bytes.LastIndex(wire, crlfBytes) - 2, breaks: true}
}

func newLiteral(text string, base64 bool) literal {
	l := literal{plain: []byte(text)}
	if text == "" {
		return l
	}
	l.startsLF, l.endsCR = text[0] == '\n', text[len(text)-1] == '\r'
	if !base64 {
		var b Body
		b.quote(l.plain)
		l.quoted = newRun(b.dst)
		return l
	}
	l.lines = crlf(l.plain)
	for skip := range min(len(l.base64), len(l.lines)) {
		l.base64[skip] = newRun(bytes.TrimSuffix(appendBase64(nil, l.lines[skip:skip+whole(l.lines, skip)]), crlfBytes))
	}
	return l
}

// Body encodes what one part of a message holds, as quoted-printable or base64
// (RFC 2045 sections 6.7 and 6.8). Each of CR LF, CR and LF becomes one line end.
type Body struct {
	dst    []byte
	part   *part
	column int     // in the encoded line
	cr     bool    // the last octet was a CR: an LF right after it belongs to it
	octets [3]byte // of base64, that do not make four letters yet
	have   int     // how many
	broken bool    // some value was not UTF-8
}

// Literal takes the nth of the part's fixed texts.
func (b *Body) Literal(n int) {
	l := &b.part.literals[n]
	switch {
	case len(l.plain) == 0:
		return
	case b.cr && l.startsLF:
		b.encode(l.plain)
		return
	}
	if b.part.base64 {
		b.literalBase64(l)
	} else {
		b.literalQuoted(l)
	}
	b.cr = l.endsCR
}

// Value takes a recipient's own text. It must be UTF-8.
func (b *Body) Value(text []byte) {
	b.broken = b.broken || !utf8.Valid(text)
	b.encode(text)
}

func (b *Body) encode(text []byte) {
	if b.part.base64 {
		b.base64(text)
	} else {
		b.quote(text)
	}
}

// end ends the encoded text; its last line has no end of its own.
func (b *Body) end() {
	if !b.part.base64 {
		b.hideBlank()
		return
	}
	if b.have > 0 {
		b.breakAt(lineOctets - 4)
		b.dst = base64.StdEncoding.AppendEncode(b.dst, b.octets[:b.have])
		b.have = 0
	}
}

func (b *Body) literalQuoted(l *literal) {
	room := lineOctets
	if !l.quoted.breaks {
		room-- // a soft line break may have to follow
	}
	if b.column+l.quoted.head > room {
		b.softBreak()
	}
	if l.quoted.head == 0 && l.quoted.breaks {
		b.hideBlank()
	}
	b.append(&l.quoted)
}

func (b *Body) append(r *run) {
	b.dst = append(b.dst, r.wire...)
	if r.breaks {
		b.column = r.tail
	} else {
		b.column += r.head
	}
}

// quote encodes text as quoted-printable.
func (b *Body) quote(text []byte) {
	for i := 0; i < len(text); {
		from := i
		if b.column > 0 || text[i] != '.' { // a dot never begins a line: RFC 5321 section 4.5.2
			for most := min(len(text), i+lineOctets-1-b.column); i < most && quotedLiteral[text[i]]; i++ {
			}
		}
		if i > from {
			b.dst, b.column, b.cr = append(b.dst, text[from:i]...), b.column+i-from, false
			continue
		}
		switch c := text[i]; {
		case quotedLiteral[c] && b.column > 0: // the line is full
			b.softBreak()
			continue
		case c == '\n' && b.cr:
			b.cr = false
		case c == '\n', c == '\r':
			b.hideBlank()
			b.dst, b.column, b.cr = append(b.dst, "\r\n"...), 0, c == '\r'
		default:
			b.octet(c)
			b.cr = false
		}
		i++
	}
}

func (b *Body) softBreak() {
	b.dst, b.column = append(b.dst, "=\r\n"...), 0
}

func (b *Body) octet(c byte) {
	if b.column > lineOctets-1-3 {
		b.softBreak()
	}
	b.dst, b.column = append(b.dst, '=', upperHex[c>>4], upperHex[c&15]), b.column+3
}

// hideBlank encodes a blank that would end a line: RFC 2045 section 6.7 (3).
func (b *Body) hideBlank() {
	if b.column == 0 {
		return
	}
	last := len(b.dst) - 1
	if c := b.dst[last]; c == ' ' || c == '\t' {
		b.dst, b.column = b.dst[:last], b.column-1
		b.octet(c)
	}
}

// quotedLiteral is what stands for itself within a line.
var quotedLiteral = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '='
	}
	table['\t'] = true
	return table
}()

func (b *Body) literalBase64(l *literal) {
	skip := (3 - b.have) % 3
	if len(l.lines) < skip+3 {
		b.push(l.lines)
		return
	}
	b.push(l.lines[:skip])
	r := &l.base64[skip]
	if b.column+r.head > lineOctets {
		b.dst, b.column = append(b.dst, "\r\n"...), 0
	}
	b.append(r)
	b.push(l.lines[skip+whole(l.lines, skip):])
}

// whole is how many octets behind the first skip make whole groups of letters.
func whole(lines []byte, skip int) int { return (len(lines) - skip) / 3 * 3 }

// base64 encodes text as far as it makes whole groups of four letters.
func (b *Body) base64(text []byte) {
	for i, c := range text {
		switch {
		case c == '\n' && b.cr:
		case c == '\n' || c == '\r':
			b.push(crlfBytes)
		default:
			b.push(text[i : i+1])
		}
		b.cr = c == '\r'
	}
}

func (b *Body) push(octets []byte) {
	for _, c := range octets {
		b.octets[b.have] = c
		if b.have++; b.have == len(b.octets) {
			b.breakAt(lineOctets - 4)
			b.dst, b.column, b.have = base64.StdEncoding.AppendEncode(b.dst, b.octets[:]), b.column+4, 0
		}
	}
}

// breakAt begins a new line past a column.
func (b *Body) breakAt(column int) {
	if b.column > column {
		b.dst, b.column = append(b.dst, "\r\n"...), 0
	}
}

// appendBase64 encodes in lines of 76 octets, each ended.
func appendBase64(dst, body []byte) []byte {
	const octets = lineOctets / 4 * 3
	for len(body) > 0 {
		n := min(octets, len(body))
		dst = append(base64.StdEncoding.AppendEncode(dst, body[:n]), "\r\n"...)
		body = body[n:]
	}
	return dst
}
