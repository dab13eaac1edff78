package console

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // so that parts in other charsets than UTF-8 are read
)

const (
	maxShown = 512 << 10 // bytes of one part, or of the source, that a page shows
	maxParts = 100
)

// mail is a message (RFC 5322) taken apart (RFC 2045 to 2047) for reading.
type mail struct {
	Headers  []header
	HTML     string // the first text/html part
	HasHTML  bool
	Text     string // the first text/plain part
	HasText  bool
	Attached []attachment
	Source   string
	Cut      bool   // the source is longer than is shown
	Fault    string // why the rest could not be read, or empty
}

type header struct{ Name, Value string }

type attachment struct {
	Name, Type string
	Size       int64 // decoded bytes
}

// parse never fails: what it cannot read is named in Fault, and the source is
// there in any case.
func parse(raw []byte) mail {
	m := mail{Source: shown(raw), Cut: len(raw) > maxShown}
	entity, err := message.Read(bytes.NewReader(raw))
	if entity == nil {
		m.Fault = fmt.Sprint(err)
		return m
	}
	for fields := entity.Header.Fields(); fields.Next(); {
		value, err := fields.Text()
		if err != nil {
			value = fields.Value()
		}
		m.Headers = append(m.Headers, header{fields.Key(), strings.ToValidUTF8(value, "\uFFFD")})
	}
	parts := 0
	err = entity.Walk(func(_ []int, part *message.Entity, err error) error {
		if parts++; parts > maxParts {
			return fmt.Errorf("more than %d parts", maxParts)
		}
		if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return err
		}
		return m.take(part)
	})
	if err != nil {
		m.Fault = err.Error()
	}
	return m
}

// take keeps one leaf of the message.
func (m *mail) take(part *message.Entity) error {
	kind, params, err := part.Header.ContentType()
	if err != nil {
		kind = "text/plain" // RFC 2045 §5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	disposition, names, err := part.Header.ContentDisposition()
	if err != nil {
		disposition = ""
	}
	body := part.Body
	switch {
	case disposition != "attachment" && kind == "text/html" && !m.HasHTML:
		m.HasHTML = true
		m.HTML, err = readPart(body)
	case disposition != "attachment" && kind == "text/plain" && !m.HasText:
		m.HasText = true
		m.Text, err = readPart(body)
	default:
		var n int64
		n, err = io.Copy(io.Discard, body)
		name := names["filename"]
		if name == "" {
			name = params["name"]
		}
		m.Attached = append(m.Attached, attachment{Name: strings.ToValidUTF8(name, "\uFFFD"), Type: kind, Size: n})
	}
	return err
}

func readPart(body io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxShown))
	return shown(raw), err
}

// shown is raw as text that is safe to measure and to show.
func shown(raw []byte) string {
	return strings.ToValidUTF8(string(raw[:min(len(raw), maxShown)]), "\uFFFD")
}

// header gives the first header of that name, in whatever case.
func (m mail) header(name string) string {
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func (m mail) From() string    { return m.header("From") }
func (m mail) To() string      { return m.header("To") }
func (m mail) Date() string    { return m.header("Date") }
func (m mail) Subject() string { return m.header("Subject") }
