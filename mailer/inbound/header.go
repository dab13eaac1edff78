package inbound

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

const (
	// maxHeader bounds a message's header in octets. A field costs much more in
	// memory than on the wire.
	maxHeader = 128 << 10
	// maxValue bounds a field that is read here, in octets after decoding.
	maxValue = 998
)

// The fields that are for us alone.
const (
	typeField       = "X-Notice-Type"
	externalIDField = "X-Notice-External-ID"
	validUntilField = "X-Notice-Valid-Until"
	metadataField   = "X-Notice-Metadata"
)

// read takes a message with CR LF line ends apart. Only Key and To, which are not in it, stay empty.
// From, To, Bcc, Date and all other fields mean nothing here: the envelope has
// the recipients, and the notice type the sender.
func read(raw []byte) (Submission, reply) {
	head, body := split(raw)
	if len(head) > maxHeader {
		return Submission{}, bad("the header is longer than 128 KiB")
	}
	parsed, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return Submission{}, bad("the header cannot be read: a line of it is no field")
	}
	h := message.Header{Header: parsed}
	var s Submission
	if r := s.fields(h); !r.none() {
		return Submission{}, r
	}
	p := parts{to: &s}
	if r := p.entity(h, bytes.NewReader(body), 0); !r.none() {
		return Submission{}, r
	}
	p.finish()
	return s, reply{}
}

// split parts header and body at the empty line, which a message without a body lacks.
func split(raw []byte) (head, body []byte) {
	if rest, empty := bytes.CutPrefix(raw, []byte("\r\n")); empty {
		return nil, rest
	}
	head, body, _ = bytes.Cut(raw, []byte("\r\n\r\n"))
	return head, body
}

// fields reads what the header says to us.
func (s *Submission) fields(h message.Header) reply {
	switch h.FieldsByKey(typeField).Len() {
	case 0:
		return reply{code: 550, enhanced: "5.6.0", text: "the header " + typeField + " is missing: it names the notice type"}
	case 1:
	default:
		return reply{code: 550, enhanced: "5.6.0", text: "the header " + typeField + " stands there more than once: a message is one notice"}
	}
	var id, until string
	for _, field := range []struct {
		name string
		into *string
	}{
		{typeField, &s.Type}, {"Subject", &s.Subject}, {"Message-ID", &id}, {externalIDField, &s.ExternalID}, {validUntilField, &until},
	} {
		var r reply
		if *field.into, r = one(h, field.name); !r.none() {
			return r
		}
	}
	if s.Type == "" {
		return reply{code: 550, enhanced: "5.6.0", text: "the header " + typeField + " is empty: it names the notice type"}
	}
	s.Idempotency = withoutBrackets(id)
	if until != "" {
		at, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return bad("the header " + validUntilField + " must be a time such as 2026-11-24T12:00:00Z")
		}
		s.ValidUntil = at
	}
	return s.metadata(h)
}

// metadata reads name=value fields.
func (s *Submission) metadata(h message.Header) reply {
	fields := h.FieldsByKey(metadataField)
	for fields.Next() {
		text, r := value(metadataField, fields)
		if !r.none() {
			return r
		}
		name, value, found := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if _, twice := s.Metadata[name]; !found || name == "" || twice {
			return bad("the header " + metadataField + " must be name=value, with each name once")
		}
		if s.Metadata == nil {
			s.Metadata = map[string]string{}
		}
		s.Metadata[name] = strings.TrimSpace(value)
	}
	return reply{}
}

// one gives the value of a field that a message has at most once (RFC 5322
// section 3.6), or nothing.
func one(h message.Header, name string) (string, reply) {
	fields := h.FieldsByKey(name)
	switch fields.Len() {
	case 0:
		return "", reply{}
	case 1:
		fields.Next()
		return value(name, fields)
	}
	return "", bad("the header " + name + " stands there more than once")
}

// value gives a field's text with RFC 2047 undone. What is encoded may hold line
// ends, which in a header of ours would begin a field of the client's choice.
func value(name string, field message.HeaderFields) (string, reply) {
	text, err := field.Text()
	if err != nil || !utf8.ValidString(text) {
		return "", bad("the header " + name + " is not in a known character set")
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "\t", " "))
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", bad("the header " + name + " holds control characters")
	case len(text) > maxValue:
		return "", bad(fmt.Sprintf("the header %s is longer than %d octets", name, maxValue))
	}
	return text, reply{}
}

func withoutBrackets(id string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")
}
