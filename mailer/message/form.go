package message

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/wneessen/go-mail"

	"posthaste"
	"posthaste/internal/address"
)

// Form is a mailing's message, built once and cut at what differs between
// recipients: To, Subject, MessageID, Unsubscribe and the values in the two
// bodies. What is fixed is encoded already, so that a copy is mostly copying.
// It is immutable and safe for concurrent use.
type Form struct {
	start, replyTo, list, end []byte // runs of header fields that never change
	kind                      []byte // Content-Type, and the end of the header
	text, html                part
	close                     []byte // the last boundary
	link                      string // the sample's Unsubscribe up to its last slash
}

// part is one body of a Form.
type part struct {
	head     []byte // boundary and header of the part
	base64   bool
	literals []literal
}

// ErrForm means that the plain way writes another message than a Form would: a
// library that writes messages in another way. Build has to be used then.
var ErrForm = errors.New("message: a form does not give what Build gives")

// NewForm makes the form of the mailings that share From, ReplyTo, Date,
// ListID, ListName and FeedbackID with sample. The bodies of the sample do not
// count: text and html are the fixed texts that Fill is to be given by number.
// The sample is built once by Build, so that every fault of its header is
// found, and the form's header is cut from what it gives.
func NewForm(sample Mailing, text, html []string) (*Form, error) {
	built, err := Build(sample)
	if err != nil {
		return nil, err
	}
	head, _, _ := strings.Cut(string(built), "\r\n\r\n")
	f := &Form{link: sample.Unsubscribe[:strings.LastIndexByte(sample.Unsubscribe, '/')+1]}
	run := &f.start
	for rest := head + "\r\n"; rest != ""; {
		n := fieldLength(rest)
		name, _, _ := strings.Cut(rest[:n], ":")
		switch name {
		case "To":
			run = &f.replyTo
		case "Subject":
			run = nil // Message-ID follows
		case "Message-ID":
			run = &f.list
		case "List-Unsubscribe":
			run = &f.end
		case "Content-Type":
		default:
			if run == nil {
				return nil, ErrForm
			}
			*run = append(*run, rest[:n]...)
		}
		rest = rest[n:]
	}
	// RFC 2045 section 6.7 recommends a boundary with "=_": neither encoding can
	// bring that forth, whatever a recipient's values are.
	sum := sha256.Sum256(append(f.start, f.list...))
	boundary := "=_" + hex.EncodeToString(sum[:12])
	f.kind = []byte("Content-Type: multipart/alternative;\r\n boundary=\"" + boundary + "\"\r\n\r\n")
	f.close = []byte("\r\n--" + boundary + "--\r\n")
	f.text, f.html = newPart(boundary, "text/plain", text), newPart(boundary, "text/html", html)
	f.html.head = append([]byte("\r\n"), f.html.head...)
	// The header must be what the plain way writes, but for the boundary.
	filled, err := f.appendHeader(nil, sample.personal())
	if err == nil && !strings.HasPrefix(head+"\r\n", string(filled)) {
		err = ErrForm
	}
	return f, err
}

func newPart(boundary, kind string, texts []string) part {
	var all []byte
	for _, text := range texts {
		all = append(all, text...)
	}
	e := encoding(all)
	p := part{base64: e == mail.EncodingB64, literals: make([]literal, len(texts))}
	p.head = []byte("--" + boundary + "\r\nContent-Transfer-Encoding: " + string(e) + "\r\nContent-Type: " + kind + "; charset=UTF-8\r\n\r\n")
	for i, text := range texts {
		p.literals[i] = newLiteral(text, p.base64)
	}
	return p
}

// Personal is what a Form lacks in its header.
type Personal struct {
	To          address.Mailbox
	Subject     string
	MessageID   string
	Unsubscribe string
}

func (m Mailing) personal() Personal {
	return Personal{To: m.To, Subject: m.Subject, MessageID: m.MessageID, Unsubscribe: m.Unsubscribe}
}

// faults are as Build finds them.
func (f *Form) faults(p Personal) []posthaste.Field {
	link := ""
	if !extends(f.link, p.Unsubscribe) {
		link = urlFault(p.Unsubscribe)
	}
	var fields []posthaste.Field
	for _, check := range [...]struct{ name, reason string }{
		{"to", mailboxFault(p.To)}, {"subject", subjectFault(p.Subject)}, {"message_id", messageIDFault(p.MessageID)}, {"unsubscribe", link},
	} {
		if check.reason != "" {
			fields = append(fields, posthaste.Field{Name: check.name, Reason: check.reason})
		}
	}
	return fields
}

func (f *Form) appendHeader(dst []byte, p Personal) ([]byte, error) {
	if err := posthaste.RefuseAll(f.faults(p)); err != nil {
		return dst, err
	}
	dst = append(dst, f.start...)
	dst = appendField(dst, "To: ", mailbox("To: ", p.To))
	dst = append(dst, f.replyTo...)
	dst = appendField(dst, "Subject: ", unstructured("Subject: ", p.Subject))
	dst = appendField(dst, "Message-ID:", messageIDValue(p.MessageID))
	dst = append(dst, f.list...)
	dst = append(append(append(dst, "List-Unsubscribe: <"...), p.Unsubscribe...), ">\r\n"...)
	return append(dst, f.end...), nil
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

// Filling is one message of a Form while it is being filled in. It can be used
// again and again; one goroutine at a time.
type Filling struct {
	form *Form
	body Body
}

// Begin starts a message and appends to dst: its header, and that of the text
// part, whose contents are to be given to Text. Faults are as in Build.
func (f *Form) Begin(into *Filling, dst []byte, p Personal) error {
	dst, err := f.appendHeader(dst, p)
	if err != nil {
		return err
	}
	dst = append(append(dst, f.kind...), f.text.head...)
	into.form, into.body = f, Body{dst: dst, part: &f.text}
	return nil
}

// Body takes the contents of the part that is open.
func (f *Filling) Body() *Body { return &f.body }

// HTML ends the text part and opens the HTML part.
func (f *Filling) HTML() {
	f.body.end()
	f.body = Body{dst: append(f.body.dst, f.form.html.head...), part: &f.form.html, broken: f.body.broken}
}

// End gives dst with the whole message, in the form for the wire: lines end in
// CRLF and none begins with a dot. It is refused when a value was not UTF-8.
func (f *Filling) End() ([]byte, error) {
	f.body.end()
	if f.body.broken {
		return nil, posthaste.Refuse("html", "is not UTF-8")
	}
	return append(f.body.dst, f.form.close...), nil
}
