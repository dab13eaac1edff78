package relay

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"posthaste"
)

// textLimit is the most bytes that are kept of an answer's text.
const textLimit = 500

// mask stands in a text where an address stood.
const mask = "[address]"

var (
	// enhanced finds RFC 3463 codes. The byte before and after it must be no
	// digit, dot or letter, which leaves out IP addresses and most versions.
	enhanced = regexp.MustCompile(`(?:^|[^0-9A-Za-z.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:$|[^0-9A-Za-z.]|\.(?:$|[^0-9]))`)
	// address is anything shaped like one, also in the forms to which servers
	// rewrite: aliases, SRS, percent routing.
	address = regexp.MustCompile(`[^\s<>()\[\]"',;:]+@[^\s<>()\[\]"',;:]*[^\s<>()\[\]"',;:.]`)
)

// ReadReply makes a Reply of what a server said to a command at the stage: its
// basic code and the text of all its lines, parted by line feeds, without that
// code. The enhanced code (RFC 3463) is the first that begins a line, or else
// the first in the text that has the class of the basic code; servers also put
// it last, in brackets, or leave it out.
//
// The text of the result is one line of at most 500 bytes of valid UTF-8. The
// given addresses, in any case, and all else that is shaped like an address
// are masked in it. It is safe for concurrent use.
func ReadReply(stage posthaste.Stage, code int, text string, addresses ...string) posthaste.Reply {
	reply := posthaste.Reply{Stage: stage, Code: code}
	text = strings.ToValidUTF8(text, "\uFFFD")
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		status, rest := leading(line)
		if status == "" {
			continue
		}
		if reply.Enhanced == "" {
			reply.Enhanced = status
		}
		if status == reply.Enhanced {
			lines[i] = rest
		}
	}
	text = oneLine(strings.Join(lines, " "))
	if reply.Enhanced == "" {
		reply.Enhanced = findEnhanced(text, code)
	}
	reply.Text = cut(Mask(text, addresses...), textLimit)
	return reply
}

// leading takes an enhanced code off the start of a line, where RFC 2034
// repeats it on every line. Without one the status is empty.
func leading(line string) (status, rest string) {
	line = strings.TrimLeft(line, " \t\f\v\r\n")
	end := strings.IndexAny(line, " \t\f\v\r\n")
	if end < 0 {
		end = len(line)
	}
	class, more, _ := strings.Cut(line[:end], ".")
	subject, detail, _ := strings.Cut(more, ".")
	if class != "2" && class != "4" && class != "5" || !digits(subject) || !digits(detail) {
		return "", line
	}
	return line[:end], strings.TrimLeft(line[end:], " \t\f\v\r\n")
}

// digits reports one to three of them.
func digits(text string) bool {
	return len(text) >= 1 && len(text) <= 3 && strings.Trim(text, "0123456789") == ""
}

// findEnhanced looks for a code that does not begin a line.
func findEnhanced(text string, code int) string {
	class := byte('0' + code/100%10)
	for _, found := range enhanced.FindAllStringSubmatch(text, -1) {
		if found[1][0] == class {
			return found[1]
		}
	}
	return ""
}

// Mask replaces the given addresses, in any case, and everything else that is
// shaped like an address. What it gives may be kept and logged.
func Mask(text string, addresses ...string) string {
	for _, a := range addresses {
		if a != "" && utf8.ValidString(a) { // a piece of a rune would match within one
			text = replaceFold(text, a, mask)
		}
	}
	if strings.Contains(text, "@") {
		text = address.ReplaceAllString(text, mask)
	}
	return text
}

// replaceFold replaces every occurrence of old, whatever the case of its ASCII letters.
func replaceFold(text, old, with string) string {
	lower, want := asciiLower(text), asciiLower(old)
	if !strings.Contains(lower, want) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(lower, want)
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		b.WriteString(with)
		text, lower = text[i+len(old):], lower[i+len(want):]
	}
	b.WriteString(text)
	return b.String()
}

// asciiLower keeps the length in bytes, unlike strings.ToLower.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// oneLine makes each run of white space and control characters one space.
func oneLine(text string) string {
	if plain(text) {
		return text
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// plain reports printable ASCII in words with one space between them.
func plain(text string) bool {
	space := true // one may not come next
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && space {
			return false
		}
		space = c == ' '
	}
	return !space
}

// cut shortens text to at most limit bytes, between runes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
