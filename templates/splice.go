package templates

import (
	"bytes"
	"strings"

	"posthaste/templates/language"
)

// Splicer takes one recipient's copy in its parts: what is the same for
// everybody by number, so that it can be encoded once, and values as they are.
type Splicer interface {
	// Text is told the subject, and takes the text part; its literals are
	// those of TextLiterals.
	Text(subject string) (language.Sink, error)
	// HTML comes after it and takes the HTML part; its literals are those of
	// HTMLLiterals.
	HTML() language.Sink
}

// TextLiterals gives the fixed texts of the text part. The caller must not change them.
func (m *Mail) TextLiterals() []string { return m.fixed }

// HTMLLiterals gives the fixed texts of the HTML part. The caller must not change them.
func (m *Mail) HTMLLiterals() []string { return m.html.Literals() }

// Splice gives to what Render would write, octet for octet. It refuses what
// Render refuses; after an error what to got is of no use. It is safe for
// concurrent use with different to.
func (m *Mail) Splice(to Splicer, v *Values) error {
	return m.with(v, func(s *scope) (err error) {
		if s.buffer, err = m.subject.Append(s.buffer[:0], s.lookup); err != nil {
			return err
		}
		text, err := to.Text(string(s.buffer))
		if err != nil {
			return err
		}
		s.gaps.to, s.gaps.literals, s.gaps.open = text, m.fixed, 0
		if s.buffer, err = m.text.Write(&s.gaps, s.lookup, s.buffer); err != nil {
			return err
		}
		s.buffer, err = m.html.Write(to.HTML(), s.lookup, s.buffer)
		return err
	})
}

// gap is the most line ends in a row: one blank line, where conditions left several.
const gap = 2

// closeGaps closes the gaps of a whole text.
func closeGaps(text []byte) []byte {
	at := bytes.Index(text, []byte("\n\n\n"))
	if at < 0 {
		return text
	}
	out := text[:at]
	for _, c := range text[at:] {
		if c == '\n' && bytes.HasSuffix(out, []byte("\n\n")) {
			continue
		}
		out = append(out, c)
	}
	return out
}

// gapCloser is closeGaps for a text in its parts. Gaps within a literal are
// closed already; one that continues what stands before it is given as a value
// for once.
type gapCloser struct {
	to       language.Sink
	literals []string
	open     int // line ends at the end of what was passed on, at most gap
	scratch  []byte
}

func (g *gapCloser) Literal(n int) {
	text := g.literals[n]
	if lead := len(text) - len(strings.TrimLeft(text, "\n")); g.open+min(lead, gap) > gap {
		g.Value([]byte(text))
		return
	}
	g.to.Literal(n)
	g.follow(text)
}

func (g *gapCloser) follow(text string) {
	body := strings.TrimRight(text, "\n")
	if trail := len(text) - len(body); body == "" {
		g.open = min(g.open+trail, gap)
	} else {
		g.open = min(trail, gap)
	}
}

func (g *gapCloser) Value(text []byte) {
	if g.open == 0 && bytes.IndexByte(text, '\n') < 0 {
		g.to.Value(text)
		return
	}
	out := g.scratch[:0]
	for _, c := range text {
		if c != '\n' {
			g.open = 0
		} else if g.open++; g.open > gap {
			g.open = gap
			continue
		}
		out = append(out, c)
	}
	g.scratch = out
	if len(out) > 0 {
		g.to.Value(out)
	}
}

// withoutGaps are literals with the gaps within each closed.
func withoutGaps(literals []string) []string {
	out := make([]string, len(literals))
	for i, text := range literals {
		out[i] = string(closeGaps([]byte(text)))
	}
	return out
}
