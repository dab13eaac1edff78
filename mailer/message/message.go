// Package message builds the bytes of one mailing to one recipient: header,
// text part and HTML part, ready to be signed and sent.
//
// It follows RFC 5322 (message format), RFC 2045 to 2047 (MIME), RFC 2369 and
// RFC 8058 (List-Unsubscribe, one-click), RFC 2919 (List-Id), RFC 3834
// (Auto-Submitted) and, for recipients with a local part beyond ASCII, RFC
// 6532. go-mail writes the message; this package formats each header value,
// puts the fields into one fixed order and picks the boundary, so that the same
// Mailing always gives the same bytes. It renders no template, signs nothing,
// escapes no leading dots and knows no SMTP.
package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"posthaste"
	"posthaste/internal/address"
)

// Mailing is one message to one recipient. Everything but ReplyTo, ListName and
// FeedbackID is required.
type Mailing struct {
	From        address.Mailbox
	ReplyTo     address.Mailbox // zero: none
	To          address.Mailbox // exactly this recipient; the name may hold anything but CR, LF and NUL
	Subject     string          // one line of UTF-8
	HTML        []byte          // UTF-8; any line ends
	Text        []byte          // UTF-8; any line ends
	MessageID   string          // without angle brackets; the same on every attempt
	Date        time.Time       // of the first attempt
	ListID      string          // "weekly.lists.example.com"
	ListName    string
	Unsubscribe string // https URL that takes the one-click POST; http for a loopback host only
	FeedbackID  string // "campaign:topic:mailing:sender"
}

// Build gives the complete message: lines end in CRLF, the last one too, and
// have at most 998 octets. It is 7-bit clean, except for the recipient's
// address when that NeedsSMTPUTF8. Equal mailings give equal bytes. A Mailing
// that cannot be sent safely is refused with a *posthaste.Error that names its
// fields and quotes none. Safe for concurrent use.
func Build(m Mailing) ([]byte, error) {
	if err := posthaste.RefuseAll(m.faults()); err != nil {
		return nil, err
	}
	text, html := crlf(m.Text), crlf(m.HTML)
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary(boundary(m.MessageID, text, html)))
	for _, f := range m.header() {
		msg.SetGenHeaderPreformatted(mail.Header(f.name), f.value)
	}
	// go-mail adds its own Date and Message-ID unless these are generic headers.
	msg.SetGenHeader(mail.HeaderDate, m.Date.UTC().Format(time.RFC1123Z))
	msg.SetGenHeader(mail.HeaderMessageID, "<"+m.MessageID+">")
	// RFC 2046 section 5.1.4: the preferred alternative stands last.
	msg.SetBodyWriter(mail.TypeTextPlain, writes(text), mail.WithPartEncoding(encoding(text)))
	msg.AddAlternativeWriter(mail.TypeTextHTML, writes(html), mail.WithPartEncoding(encoding(html)))

	var out bytes.Buffer
	out.Grow(2048 + 3*(len(text)+len(html))/2)
	if _, err := msg.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("write message: %w", err)
	}
	if err := arrange(out.Bytes()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writes(body []byte) func(io.Writer) (int64, error) {
	return func(w io.Writer) (int64, error) {
		n, err := w.Write(body)
		return int64(n), err
	}
}

// crlf makes every line end CRLF, which RFC 2045 section 6.8 wants before
// base64 and RFC 5321 section 2.3.8 on the wire.
func crlf(body []byte) []byte {
	out := make([]byte, 0, len(body)+len(body)/32+2)
	for {
		i := bytes.IndexByte(body, '\n')
		line := body
		if i >= 0 {
			line = bytes.TrimSuffix(body[:i], []byte("\r"))
		}
		if bytes.IndexByte(line, '\r') >= 0 { // lone ones
			line = bytes.ReplaceAll(line, []byte("\r"), []byte("\r\n"))
		}
		out = append(out, line...)
		if i < 0 {
			return out
		}
		out, body = append(out, "\r\n"...), body[i+1:]
	}
}

// encoding is the shorter of the two for the body. Quoted-printable takes three
// octets for one beyond ASCII, base64 four for three of any.
func encoding(body []byte) mail.Encoding {
	if long := bytes.Count(body, []byte("=")) + beyondASCII(body); 6*long > len(body) {
		return mail.EncodingB64
	}
	return mail.EncodingQP
}

// beyondASCII counts the octets above 127, eight at a time.
func beyondASCII(body []byte) (n int) {
	for ; len(body) >= 8; body = body[8:] {
		n += bits.OnesCount64(binary.NativeEndian.Uint64(body) & 0x8080808080808080)
	}
	for _, c := range body {
		n += int(c >> 7)
	}
	return n
}

// boundary gives a delimiter that stands in no body. Neither encoding can bring
// it forth: base64 has no hyphen, and the digits that quoted-printable adds
// follow an equals sign.
func boundary(messageID string, bodies ...[]byte) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(strconv.Itoa(n) + messageID))
		candidate := "posthaste-" + hex.EncodeToString(sum[:12])
		taken := false
		for _, body := range bodies {
			taken = taken || bytes.Contains(body, []byte(candidate))
		}
		if !taken {
			return candidate
		}
	}
}
