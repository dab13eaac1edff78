package inbound

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // makes message.New read every character set
)

// What a message may consist of.
const (
	maxDepth = 20   // multiparts in multiparts
	maxParts = 1000 // in all, the multiparts with them
)

// binary is the type of what is not text and of what has no type.
const binary = "application/octet-stream"

// parts reads the body of a message part by part. mime/multipart takes it apart,
// since it bounds the headers of parts, and go-message decodes it.
type parts struct {
	to       *Submission
	seen     int
	text     bool  // the text part was there
	html     bool  // the HTML part was there
	attached []int // of the files, those with a Content-ID that call themselves attachments
}

// entity reads the message or one of its parts.
func (p *parts) entity(h message.Header, body io.Reader, depth int) reply {
	if p.seen++; p.seen > maxParts {
		return bad("the message has more than 1,000 parts")
	}
	if h.FieldsByKey("Content-Type").Len() > 1 {
		return bad("a part has more than one Content-Type")
	}
	kind, params, err := mime.ParseMediaType(cmp.Or(h.Get("Content-Type"), "text/plain"))
	switch {
	case err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter): // its type is known all the same
		return bad("a part has a Content-Type that cannot be read")
	case strings.HasPrefix(kind, "multipart/"):
		return p.multipart(body, params["boundary"], depth+1)
	}
	disposition, name := disposed(h)
	own := disposition != "attachment" && name == "" // a part of the message itself
	switch {
	case own && kind == "text/plain" && !p.text:
		p.text = true
		return readText(&p.to.Text, h, body)
	case own && kind == "text/html" && !p.html:
		p.html = true
		return readText(&p.to.HTML, h, body)
	}
	return p.file(h, kind, params, body)
}

// multipart reads the parts of a part.
func (p *parts) multipart(body io.Reader, boundary string, depth int) reply {
	switch {
	case depth > maxDepth:
		return bad("the parts of the message are nested deeper than 20 levels")
	case boundary == "":
		return bad("a multipart names no boundary")
	}
	// Without the empty line, the end of the message in the header of a part
	// would look like the end of the multipart.
	reader := multipart.NewReader(io.MultiReader(body, strings.NewReader("\r\n\r\n")), boundary)
	for {
		part, err := reader.NextRawPart()
		if err == io.EOF { // not errors.Is: a multipart that was cut short wraps it
			return reply{}
		}
		if err != nil {
			return bad("a multipart is malformed or has no end")
		}
		if r := p.entity(message.HeaderFromMap(part.Header), part, depth); !r.none() {
			return r
		}
	}
}

// readText decodes a text part to UTF-8 with LF line ends.
func readText(into *string, h message.Header, body io.Reader) reply {
	content, r := decode(h.Get("Content-Transfer-Encoding"), h.Get("Content-Type"), body)
	if !r.none() {
		return r
	}
	text := string(content)
	switch {
	case !utf8.ValidString(text):
		return bad("a text is not in the character set that it names")
	case strings.ContainsRune(text, 0):
		return bad("a text holds NUL")
	}
	*into = strings.ReplaceAll(text, "\r\n", "\n")
	return reply{}
}

// decode undoes a transfer encoding, and the character set of a text.
func decode(encoding, contentType string, body io.Reader) ([]byte, reply) {
	var h message.Header
	h.Set("Content-Transfer-Encoding", encoding)
	h.Set("Content-Type", contentType)
	entity, err := message.New(h, body)
	switch {
	case message.IsUnknownCharset(err):
		return nil, bad("a text is in a character set that is not known")
	case err != nil:
		return nil, bad("a part has a Content-Transfer-Encoding that is not known")
	}
	content, err := io.ReadAll(entity.Body)
	if err != nil {
		return nil, bad("a part cannot be decoded or is cut short")
	}
	return content, reply{}
}
