package inbound

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/charset"

	"posthaste"
)

// maxName bounds a file's name and a Content-ID in octets.
const maxName = 255

// file keeps a part as it is, its transfer encoding undone.
func (p *parts) file(h message.Header, kind string, params map[string]string, body io.Reader) reply {
	content, r := decode(h.Get("Content-Transfer-Encoding"), binary, body)
	if !r.none() {
		return r
	}
	disposition, name := disposed(h)
	f := posthaste.NoticeFile{
		Name:        fileName(cmp.Or(name, params["name"]), kind, p.seen),
		ContentType: fileType(kind, params["charset"]),
		Content:     content,
	}
	if strings.HasPrefix(kind, "image/") {
		f.ContentID = contentID(h.Get("Content-ID"))
	}
	if f.ContentID != "" && disposition == "attachment" {
		p.attached = append(p.attached, len(p.to.Files))
	}
	p.to.Files = append(p.to.Files, f)
	return reply{}
}

// finish decides about images that call themselves attachments and have a
// Content-ID: some programs give one to every file, so the HTML has the say.
func (p *parts) finish() {
	for _, i := range p.attached {
		if f := &p.to.Files[i]; !strings.Contains(p.to.HTML, "cid:"+f.ContentID) {
			f.ContentID = ""
		}
	}
}

// disposed reads Content-Disposition; what cannot be read is an attachment (RFC
// 2183 section 2.8).
func disposed(h message.Header) (disposition, name string) {
	value := h.Get("Content-Disposition")
	if value == "" {
		return "", ""
	}
	disposition, params, err := mime.ParseMediaType(value)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || disposition != "inline" {
		disposition = "attachment"
	}
	return disposition, params["filename"]
}

// fileType gives the type of a file, with the character set of a text.
func fileType(kind, charset string) string {
	if !strings.Contains(kind, "/") {
		return binary
	}
	if strings.HasPrefix(kind, "text/") && charset != "" {
		return cmp.Or(mime.FormatMediaType(kind, map[string]string{"charset": charset}), kind)
	}
	return kind
}

// fileName gives the last element of a name without what no name should hold. A
// file without a name is called by its place in the message.
func fileName(given, kind string, place int) string {
	decoder := mime.WordDecoder{CharsetReader: charset.Reader}
	if decoded, err := decoder.DecodeHeader(given); err == nil { // RFC 2047 section 5 forbids it there, and many do it
		given = decoded
	}
	given = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(given, ""))
	given = strings.TrimSpace(given[strings.LastIndexAny(given, `/\`)+1:])
	if strings.Trim(given, ". ") != "" && len(given) <= maxName {
		return given
	}
	endings := map[string]string{"text/plain": ".txt", "text/html": ".html", "message/rfc822": ".eml"}
	return fmt.Sprintf("part-%d%s", place, endings[kind])
}

// contentID gives an identifier that HTML can name, or nothing (RFC 2392).
func contentID(value string) string {
	id := withoutBrackets(value)
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\`, r) }
	if len(id) > maxName || strings.ContainsFunc(id, odd) {
		return ""
	}
	return id
}
