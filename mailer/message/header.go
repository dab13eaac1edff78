package message

import (
	"bytes"
	"errors"
	"strings"

	"posthaste/internal/address"
)

// field is a header field with its value as it goes on the wire.
type field struct{ name, value string }

// order is the one order of fields, and all the fields there are.
var order = []string{
	"Date", "From", "To", "Reply-To", "Subject", "Message-ID",
	"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID",
	"Auto-Submitted", "Precedence", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}

// header gives the fields that go-mail is to write as they are.
func (m Mailing) header() []field {
	fields := []field{
		{"From", mailbox("From: ", m.From)},
		{"To", mailbox("To: ", m.To)},
		{"Subject", unstructured("Subject: ", m.Subject)},
		{"List-Id", phraseAnd("List-Id: ", m.ListName, "<"+m.ListID+">")},
		// RFC 8058 section 3.1. The URI stands on one line however long it is:
		// a fold inside it would change it.
		{"List-Unsubscribe", "<" + m.Unsubscribe + ">"},
		{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 section 5
		{"Precedence", "bulk"},               // no standing, but old responders heed it
	}
	if m.ReplyTo != (address.Mailbox{}) {
		fields = append(fields, field{"Reply-To", mailbox("Reply-To: ", m.ReplyTo)})
	}
	if m.FeedbackID != "" {
		fields = append(fields, field{"Feedback-ID", m.FeedbackID})
	}
	return fields
}

func mailbox(start string, m address.Mailbox) string {
	if m.Name == "" {
		return m.String()
	}
	return phraseAnd(start, m.Name, "<"+m.String()+">")
}

// errHeader means that go-mail wrote a header this package does not know.
var errHeader = errors.New("message: unexpected header field")

// arrange puts the fields of a message into order, in place: go-mail writes
// them in the order of a map. It fails on a field that is unknown or repeated.
func arrange(message []byte) error {
	end := bytes.Index(message, []byte("\r\n\r\n"))
	if end < 0 {
		return errHeader
	}
	header := string(message[:end+2])
	found := make(map[string]string, len(order))
	for rest := header; rest != ""; {
		n := fieldLength(rest)
		name, _, _ := strings.Cut(rest[:n], ":")
		if _, twice := found[name]; twice {
			return errHeader
		}
		found[name] = rest[:n]
		rest = rest[n:]
	}
	at := 0
	for _, name := range order {
		at += copy(message[at:], found[name])
	}
	if at != len(header) {
		return errHeader
	}
	return nil
}

// fieldLength is the length of the first field with its folded lines.
func fieldLength(header string) int {
	for n := 0; ; {
		i := strings.Index(header[n:], "\r\n")
		if i < 0 {
			return len(header)
		}
		n += i + 2
		if n == len(header) || header[n] != ' ' && header[n] != '\t' {
			return n
		}
	}
}
