package address

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitLocal takes the local part, without its quotes, and what follows the @.
func splitLocal(text string) (local, rest, reason string) {
	if text[0] == '"' {
		return splitQuoted(text)
	}
	at := strings.IndexByte(text, '@')
	switch {
	case at < 0:
		return "", "", "has no @"
	case at == 0:
		return "", "", "has nothing before the @"
	case text[0] == '<' || strings.HasSuffix(text, ">"):
		return "", "", "has a name or angle brackets; give the address alone"
	}
	local, rest = text[:at], text[at+1:]
	return local, rest, checkDotString(local)
}

// checkDotString says what keeps local from being a Dot-string (RFC 5321
// section 4.1.2, widened by RFC 6531 section 3.3), or nothing.
func checkDotString(local string) string {
	for i, r := range local {
		if r == '.' {
			if i == 0 || i == len(local)-1 || local[i-1] == '.' {
				return "has a dot at the start or end of the part before the @, or two in a row"
			}
			continue
		}
		if r < utf8.RuneSelf && isAtext(byte(r)) {
			continue
		}
		if reason := refuseRune(r); reason != "" {
			return reason
		}
	}
	return ""
}

// splitQuoted does the same for a Quoted-string. An empty one, which the
// grammar allows, is refused: no host delivers to it.
func splitQuoted(text string) (local, rest, reason string) {
	var content strings.Builder
	for i := 1; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"':
			switch {
			case content.Len() == 0:
				return "", "", "has nothing between the quotes before the @"
			case i+1 == len(text) || text[i+1] != '@':
				return "", "", "has something other than an @ after the closing quote"
			}
			return content.String(), text[i+2:], ""
		case r == '\\':
			i++
			if i == len(text) || text[i] < ' ' || text[i] > '~' {
				return "", "", "has a backslash before a character that cannot follow one"
			}
			content.WriteByte(text[i])
			i++
			continue
		case r >= ' ' && r <= '~':
		default:
			if reason := refuseRune(r); reason != "" {
				return "", "", reason
			}
		}
		content.WriteString(text[i : i+size])
		i += size
	}
	return "", "", "has an opening quote that is never closed"
}

// refuseRune says why r, which is no atext, may not stand in a local part; it
// is silent about the characters beyond ASCII that may.
func refuseRune(r rune) string {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return "has a control character"
	case unicode.IsSpace(r):
		return "has a space before the @"
	case r == '(' || r == ')':
		return "has a comment in parentheses before the @"
	case r < utf8.RuneSelf:
		return fmt.Sprintf("has the character %q, which may not stand unquoted before the @", r)
	case r == utf8.RuneError:
		return "has a replacement character: a letter was lost in a conversion"
	case !joiner(r) && unicode.Is(unicode.Cf, r):
		return "has an invisible character before the @"
	}
	return ""
}

// joiner is an invisible character that words of Persian and Indic scripts
// need; in domains, IDNA decides where (RFC 5892 appendix A).
func joiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// isAtext is RFC 5322 section 3.2.3.
func isAtext(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// quoteLocal writes a local part for the wire.
func quoteLocal(local string) string {
	if local != "" && checkDotString(local) == "" {
		return local
	}
	var quoted strings.Builder
	quoted.Grow(len(local) + 4)
	quoted.WriteByte('"')
	for i := range len(local) {
		if local[i] == '"' || local[i] == '\\' {
			quoted.WriteByte('\\')
		}
		quoted.WriteByte(local[i])
	}
	quoted.WriteByte('"')
	return quoted.String()
}
