package recipientfile

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"posthaste"
	"posthaste/internal/address"
)

const (
	maxName  = 500    // characters
	maxValue = 10_000 // characters, of an attribute
	maxTag   = 100    // octets of a locale or time zone: more is wrong anyway
	maxKnown = 1_000  // entries of each cache
)

// checks holds what was learned about cells that repeat.
type checks struct {
	locales map[string]string
	zones   map[string]string
}

func newChecks() checks {
	return checks{locales: map[string]string{}, zones: map[string]string{}}
}

func (c *checks) email(row *Row, cell string) string {
	a, err := address.Parse(cell)
	if err != nil {
		return "email " + reasonOf(err)
	}
	row.Email, row.Canonical = a.String(), a.Canonical()
	return ""
}

func reasonOf(err error) string {
	for _, f := range posthaste.FieldsOf(err) {
		return f.Reason
	}
	return "is not valid"
}

// checkName keeps out what could end a header line: RFC 5322 section 2.2.
func checkName(cell string) (value, reason string) {
	cell = trim(cell)
	switch {
	case strings.ContainsAny(cell, "\r\n"):
		return "", "name has a line break"
	case strings.ContainsFunc(cell, unicode.IsControl):
		return "", "name has a control character"
	case len(cell) > maxName && utf8.RuneCountInString(cell) > maxName:
		return "", "name is longer than 500 characters"
	}
	return cell, ""
}

// locale reads a BCP 47 tag; the underscores of POSIX are understood.
func (c *checks) locale(cell string) (value, reason string) {
	value = known(c.locales, cell, func() string {
		tag, err := language.Parse(cell)
		if err != nil {
			return ""
		}
		return tag.String()
	})
	if value == "" && cell != "" {
		return "", "locale is not known; something like en or pt-BR is needed"
	}
	return value, ""
}

// timeZone reads an IANA name. "Local" is the zone of this machine, not one of
// the recipient.
func (c *checks) timeZone(cell string) (value, reason string) {
	value = known(c.zones, cell, func() string {
		if _, err := time.LoadLocation(cell); err != nil || cell == "Local" {
			return ""
		}
		return cell
	})
	if value == "" && cell != "" {
		return "", "time zone is not known; something like Europe/Berlin is needed"
	}
	return value, ""
}

// known gives the checked form of a cell, empty if it has none, and asks once
// for each. A full cache is emptied, so that no file can make it grow.
func known(cache map[string]string, cell string, ask func() string) string {
	if len(cell) > maxTag {
		return ""
	}
	value, ok := cache[cell]
	if !ok {
		if len(cache) >= maxKnown {
			clear(cache)
		}
		value = strings.Clone(ask())
		cache[strings.Clone(cell)] = value // a clone does not keep the whole record
	}
	return value
}

// trim drops the spaces around a cell.
func trim(cell string) string { return strings.TrimSpace(cell) }

func withoutNUL(cell string) string {
	if strings.IndexByte(cell, 0) < 0 {
		return cell
	}
	return strings.ReplaceAll(cell, "\x00", "")
}
