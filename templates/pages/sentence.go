package pages

import (
	"strings"
	"unicode"
)

// values stand for the placeholders of a text: "sender" for {sender}.
type values map[string]string

// part is a piece of a sentence. A value has a direction of its own, which
// must not turn the words around it (UAX #9 §2.7): pages put it into a <bdi>.
type part struct {
	Text  string
	Value bool
}

// sentence is a text with its values in it.
type sentence []part

// say puts the values into a text. What they hold is never read as a
// placeholder; a placeholder without a value stays as it is.
func (v values) say(text string) sentence {
	var said sentence
	for {
		start := strings.IndexByte(text, '{')
		end := strings.IndexByte(text, '}')
		if start < 0 || end < start {
			return said.and(text)
		}
		value, ok := v[text[start+1:end]]
		if !ok {
			said, text = said.and(text[:end+1]), text[end+1:]
			continue
		}
		said = append(said.and(text[:start]), part{clean(value), true})
		text = text[end+1:]
	}
}

func (s sentence) and(text string) sentence {
	if text == "" {
		return s
	}
	return append(s, part{Text: text})
}

// String is the sentence where no markup can be.
func (s sentence) String() string {
	var b strings.Builder
	for _, p := range s {
		b.WriteString(p.Text)
	}
	return b.String()
}

// clean takes out of a value what would break its line, or turn what stands
// after it: control characters and those of UAX #9 §2.1 to §2.5.
func clean(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, value)
}

func or(text, otherwise string) string {
	if strings.TrimSpace(text) == "" {
		return otherwise
	}
	return text
}
