package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/wneessen/go-mail"

	"posthaste"
)

// Form is a mailing's message with blanks for what differs between recipients:
// To, Subject, MessageID, Unsubscribe and the two bodies. It fills them in many
// times faster than Build, and gives the same bytes. It is immutable and safe
// for concurrent use.
type Form struct {
	start, replyTo, list, end []byte // header fields that never change, in their order
}

// ErrForm means that Build gives other bytes than a Form would: a library that
// writes messages in another way. Build has to be used then.
var ErrForm = errors.New("message: a form does not give what Build gives")

// NewForm makes the form of the mailings that share From, ReplyTo, Date,
// ListID, ListName and FeedbackID with m. It builds m once, so that every fault
// of those is found, and compares.
func NewForm(m Mailing) (*Form, error) {
	want, err := Build(m)
	if err != nil {
		return nil, err
	}
	fixed := map[string]string{"Date": m.Date.UTC().Format(time.RFC1123Z), "MIME-Version": "1.0"}
	for _, field := range m.header() {
		fixed[field.name] = field.value
	}
	lines := func(names ...string) (out []byte) {
		for _, name := range names {
			if value, ok := fixed[name]; ok {
				out = append(append(append(append(out, name...), ": "...), value...), "\r\n"...)
			}
		}
		return out
	}
	f := &Form{
		start: lines("Date", "From"), replyTo: lines("Reply-To"), list: lines("List-Id"),
		end: lines("List-Unsubscribe-Post", "Feedback-ID", "Auto-Submitted", "Precedence", "MIME-Version"),
	}
	got, err := f.Append(nil, m)
	if err == nil && !bytes.Equal(got, want) {
		err = ErrForm
	}
	return f, err
}

// Append appends the message to dst: the bytes that Build gives for m. Only the
// fields that may differ are read. Faults are as in Build.
func (f *Form) Append(dst []byte, m Mailing) ([]byte, error) {
	if err := posthaste.RefuseAll(m.personalFaults()); err != nil {
		return dst, err
	}
	text, html := crlf(m.Text), crlf(m.HTML)
	between := boundary(m.MessageID, text, html)

	dst = append(dst, f.start...)
	dst = appendField(dst, "To: ", mailbox("To: ", m.To))
	dst = append(dst, f.replyTo...)
	dst = appendField(dst, "Subject: ", unstructured("Subject: ", m.Subject))
	dst = appendField(dst, "Message-ID:", messageIDValue(m.MessageID))
	dst = append(dst, f.list...)
	dst = appendField(dst, "List-Unsubscribe: ", "<"+m.Unsubscribe+">")
	dst = append(dst, f.end...)
	dst = appendField(dst, "Content-Type: ", "multipart/alternative;\r\n boundary="+between)
	dst = append(dst, "\r\n"...)
	dst = appendPart(dst, between, "text/plain", text)
	dst = appendPart(dst, between, "text/html", html)
	return append(append(append(dst, "--"...), between...), "--\r\n"...), nil
}

// personalFaults are those of the fields that Append reads.
func (m Mailing) personalFaults() []posthaste.Field {
	var fields []posthaste.Field
	for _, check := range [...]struct{ name, reason string }{
		{"to", mailboxFault(m.To)}, {"subject", subjectFault(m.Subject)}, {"html", bodyFault(m.HTML)}, {"text", bodyFault(m.Text)},
		{"message_id", messageIDFault(m.MessageID)}, {"unsubscribe", urlFault(m.Unsubscribe)},
	} {
		if check.reason != "" {
			fields = append(fields, posthaste.Field{Name: check.name, Reason: check.reason})
		}
	}
	return fields
}

func appendField(dst []byte, name, value string) []byte {
	return append(append(append(dst, name...), value...), "\r\n"...)
}

// messageIDValue folds as go-mail does when the id leaves no room behind the
// field's name.
func messageIDValue(id string) string {
	const room = 72
	if len("Message-ID: ")+len(id)+2 > room {
		return "\r\n <" + id + ">"
	}
	return " <" + id + ">"
}

func appendPart(dst []byte, between, kind string, body []byte) []byte {
	e := encoding(body)
	dst = append(append(append(dst, "--"...), between...), "\r\nContent-Transfer-Encoding: "...)
	dst = append(append(dst, e...), "\r\nContent-Type: "...)
	dst = append(append(dst, kind...), "; charset=UTF-8\r\n\r\n"...)
	if e == mail.EncodingB64 {
		dst = appendBase64(dst, body)
	} else {
		dst = appendQP(dst, body)
	}
	return append(dst, "\r\n"...)
}

// lineOctets is the length of an encoded line: RFC 2045 sections 6.7 (5) and 6.8.
const lineOctets = 76

// appendQP encodes a body whose lines end in CRLF (RFC 2045 section 6.7), with
// the same line breaks as mime/quotedprintable.
func appendQP(dst, body []byte) []byte {
	for line := range bytes.SplitSeq(body, crlfBytes) {
		dst = append(appendQPLine(dst, line), "\r\n"...)
	}
	return dst[:len(dst)-2] // the last line has no end of its own
}

var crlfBytes = []byte("\r\n")

func appendQPLine(dst, line []byte) []byte {
	column := 0
	blank := len(line) > 0 && (line[len(line)-1] == ' ' || line[len(line)-1] == '\t')
	for i := 0; i < len(line); {
		run := i
		for most := min(len(line), i+lineOctets-1-column); run < most && qpLiteral[line[run]]; run++ {
		}
		dst, column, i = append(dst, line[i:run]...), column+run-i, run
		if i == len(line) {
			break
		}
		if qpLiteral[line[i]] { // the line is full
			dst, column = append(dst, "=\r\n"...), 0
			continue
		}
		dst, column = appendQPOctet(dst, line[i], column)
		i++
	}
	if blank { // RFC 2045 section 6.7 (3): a blank may not end a line
		dst, _ = appendQPOctet(dst[:len(dst)-1], line[len(line)-1], column-1)
	}
	return dst
}

func appendQPOctet(dst []byte, c byte, column int) ([]byte, int) {
	if lineOctets-1-column < 3 {
		dst, column = append(dst, "=\r\n"...), 0
	}
	return append(dst, '=', upperHex[c>>4], upperHex[c&15]), column + 3
}

// qpLiteral is what stands for itself within a line.
var qpLiteral = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '='
	}
	table['\t'] = true
	return table
}()

// appendBase64 encodes in lines of 76 octets, each ended.
func appendBase64(dst, body []byte) []byte {
	const octets = lineOctets / 4 * 3
	for line := range slices.Chunk(body, octets) {
		dst = append(base64.StdEncoding.AppendEncode(dst, line), "\r\n"...)
	}
	return dst
}
