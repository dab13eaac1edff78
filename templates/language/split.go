package language

import "strings"

// PieceKind says what a Piece of a source is.
type PieceKind uint8

// The kinds.
const (
	Literal PieceKind = iota // fixed text
	Output                   // {{ … }}
	Control                  // {% if … %} and the other tags that steer
	Void                     // a comment, or the tags around raw text: they write and steer nothing
)

// Place says where in HTML a piece stands.
type Place uint8

// The places.
const (
	Content Place = iota // where an element could stand
	Words                // in an attribute value, a title, a textarea or a comment: text only
	Markup               // in a tag, a style or a script
)

// Piece is a part of a template's source.
type Piece struct {
	Kind   PieceKind
	Text   string // as written
	Offset int    // in bytes
	Place  Place  // at its start; Content when the context is not HTML
}

// segment is a piece as the parser needs it.
type segment struct {
	Piece
	word       string // the first word of a Control
	inner      string // a tag without its braces, a literal after trimming
	innerAt    int    // offset of inner
	trimBefore bool
	trimAfter  bool
}

// split cuts the source into segments and applies whitespace control.
func (p *parser) split() []segment {
	var list []segment
	at := 0
	for at < len(p.source) {
		open := nextOpening(p.source, at)
		if open < 0 {
			break
		}
		if open > at {
			list = append(list, literal(p.source[at:open], at))
		}
		s, ok := p.tag(open)
		if !ok {
			return list
		}
		list = append(list, s)
		if len(list) > 2*maxTags {
			p.fault(open, "a template has at most %d tags", maxTags)
			return list
		}
		at = open + len(s.Text)
		if s.Kind == Void && s.word == "raw" {
			inside, closing, ok := p.until(at, "endraw", open)
			if !ok {
				return list
			}
			if inside != "" {
				list = append(list, literal(inside, at))
			}
			list = append(list, closing)
			at = closing.Offset + len(closing.Text)
		}
	}
	if at < len(p.source) {
		list = append(list, literal(p.source[at:], at))
	}
	trim(list)
	return list
}

func nextOpening(source string, from int) int {
	for i := from; ; i++ {
		j := strings.IndexByte(source[i:], '{')
		if j < 0 || i+j+1 >= len(source) {
			return -1
		}
		i += j
		if source[i+1] == '{' || source[i+1] == '%' {
			return i
		}
	}
}

func literal(text string, at int) segment {
	return segment{Piece: Piece{Kind: Literal, Text: text, Offset: at}, inner: text, innerAt: at}
}

// tag reads the tag at open. A comment is read to its end.
func (p *parser) tag(open int) (segment, bool) {
	closer := "}}"
	kind := Output
	if p.source[open+1] == '%' {
		closer, kind = "%}", Control
	}
	length := closing(p.source[open+2:], closer)
	if length < 0 {
		p.fault(open, "%s is never closed with %s", p.source[open:open+2], closer)
		return segment{}, false
	}
	end := open + 2 + length
	s := segment{
		Piece: Piece{Kind: kind, Text: p.source[open : end+2], Offset: open},
		inner: p.source[open+2 : end], innerAt: open + 2,
	}
	if strings.HasPrefix(s.inner, "-") {
		s.inner, s.innerAt, s.trimBefore = s.inner[1:], s.innerAt+1, true
	}
	if strings.HasSuffix(s.inner, "-") {
		s.inner, s.trimAfter = s.inner[:len(s.inner)-1], true
	}
	if kind == Output {
		return s, true
	}
	s.word = firstWord(s.inner)
	switch s.word {
	case "raw":
		s.Kind = Void
	case "comment":
		_, last, ok := p.until(end+2, "endcomment", open)
		if !ok {
			return segment{}, false
		}
		s.Kind, s.trimAfter = Void, last.trimAfter
		s.Text = p.source[open : last.Offset+len(last.Text)]
	}
	return s, true
}

// closing finds closer outside of quotes.
func closing(text, closer string) int {
	var quote byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.HasPrefix(text[i:], closer):
			return i
		}
	}
	return strings.Index(text, closer) // a quote left open: the expression will say so
}

func firstWord(inner string) string {
	word := strings.TrimLeft(inner, " \t\r\n")
	for i := 0; i < len(word); i++ {
		if !isNameByte(word[i]) {
			return word[:i]
		}
	}
	return word
}

// until gives the text from at up to the tag {% word %}, and that tag.
func (p *parser) until(at int, word string, open int) (string, segment, bool) {
	const longest = 64 // an end tag with more spaces in it is not one
	for i := at; ; {
		j := strings.Index(p.source[i:], "{%")
		if j < 0 {
			break
		}
		i += j
		inside := p.source[i+2 : min(len(p.source), i+longest)]
		inner, _, closed := strings.Cut(inside, "%}")
		if closed && strings.Trim(inner, "- \t\r\n") == word {
			return p.source[at:i], segment{
				Piece:      Piece{Kind: Void, Text: p.source[i : i+2+len(inner)+2], Offset: i},
				word:       word,
				trimBefore: strings.HasPrefix(inner, "-"),
				trimAfter:  strings.HasSuffix(inner, "-"),
			}, true
		}
		i += 2
	}
	p.fault(open, "{%% %s %%} is never closed with {%% %s %%}", strings.TrimPrefix(word, "end"), word)
	return "", segment{}, false
}

func trim(list []segment) {
	const space = " \t\r\n"
	for i := range list {
		s := &list[i]
		if s.trimBefore && i > 0 && list[i-1].Kind == Literal {
			list[i-1].inner = strings.TrimRight(list[i-1].inner, space)
		}
		if s.trimAfter && i+1 < len(list) && list[i+1].Kind == Literal {
			next := &list[i+1]
			short := strings.TrimLeft(next.inner, space)
			next.innerAt += len(next.inner) - len(short)
			next.inner = short
		}
	}
}
