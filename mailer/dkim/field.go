package dkim

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// covered are the fields that are signed when a message has them, besides all
// those of lists: RFC 6376 section 5.4.1, RFC 8058 section 4, RFC 9477 section
// 3.1. Fields that relays add or change, as Received, are not among them.
var covered = []string{
	"from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type", "content-transfer-encoding",
	"feedback-id", "cfbl-address", "cfbl-feedback-id", "auto-submitted",
}

const listPrefix = "list-"

// oversigned are named once more than they occur, which signs that there is no
// further one: RFC 6376 section 8.15. A second one would be shown by some
// readers and verified by none.
var oversigned = []string{"from", "to", "subject", "date", "reply-to", "content-type", "list-unsubscribe", "list-unsubscribe-post"}

// field is a header field: its name in lower case, and all of it, folds and CRLF too.
type field struct {
	name string
	raw  []byte
}

// split takes a header apart.
func split(header []byte) (fields []field) {
	for len(header) > 0 {
		n := fieldLength(header)
		name, _, _ := bytes.Cut(header[:n], []byte(":"))
		fields = append(fields, field{strings.ToLower(strings.TrimRight(string(name), " \t")), header[:n]})
		header = header[n:]
	}
	return fields
}

// fieldLength is the length of the first field with its folded lines.
func fieldLength(header []byte) int {
	for n := 0; ; {
		i := bytes.Index(header[n:], crlf)
		if i < 0 {
			return len(header)
		}
		if n += i + len(crlf); n == len(header) || !isBlank(header[n]) {
			return n
		}
	}
}

// choose gives the names for the h= tag and the fields they stand for,
// canonical and in that order. Of fields with one name the last comes first,
// as section 5.4.2 wants.
func choose(fields []field) (names []string, signed []byte) {
	names, signed = make([]string, 0, len(covered)+len(oversigned)), make([]byte, 0, 2048)
	for _, f := range slices.Backward(fields) {
		if strings.HasPrefix(f.name, listPrefix) || slices.Contains(covered, f.name) {
			names = append(names, f.name)
			signed = append(relaxField(signed, f.raw), crlf...)
		}
	}
	return append(names, oversigned...), signed
}

// lineOctets is the length at which lines are folded: RFC 5322 section 2.1.1.
const lineOctets = 76

// appendUnsigned appends the DKIM-Signature field up to its b= tag, whose value
// is still to come. It folds only where section 3.5 has FWS: what is signed
// is the field as it is folded, and a space within a name would break it.
func (k key) appendUnsigned(dst []byte, at int64, names []string, bodyHash []byte) []byte {
	dst = append(dst, "DKIM-Signature: v=1; a="...)
	dst = append(append(dst, k.algorithm...), "; c=relaxed/relaxed; t="...)
	dst = append(strconv.AppendInt(dst, at, 10), ";\r\n d="...)
	dst = append(append(dst, k.domain...), ";\r\n s="...)
	dst = append(append(dst, k.selector...), ";\r\n h="...)
	column := len(" h=")
	for i, name := range names {
		if column+len(name)+1 > lineOctets {
			dst, column = append(dst, "\r\n "...), 1
		}
		dst, column = append(dst, name...), column+len(name)+1
		if i < len(names)-1 {
			dst = append(dst, ':')
		}
	}
	dst = append(dst, ";\r\n bh="...)
	return append(base64.StdEncoding.AppendEncode(dst, bodyHash), ";\r\n b="...)
}

// appendFolded appends the value of b=, in which verifiers leave blanks out, and ends the field.
func appendFolded(dst []byte, value string) []byte {
	const octets = lineOctets - len(" b=")
	for ; len(value) > octets; value = value[octets:] {
		dst = append(append(dst, value[:octets]...), "\r\n "...)
	}
	return append(append(dst, value...), "\r\n"...)
}
