package language

import (
	"strconv"
	"strings"
	"time"
)

// layouts are the strftime directives with a fixed form in package time.
var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
	'p': "PM", 'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'j': "002",
	'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'Z': "MST", 'z': "-0700",
}

// short are the directives that a dash strips of their leading zero.
const short = "mdHIMSjey"

// unknownDirective gives the first directive of format that date does not know, or "".
func unknownDirective(format string) string {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		start := i
		i++
		dash := i < len(format) && format[i] == '-'
		if dash {
			i++
		}
		if i >= len(format) {
			return format[start:]
		}
		c := format[i]
		if _, known := layouts[c]; !known && (c != '%' || dash) || dash && strings.IndexByte(short, c) < 0 {
			return format[start : i+1]
		}
	}
	return ""
}

// date formats a time, or a text in RFC 3339 form or YYYY-MM-DD. A text that
// is no date is given back as it is; a directive that is not known, too.
func date(v value, format string) string {
	t, ok := moment(v)
	if !ok {
		return v.text()
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 >= len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		if format[i] == '-' && i+1 < len(format) && strings.IndexByte(short, format[i+1]) >= 0 {
			i++
			text := strings.TrimLeft(t.Format(layouts[format[i]]), "0 ")
			if text == "" {
				text = "0"
			}
			b.WriteString(text)
			continue
		}
		layout, known := layouts[format[i]]
		switch {
		case known:
			b.WriteString(t.Format(layout))
		case format[i] == '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			b.WriteByte(format[i])
		}
	}
	return b.String()
}

func moment(v value) (time.Time, bool) {
	if v.kind == timeKind {
		return v.data.(time.Time), true
	}
	text := strings.TrimSpace(v.text())
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// nameOf is the name a tag begins with, for errors.
func nameOf(inner string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(inner), "|")
	name = strings.TrimSpace(name)
	if unquoted, err := strconv.Unquote(name); err == nil {
		return unquoted
	}
	return name
}
