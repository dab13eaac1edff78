package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"posthaste"
)

// MaxName is the most characters of a display name.
const MaxName = 500

// Mailbox is an address with the name to show for it, which may be empty.
// Its String is the address alone, to send to.
type Mailbox struct {
	Name string // in NFC, without quotes
	Address
}

// ParseMailbox reads "Name <local@domain>", `"Name, with comma" <local@domain>`
// or an address alone: RFC 5322 section 3.4, without groups, comments and
// folding, with Unicode in the name (RFC 6532). Encoded words are taken
// literally. The error is like that of Parse; its field is "name" or "address".
func ParseMailbox(text string) (Mailbox, error) {
	text = strings.TrimFunc(text, invisible)
	open := angle(text)
	if open < 0 || !strings.HasSuffix(text, ">") {
		a, err := Parse(text)
		return Mailbox{Address: a}, err
	}
	a, err := Parse(text[open+1 : len(text)-1])
	if err != nil {
		return Mailbox{}, err
	}
	name, reason := parseName(strings.TrimFunc(text[:open], unicode.IsSpace))
	if reason != "" {
		return Mailbox{}, posthaste.Refuse("name", reason)
	}
	return Mailbox{Name: name, Address: a}, nil
}

// angle is where the first < outside of double quotes stands, or -1.
func angle(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			return i
		}
	}
	return -1
}

// parseName reads a quoted-string or bare words. RFC 5322 has no dots in bare
// words outside its obsolete syntax; people write "J. Doe", so they may stand.
func parseName(text string) (name, reason string) {
	switch {
	case !utf8.ValidString(text):
		return "", "is not UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", "has a control character"
	case strings.HasPrefix(text, `"`):
		if name, reason = unquoteName(text[1:]); reason != "" {
			return "", reason
		}
	case strings.ContainsAny(text, `()<>[]:;@\,"`):
		return "", `has punctuation that needs double quotes around the name`
	default:
		name = text
	}
	if utf8.RuneCountInString(name) > MaxName {
		return "", "is longer than 500 characters"
	}
	return norm.NFC.String(name), ""
}

// unquoteName reads the rest of a quoted-string after its opening quote.
func unquoteName(text string) (name, reason string) {
	var content strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			if i+1 != len(text) {
				return "", "has more text after its closing quote"
			}
			return content.String(), ""
		case '\\':
			i++
			if i == len(text) {
				return "", "ends in a backslash"
			}
			content.WriteByte(text[i])
		default:
			content.WriteByte(c)
		}
	}
	return "", "has an opening quote that is never closed"
}
