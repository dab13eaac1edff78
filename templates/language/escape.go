package language

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// escape says how a value is written.
type escape uint8

const (
	asMarkup  escape = iota // HTML text or a quoted attribute value
	asURL                   // the start of a URL attribute: a whole URL or #
	asURLPart               // later in a URL attribute: percent-encoded
	asText                  // plain text: without NUL
	asHeader                // a header: an error if it holds CR, LF or NUL
)

// appendMarkup writes text so that it is neither markup nor the end of a
// quoted attribute. NUL, which HTML cannot hold, is left out.
func appendMarkup(dst []byte, text string) []byte {
	from := 0
	for i := 0; i < len(text); i++ {
		with := ""
		switch text[i] {
		case '&':
			with = "&amp;"
		case '<':
			with = "&lt;"
		case '>':
			with = "&gt;"
		case '"':
			with = "&#34;"
		case '\'':
			with = "&#39;"
		case 0:
		default:
			continue
		}
		dst = append(append(dst, text[from:i]...), with...)
		from = i + 1
	}
	return append(dst, text[from:]...)
}

// appendURL writes a whole URL of a scheme that a link may have, or "#".
// Bytes that RFC 3986 does not allow in a URL are percent-encoded.
func appendURL(dst []byte, text string) []byte {
	text = strings.TrimSpace(text)
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || rest == "" || !schemes[strings.ToLower(scheme)] {
		return append(dst, '#')
	}
	return appendEncoded(dst, text, ":/?#[]@!$()*+,;=%&'")
}

// appendURLPart percent-encodes everything but the unreserved characters of RFC 3986 section 2.3.
func appendURLPart(dst []byte, text string) []byte { return appendEncoded(dst, text, "") }

func appendEncoded(dst []byte, text, allowed string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case isLetter(c) || isDigit(c) || c == '-' || c == '.' || c == '_' || c == '~':
			dst = append(dst, c)
		case c != 0 && strings.IndexByte(allowed, c) >= 0:
			if c == '&' || c == '\'' {
				dst = appendMarkup(dst, text[i:i+1])
			} else {
				dst = append(dst, c)
			}
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// appendText leaves out NUL and mends what is not UTF-8.
func appendText(dst []byte, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	if strings.IndexByte(text, 0) < 0 {
		return append(dst, text...)
	}
	return append(dst, bytes.ReplaceAll([]byte(text), []byte{0}, nil)...)
}
