package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"posthaste"
	"posthaste/internal/address"
)

// Notice is one account notice to one recipient. HTML, ReplyTo, Files,
// Unsubscribe and FeedbackID may be missing.
type Notice struct {
	From        address.Mailbox
	ReplyTo     address.Mailbox
	To          address.Mailbox
	Subject     string
	HTML        []byte
	Text        []byte
	MessageID   string // without angle brackets; the same on every attempt
	Date        time.Time
	FeedbackID  string
	Unsubscribe string // https URL that takes the one-click POST: of an optional type only (RFC 8058)
	Files       []posthaste.NoticeFile
}

// BuildNotice gives the complete message as Build does, without the header
// fields of a mailing. Equal notices give equal bytes. Safe for concurrent use.
func BuildNotice(n Notice) ([]byte, error) {
	if err := posthaste.RefuseAll(n.faults()); err != nil {
		return nil, err
	}
	text, html := crlf(n.Text), crlf(n.HTML)
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	for _, f := range n.header() {
		msg.SetGenHeaderPreformatted(mail.Header(f.name), f.value)
	}
	msg.SetGenHeader(mail.HeaderDate, n.Date.UTC().Format(time.RFC1123Z))
	msg.SetGenHeader(mail.HeaderMessageID, "<"+n.MessageID+">")
	msg.SetBodyWriter(mail.TypeTextPlain, writes(text), mail.WithPartEncoding(encoding(text)))
	if len(n.HTML) > 0 {
		msg.AddAlternativeWriter(mail.TypeTextHTML, writes(html), mail.WithPartEncoding(encoding(html)))
	}
	for _, f := range n.Files {
		if err := attach(msg, f); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("write message: %w", err)
	}
	if err := arrange(out.Bytes()); err != nil {
		return nil, err
	}
	return settleBoundaries(out.Bytes(), n.MessageID), nil
}

// attach adds an attachment, or an image that the HTML shows (RFC 2392).
func attach(msg *mail.Msg, f posthaste.NoticeFile) error {
	options := []mail.FileOption{mail.WithFileContentType(mail.ContentType(f.ContentType)), mail.WithFileEncoding(mail.EncodingB64)}
	content := io.Reader(bytes.NewReader(f.Content))
	if f.ContentID == "" {
		return msg.AttachReader(f.Name, content, options...)
	}
	return msg.EmbedReader(f.Name, content, append(options, mail.WithFileContentID("<"+f.ContentID+">"))...)
}

// randomBoundary is how go-mail's own boundaries look in a Content-Type.
var randomBoundary = regexp.MustCompile(`boundary="?([0-9a-f]{40,70})`)

// settleBoundaries replaces the random boundaries by ones that follow from the
// message's id, as long and as unlikely to stand in a body.
func settleBoundaries(message []byte, id string) []byte {
	for i, found := range randomBoundary.FindAllSubmatch(message, -1) {
		a, b := sha256.Sum256(fmt.Appendf(nil, "%d a %s", i, id)), sha256.Sum256(fmt.Appendf(nil, "%d b %s", i, id))
		settled := hex.EncodeToString(append(a[:], b[:]...))[:len(found[1])]
		message = bytes.ReplaceAll(message, bytes.Clone(found[1]), []byte(settled))
	}
	return message
}

// header gives the fields that go-mail is to write as they are.
func (n Notice) header() []field {
	fields := []field{
		{"From", mailbox("From: ", n.From)},
		{"To", mailbox("To: ", n.To)},
		{"Subject", unstructured("Subject: ", n.Subject)},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 section 5
	}
	if n.ReplyTo != (address.Mailbox{}) {
		fields = append(fields, field{"Reply-To", mailbox("Reply-To: ", n.ReplyTo)})
	}
	if n.FeedbackID != "" {
		fields = append(fields, field{"Feedback-ID", n.FeedbackID})
	}
	if n.Unsubscribe != "" { // RFC 8058 section 3.1
		fields = append(fields, field{"List-Unsubscribe", "<" + n.Unsubscribe + ">"}, field{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"})
	}
	return fields
}

// faults lists what keeps the notice from being sent.
func (n Notice) faults() []posthaste.Field {
	// What a mailing must have and a notice need not is given for the check.
	whole := Mailing{From: n.From, ReplyTo: n.ReplyTo, To: n.To, Subject: n.Subject, HTML: n.HTML, Text: n.Text, MessageID: n.MessageID, Date: n.Date,
		ListID: "notice.invalid", Unsubscribe: n.Unsubscribe, FeedbackID: n.FeedbackID}
	if len(n.HTML) == 0 {
		whole.HTML = n.Text
	}
	if n.Unsubscribe == "" {
		whole.Unsubscribe = "https://notice.invalid/u/none"
	}
	fields := whole.faults()
	for _, f := range n.Files {
		fields = append(fields, FileFaults(f)...)
	}
	return fields
}

// ContentFaults says what keeps a subject and a text part from being sent, by
// the fields subject and text.
func ContentFaults(subject string, text []byte) (fields []posthaste.Field) {
	if reason := subjectFault(subject); reason != "" {
		fields = append(fields, posthaste.Field{Name: "subject", Reason: reason})
	}
	if reason := bodyFault(text); reason != "" {
		fields = append(fields, posthaste.Field{Name: "text", Reason: reason})
	}
	return fields
}

// maxFileName is in characters.
const maxFileName = 200

// mediaType is type/subtype of RFC 6838 section 4.2, without parameters.
var mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// FileFaults says what keeps a file from being sent, by the fields name,
// content_type and content_id.
func FileFaults(f posthaste.NoticeFile) (fields []posthaste.Field) {
	if f.Name == "" {
		fields = append(fields, posthaste.Field{Name: "name", Reason: "must not be empty"})
	} else if reason := lineFault(f.Name, maxFileName); reason != "" {
		fields = append(fields, posthaste.Field{Name: "name", Reason: reason})
	}
	if !mediaType.MatchString(f.ContentType) {
		fields = append(fields, posthaste.Field{Name: "content_type", Reason: "must be of the form type/subtype, without parameters"})
	}
	if f.ContentID != "" && !contentID(f.ContentID) {
		fields = append(fields, posthaste.Field{Name: "content_id", Reason: "may have letters, digits, dots, hyphens and one @"})
	}
	return fields
}

// contentID accepts dot-atom text with at most one @ (RFC 2045 section 7).
func contentID(id string) bool {
	left, right, at := strings.Cut(id, "@")
	return len(id) <= maxID && dotAtom(left) && (!at || dotAtom(right))
}
