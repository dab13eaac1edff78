package smtpclient

import "bytes"

// dataBlock is how much of a message is written under one deadline.
const dataBlock = 64 << 10

// appendWire appends a message in its form for the wire, up to but not with the
// final dot: every line ends with CRLF, a line that begins with a dot gets one
// more (RFC 5321 section 4.5.2), the last line is ended.
func appendWire(dst, message []byte) []byte {
	message = canonical(message)
	if bytes.HasPrefix(message, lineDot[2:]) {
		dst = append(dst, '.')
	}
	for {
		next := bytes.Index(message, lineDot)
		if next < 0 {
			return append(dst, message...)
		}
		dst, message = append(append(dst, message[:next+2]...), '.'), message[next+2:]
	}
}

// lineDot is a line that begins with a dot, and the end of the one before.
var lineDot = []byte("\r\n.")

// canonical gives the message with CRLF at the end of every line, the last one
// too. A lone CR or LF becomes CRLF: a next hop might take it for a line end,
// and what follows for another message (RFC 5321 section 2.3.8).
func canonical(message []byte) []byte {
	pairs := bytes.Count(message, []byte("\r\n"))
	if pairs == bytes.Count(message, []byte("\r")) && pairs == bytes.Count(message, []byte("\n")) {
		if len(message) == 0 || bytes.HasSuffix(message, []byte("\r\n")) {
			return message
		}
		return append(message[:len(message):len(message)], "\r\n"...)
	}
	out := make([]byte, 0, len(message)+len(message)/16+2)
	for i, c := range message {
		switch {
		case c == '\n' && i > 0 && message[i-1] == '\r': // its CR has written both
		case c == '\r', c == '\n':
			out = append(out, "\r\n"...)
		default:
			out = append(out, c)
		}
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return out
}
