package language

import "strings"

// position is where the HTML tokenizer stands, after the states of the
// standard with those merged that make no difference to us.
type position uint8

const (
	inText position = iota
	afterLess
	afterLessSlash
	inTagName
	beforeName
	inName
	afterName
	beforeValue
	inDouble
	inSingle
	inBare
	afterLessBang
	afterLessBangDash
	commentStart
	commentStartDash
	inComment
	commentDash
	commentEnd
	commentEndBang
	inBogus // <!doctype …>, <?…>: up to the next >
	inRaw
	rawLess
	rawLessSlash
	rawEndName
)

// state is comparable: two ways through a template may meet where theirs are equal.
type state struct {
	at      position
	closing bool   // in an end tag
	tag     string // the open tag, or the element whose raw text this is
	attr    string // the attribute's name so far
	value   string // of a URL attribute so far, until its scheme is settled
	settled bool   // the URL's scheme can no longer change
	partial string // of what may become the end tag of raw text
}

// machine follows the places of an HTML text.
type machine struct {
	state state
	fault func(index int, reason string)
}

// raw are the elements whose content is text; true: with character references.
var raw = map[string]bool{"title": true, "textarea": true, "style": false, "script": false}

// opaque are elements in which tokenizers disagree about what is a tag.
var opaque = map[string]bool{
	"xmp": true, "iframe": true, "noembed": true, "noframes": true, "noscript": true,
	"plaintext": true, "svg": true, "math": true,
}

const space = " \t\n\r\f"

func isSpace(c byte) bool  { return strings.IndexByte(space, c) >= 0 }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// read follows text from the present state.
func (m *machine) read(text string) {
	for i := 0; i < len(text); {
		i = m.step(text, i)
	}
	m.settle()
}

// step reads from text[i] and gives the index of what comes next. Each step
// reads at least one byte or changes the position.
func (m *machine) step(text string, i int) int {
	s := &m.state
	c := text[i]
	switch s.at {
	case inText:
		next := strings.IndexByte(text[i:], '<')
		if next < 0 {
			return len(text)
		}
		s.at = afterLess
		return i + next + 1
	case afterLess, afterLessSlash, afterLessBang, afterLessBangDash, inBogus:
		return m.opening(c, i)
	case commentStart, commentStartDash, inComment, commentDash, commentEnd, commentEndBang:
		m.comment(c)
		return i + 1
	case inRaw, rawLess, rawLessSlash, rawEndName:
		return m.rawText(text, i)
	}
	return m.tag(text, i)
}

// opening reads what follows a <.
func (m *machine) opening(c byte, i int) int {
	s := &m.state
	switch {
	case s.at == inBogus:
		if c == '>' {
			s.at = inText
		}
	case (s.at == afterLess || s.at == afterLessSlash) && isLetter(c):
		*s = state{at: inTagName, closing: s.at == afterLessSlash}
		return i
	case s.at == afterLess && c == '/':
		s.at = afterLessSlash
	case s.at == afterLess && c == '!':
		s.at = afterLessBang
	case s.at == afterLess && c == '?':
		s.at = inBogus
	case s.at == afterLess:
		s.at = inText
		return i
	case s.at == afterLessSlash && c == '>':
		s.at = inText
	case s.at == afterLessBang && c == '-':
		s.at = afterLessBangDash
	case s.at == afterLessBangDash && c == '-':
		s.at = commentStart
	default:
		s.at = inBogus
		return i
	}
	return i + 1
}

func (m *machine) comment(c byte) {
	s := &m.state
	starting := s.at == commentStart || s.at == commentStartDash
	ending := s.at == commentEnd || s.at == commentEndBang
	switch {
	case c == '>' && (starting || ending):
		s.at = inText
	case c == '-' && s.at == commentStart:
		s.at = commentStartDash
	case c == '-' && (s.at == inComment || s.at == commentEndBang):
		s.at = commentDash
	case c == '-':
		s.at = commentEnd
	case c == '!' && s.at == commentEnd:
		s.at = commentEndBang
	default:
		s.at = inComment
	}
}

// rawText reads the content of a raw text element up to its end tag.
func (m *machine) rawText(text string, i int) int {
	s := &m.state
	c := text[i]
	switch {
	case s.at == inRaw:
		next := strings.IndexByte(text[i:], '<')
		if next < 0 {
			return len(text)
		}
		s.at = rawLess
		return i + next + 1
	case s.at == rawLess && c == '/':
		s.at = rawLessSlash
		return i + 1
	case s.at == rawLess && c == '!' && s.tag == "script":
		m.fault(i-1, "a script cannot hold <!") // it could hide the script's own end tag
	case (s.at == rawLessSlash || s.at == rawEndName) && isLetter(c) && len(s.partial) <= len(s.tag):
		s.at = rawEndName
		s.partial += string(c | 0x20)
		return i + 1
	case s.at == rawEndName && s.partial == s.tag && (isSpace(c) || c == '/' || c == '>'):
		*s = state{at: inTagName, closing: true, tag: s.tag}
		return i
	}
	s.at, s.partial = inRaw, ""
	return i
}

// tag reads inside a tag.
func (m *machine) tag(text string, i int) int {
	s := &m.state
	c := text[i]
	switch s.at {
	case inTagName:
		end := i + run(text[i:], space+"/>")
		s.tag += strings.ToLower(text[i:end])
		if end < len(text) {
			m.tagName(i)
			s.at = beforeName
		}
		return end
	case beforeName, afterName:
		switch {
		case isSpace(c):
		case c == '/':
			s.at, s.attr = beforeName, ""
		case c == '>':
			m.tagEnd()
		case c == '=' && s.at == afterName:
			s.at = beforeValue
		default:
			s.at, s.attr = inName, ""
			if c == '=' { // a name may start with it
				s.attr = "="
				return i + 1
			}
			return i
		}
		return i + 1
	case inName:
		end := i + run(text[i:], space+"/>=")
		s.attr += strings.ToLower(text[i:end])
		if end < len(text) {
			s.at = afterName
		}
		return end
	}
	return m.attributeValue(text, i)
}

func (m *machine) attributeValue(text string, i int) int {
	s := &m.state
	c := text[i]
	stop := ""
	switch s.at {
	case beforeValue:
		switch {
		case isSpace(c):
		case c == '"':
			s.at = inDouble
		case c == '\'':
			s.at = inSingle
		case c == '>':
			m.tagEnd()
		default:
			s.at = inBare
			return i
		}
		return i + 1
	case inDouble:
		stop = `"`
	case inSingle:
		stop = `'`
	case inBare:
		stop = space + ">"
	}
	end := i + run(text[i:], stop)
	if !s.settled && attributeOf(s.tag, s.attr) == urlAttribute {
		s.value += text[i:end]
	}
	if end == len(text) {
		return end
	}
	bare := s.at == inBare
	*s = state{at: beforeName, closing: s.closing, tag: s.tag}
	if bare {
		return end
	}
	return end + 1
}

// run is the length of text before any byte of stop.
func run(text, stop string) int {
	if n := strings.IndexAny(text, stop); n >= 0 {
		return n
	}
	return len(text)
}

func (m *machine) tagName(i int) {
	s := &m.state
	if !s.closing && opaque[s.tag] {
		m.fault(i, "the element <"+s.tag+"> cannot be used")
	}
}

func (m *machine) tagEnd() {
	s := &m.state
	if _, ok := raw[s.tag]; ok && !s.closing {
		*s = state{at: inRaw, tag: s.tag}
		return
	}
	*s = state{}
}

// settle forgets the part of a URL that no longer matters, so that ways which
// differ only there may meet. A character reference before the end of the
// scheme is left unsettled: it could write a part of the scheme.
func (m *machine) settle() {
	s := &m.state
	if s.settled || s.value == "" {
		return
	}
	end := strings.IndexAny(s.value, "&:/?#")
	if end < 0 || s.value[end] == '&' {
		return
	}
	if s.value[end] != ':' || schemes[strings.ToLower(strings.Trim(s.value[:end], space))] {
		s.value, s.settled = "", true
	}
}

// output says how a value that stands here is escaped, or why it cannot.
func (m *machine) output() (escape, string) {
	s := &m.state
	switch {
	case s.at == inText:
		return asMarkup, ""
	case s.at == inRaw && raw[s.tag]:
		return asMarkup, ""
	case s.at != inDouble && s.at != inSingle:
		return 0, "a value cannot stand " + s.at.where(s.tag)
	}
	switch attributeOf(s.tag, s.attr) {
	case refusedAttribute:
		return 0, "a value cannot stand in the attribute " + s.attr + " of <" + s.tag + ">"
	case urlAttribute:
		return m.urlOutput()
	}
	return asMarkup, ""
}

func (m *machine) urlOutput() (escape, string) {
	s := &m.state
	if s.settled {
		return asURLPart, ""
	}
	if strings.Trim(s.value, space) == "" {
		s.value, s.settled = "", true
		return asURL, ""
	}
	if strings.ContainsAny(s.value, "&:") {
		return 0, "a value cannot follow " + s.value + " in a URL: start it with https://, http://, mailto: or tel:"
	}
	// A relative URL: what follows is encoded and can add no scheme.
	s.value, s.settled = "", true
	return asURLPart, ""
}
