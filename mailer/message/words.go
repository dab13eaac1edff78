package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Octets of a line without its CRLF.
const (
	maxLine    = 78 // RFC 5322 section 2.1.1, where it can be kept
	maxEncoded = 76 // a line with an encoded word: RFC 2047 section 2
	maxWord    = 75 // an encoded word: the same section
)

const (
	wordStart = "=?UTF-8?"
	wordEnd   = "?="
	upperHex  = "0123456789ABCDEF"
)

// unstructured formats a value such as a subject. start is the field's name
// with its colon and space, which takes up room on the first line.
func unstructured(start, text string) string {
	if !plainWords(text) {
		return encodedWords(len(start), text)
	}
	return fold(len(start), strings.Split(text, " "))
}

// phraseAnd formats a display name, which may be empty, before what follows it:
// RFC 5322 section 3.2.5.
func phraseAnd(start, name, follows string) string {
	if name == "" {
		return follows
	}
	var words []string
	switch {
	case !plainWords(name) || len(name) > maxLine/2:
		encoded := encodedWords(len(start), name)
		last := len(start) + len(encoded)
		if i := strings.LastIndex(encoded, "\r\n"); i >= 0 {
			last = len(encoded) - i - 2
		}
		if last+1+len(follows) > maxEncoded {
			return encoded + "\r\n " + follows
		}
		return encoded + " " + follows
	case atoms(name):
		words = strings.Split(name, " ")
	default:
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)
		words = []string{`"` + escaped + `"`}
	}
	return fold(len(start), append(words, follows))
}

// plainWords reports whether text can stand as it is, to be folded at its
// spaces: ASCII, no space at either end or twice, no overlong word, and nothing
// that would be read as an encoded word.
func plainWords(text string) bool {
	word := 0
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' {
			return false
		}
		if word++; c == ' ' {
			if word == 1 {
				return false
			}
			word = 0
		}
		if word > 60 {
			return false
		}
	}
	return word > 0 && !strings.Contains(text, "=?")
}

// atoms reports whether text, which has only plain words, needs no quotes.
func atoms(text string) bool {
	return !strings.ContainsAny(text, `()<>[]:;@\,."`)
}

// fold joins words by spaces, and by CRLF and a space where a line is full.
func fold(used int, words []string) string {
	var out strings.Builder
	for i, word := range words {
		if i > 0 {
			if used+1+len(word) > maxLine {
				out.WriteString("\r\n")
				used = 0
			}
			out.WriteByte(' ')
			used++
		}
		out.WriteString(word)
		used += len(word)
	}
	return out.String()
}

// encodedWords writes text as encoded words of RFC 2047, one a line, none of
// which ends inside a character. It takes the shorter of the two encodings.
func encodedWords(used int, text string) string {
	literal := 0
	for i := range len(text) {
		if qLiteral(text[i]) || text[i] == ' ' {
			literal++
		}
	}
	write, size, kind := writeQ, sizeQ, "Q?"
	if 3*(len(text)-literal)+literal > (len(text)+2)/3*4 {
		write, size, kind = writeB, sizeB, "B?"
	}
	overhead := len(wordStart) + len(kind) + len(wordEnd)
	var out strings.Builder
	for room := min(maxEncoded-used, maxWord) - overhead; text != ""; room = maxWord - overhead {
		n := fit(text, room, size)
		if out.Len() > 0 {
			out.WriteString("\r\n ")
		}
		out.WriteString(wordStart + kind)
		write(&out, text[:n])
		out.WriteString(wordEnd)
		text = text[n:]
	}
	return out.String()
}

// fit is how much of text, in whole characters, takes at most room octets. The
// names of header fields are short enough for one character at least.
func fit(text string, room int, size func(soFar, n int, char string) int) int {
	n, used := 0, 0
	for n < len(text) {
		_, width := utf8.DecodeRuneInString(text[n:])
		used = size(used, n, text[n:n+width])
		if used > room {
			break
		}
		n += width
	}
	return n
}

// sizeQ and sizeB give the encoded size of n octets and one more character,
// when n octets take soFar.
func sizeQ(soFar, _ int, char string) int {
	for i := range len(char) {
		if soFar++; !qLiteral(char[i]) && char[i] != ' ' {
			soFar += 2
		}
	}
	return soFar
}

func sizeB(_, n int, char string) int { return base64.StdEncoding.EncodedLen(n + len(char)) }

func writeB(out *strings.Builder, text string) {
	out.WriteString(base64.StdEncoding.EncodeToString([]byte(text)))
}

func writeQ(out *strings.Builder, text string) {
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ':
			out.WriteByte('_')
		case qLiteral(c):
			out.WriteByte(c)
		default:
			out.Write([]byte{'=', upperHex[c>>4], upperHex[c&15]})
		}
	}
}

// qLiteral is what may stand unencoded even in a phrase: RFC 2047 section 5 (3).
func qLiteral(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}
