package dkim

import "bytes"

var crlf = []byte("\r\n")

// relaxField appends a field in the canonical form that bears re-folding, RFC
// 6376 section 3.4.2, without CRLF at its end.
func relaxField(dst, raw []byte) []byte {
	name, value, _ := bytes.Cut(raw, []byte(":"))
	dst = append(append(dst, bytes.ToLower(bytes.TrimRight(name, " \t"))...), ':')
	start := len(dst)
	for line := range bytes.SplitSeq(value, crlf) {
		dst = relaxBlanks(dst, line)
	}
	return append(dst[:start], bytes.Trim(dst[start:], " ")...)
}

// relaxBody appends a body in the canonical form of section 3.4.4: each run of
// blanks is one space, lines have none at the end, and the text has no empty
// lines at its end.
func relaxBody(dst, body []byte) []byte {
	end := len(dst)
	for line := range bytes.SplitSeq(body, crlf) {
		start := len(dst)
		dst = append(bytes.TrimRight(relaxBlanks(dst, line), " "), crlf...)
		if len(dst) > start+len(crlf) {
			end = len(dst)
		}
	}
	return dst[:end]
}

// relaxBlanks appends text, with each run of blanks as one space, also one that
// dst ends in.
func relaxBlanks(dst, text []byte) []byte {
	for _, c := range text {
		if !isBlank(c) {
			dst = append(dst, c)
		} else if len(dst) == 0 || dst[len(dst)-1] != ' ' {
			dst = append(dst, ' ')
		}
	}
	return dst
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
