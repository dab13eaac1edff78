package language

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type filterID uint8

const (
	defaultFilter filterID = iota
	upcaseFilter
	downcaseFilter
	capitalizeFilter
	truncateFilter
	stripFilter
	appendFilter
	prependFilter
	replaceFilter
	splitFilter
	joinFilter
	firstFilter
	lastFilter
	sizeFilter
	dateFilter
	urlEncodeFilter
)

type filter struct {
	id       filterID
	min, max int // of arguments
}

var filters = map[string]filter{
	"default":    {defaultFilter, 1, 1},
	"upcase":     {upcaseFilter, 0, 0},
	"downcase":   {downcaseFilter, 0, 0},
	"capitalize": {capitalizeFilter, 0, 0},
	"truncate":   {truncateFilter, 0, 2}, // length (50), ending ("...")
	"strip":      {stripFilter, 0, 0},
	"append":     {appendFilter, 1, 1},
	"prepend":    {prependFilter, 1, 1},
	"replace":    {replaceFilter, 2, 2},
	"split":      {splitFilter, 1, 1},
	"join":       {joinFilter, 0, 1}, // between (" ")
	"first":      {firstFilter, 0, 0},
	"last":       {lastFilter, 0, 0},
	"size":       {sizeFilter, 0, 0},
	"date":       {dateFilter, 1, 1},
	"url_encode": {urlEncodeFilter, 0, 0},
}

func (f filter) wants() string {
	switch {
	case f.max == 0:
		return "no argument"
	case f.min == f.max && f.max == 1:
		return "1 argument"
	case f.min == f.max:
		return fmt.Sprintf("%d arguments", f.max)
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}

func filterHint(name string) string {
	if name == "escape" || name == "escape_once" || name == "h" {
		return ": escaping is automatic"
	}
	names := make([]string, 0, len(filters))
	for known := range filters {
		names = append(names, known)
	}
	slices.Sort(names)
	return nameHint(name, names)
}

// apply gives the filtered value. ok is false when it would grow past maxOutput.
func (c *filterCall) apply(v value, a, b value) (_ value, ok bool) {
	switch c.id {
	case defaultFilter:
		if v.empty() {
			return a, true
		}
		return v, true
	case splitFilter:
		return value{kind: listKind, data: split(v.text(), a.text())}, true
	case joinFilter:
		between := " "
		if c.n > 0 {
			between = a.text()
		}
		return textValue(v.join(between)), v.length()*len(between) <= maxOutput
	case firstFilter, lastFilter:
		if v.kind != listKind || v.length() == 0 {
			return value{}, true
		}
		i := 0
		if c.id == lastFilter {
			i = v.length() - 1
		}
		item, err := v.at(i)
		return item, err == nil
	case sizeFilter:
		return numberValue(float64(v.size())), true
	case dateFilter:
		return textValue(date(v, a.text())), true
	}
	text, ok := c.change(v.text(), a, b)
	return textValue(text), ok
}

// change applies the filters from text to text.
func (c *filterCall) change(text string, a, b value) (string, bool) {
	switch c.id {
	case upcaseFilter:
		return strings.ToUpper(text), true
	case downcaseFilter:
		return strings.ToLower(text), true
	case capitalizeFilter:
		first, n := utf8.DecodeRuneInString(text)
		if n == 0 {
			return "", true
		}
		return string(unicode.ToTitle(first)) + strings.ToLower(text[n:]), true
	case truncateFilter:
		length, ending := 50, "..."
		if n, ok := a.number(); c.n > 0 && ok {
			length = int(max(0, min(n, maxOutput)))
		}
		if c.n > 1 {
			ending = b.text()
		}
		return truncate(text, length, ending), true
	case stripFilter:
		return strings.TrimSpace(text), true
	case appendFilter:
		end := a.text()
		return text + end, len(text)+len(end) <= maxOutput
	case prependFilter:
		start := a.text()
		return start + text, len(text)+len(start) <= maxOutput
	case replaceFilter:
		old, new := a.text(), b.text()
		if old == "" {
			return text, true
		}
		if grows := len(new) - len(old); grows > 0 && len(text)+strings.Count(text, old)*grows > maxOutput {
			return "", false
		}
		return strings.ReplaceAll(text, old, new), true
	case urlEncodeFilter:
		return url.QueryEscape(text), true
	}
	return text, true
}

// split cuts at sep; an empty sep cuts between characters. It gives at most
// maxRounds parts more than a loop shows, and none for an empty text.
func split(text, sep string) []string {
	if text == "" {
		return nil
	}
	return strings.SplitN(text, sep, 10*maxRounds)
}

// truncate cuts text to length characters, ending included.
func truncate(text string, length int, ending string) string {
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	keep := max(0, length-utf8.RuneCountInString(ending))
	for i := range text {
		if keep == 0 {
			return text[:i] + ending
		}
		keep--
	}
	return text
}
