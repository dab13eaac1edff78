package templates

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"posthaste/templates/language"
)

// marks stand for the tags of a template while its text passes through parsers
// that know no tags. A mark is a word of lower-case letters and digits, which
// Markdown, HTML and URLs leave as it is, or that word in an HTML comment,
// which may stand between the rows of a table.
type marks struct {
	prefix string // that no source holds
	list   []mark
}

type mark struct {
	tag     string // as written
	control bool
	word    string // first word of a control
	from    place
}

// place is where a tag was written.
type place struct {
	field        string
	line, column int
}

func (p place) String() string { return fmt.Sprintf("line %d, column %d", p.line, p.column) }

// newMarks chooses a prefix that none of the sources holds.
func newMarks(sources ...string) marks {
	all := strings.ToLower(strings.Join(sources, "\x00"))
	hash := fnv.New64a()
	for {
		hash.Write([]byte(all))
		prefix := "q" + strconv.FormatUint(hash.Sum64(), 36) + "x"
		if !strings.Contains(all, prefix) {
			return marks{prefix: prefix}
		}
	}
}

// add gives the word of a new mark.
func (m *marks) add(piece language.Piece, from place) string {
	word := strings.Fields(strings.Trim(piece.Text, "{%-}"))
	k := mark{tag: piece.Text, control: piece.Kind == language.Control, from: from}
	if k.control && len(word) > 0 {
		k.word = word[0]
	}
	return m.put(k)
}

func (m *marks) put(k mark) string {
	m.list = append(m.list, k)
	return m.prefix + strconv.Itoa(len(m.list)-1) + "z"
}

// found is a mark in a text.
type found struct {
	*mark
	at, end int
}

// find gives the marks of text, in order.
func (m *marks) find(text string) []found {
	var list []found
	for at := 0; ; {
		i := strings.Index(text[at:], m.prefix)
		if i < 0 {
			return list
		}
		start := at + i
		at = start + len(m.prefix)
		digits := 0
		for at+digits < len(text) && text[at+digits] >= '0' && text[at+digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(text[at : at+digits])
		if err != nil || n >= len(m.list) || !strings.HasPrefix(text[at+digits:], "z") {
			continue
		}
		at += digits + 1
		list = append(list, found{&m.list[n], start, at})
	}
}

// controls gives the marks of tags that steer.
func (m *marks) controls(text string) []found {
	var list []found
	for _, f := range m.find(text) {
		if f.control {
			list = append(list, f)
		}
	}
	return list
}

// mapped is a run of text made from an author's source.
type mapped struct {
	text  string
	from  place
	piece language.Piece
}

// restore puts the tags back and gives, for each byte offset, the place of the
// tag at or before it. What looks like a tag now is literal text.
func (m *marks) restore(text string) (string, func(offset int) place) {
	var b strings.Builder
	type origin struct {
		at   int
		from place
	}
	var origins []origin
	at := 0
	literal := func(part string) {
		for {
			i := strings.IndexByte(part, '{')
			if i < 0 {
				b.WriteString(part)
				return
			}
			n := len(part[i:]) - len(strings.TrimLeft(part[i:], "{"))
			b.WriteString(part[:i])
			if n == 1 && len(part) > i+1 && part[i+1] != '%' {
				b.WriteByte('{')
			} else {
				b.WriteString("{% raw %}" + part[i:i+n] + "{% endraw %}")
			}
			part = part[i+n:]
		}
	}
	for _, f := range m.find(text) {
		start, end := f.at, f.end
		if strings.HasSuffix(text[at:start], "<!--") && strings.HasPrefix(text[end:], "-->") {
			start, end = start-len("<!--"), end+len("-->")
		}
		literal(text[at:start])
		origins = append(origins, origin{b.Len(), f.from})
		b.WriteString(f.tag)
		at = end
	}
	literal(text[at:])
	return b.String(), func(offset int) place {
		last := place{field: "body", line: 1, column: 1}
		for _, o := range origins {
			if o.at > offset {
				break
			}
			last = o.from
		}
		return last
	}
}

// protect gives the text of parsed pieces with words for their tags, and
// comments for those that steer between elements.
func (m *marks) protect(pieces []mapped) string {
	var b strings.Builder
	for _, p := range pieces {
		switch p.piece.Kind {
		case language.Literal:
			b.WriteString(p.text)
		case language.Output:
			b.WriteString(m.add(p.piece, p.from))
		case language.Control:
			word := m.add(p.piece, p.from)
			if p.piece.Place == language.Content {
				word = "<!--" + word + "-->"
			}
			b.WriteString(word)
		}
	}
	return b.String()
}

// located joins a program's pieces with where they were written.
func located(p *language.Program, at func(offset int) place) []mapped {
	list := make([]mapped, 0, len(p.Pieces()))
	for _, piece := range p.Pieces() {
		list = append(list, mapped{text: piece.Text, from: at(piece.Offset), piece: piece})
	}
	return list
}

// inSource finds the places of a source that the author sees.
func inSource(field, source string) func(offset int) place {
	return func(offset int) place {
		line, column := language.LineColumn(source, offset)
		return place{field, line, column}
	}
}

// depth is how many more tags text opens than it closes.
func (m *marks) depth(text string) int {
	depth := 0
	for _, f := range m.controls(text) {
		switch {
		case f.word == "if" || f.word == "unless" || f.word == "for":
			depth++
		case strings.HasPrefix(f.word, "end"):
			depth--
		}
	}
	return depth
}
