package recipientfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"posthaste"
)

// maxColumns is the most columns of a file.
const maxColumns = 100

// role is what a column fills.
type role int

const (
	attribute role = iota
	email
	name
	firstName
	lastName
	locale
	timeZone
)

// aliases maps a column's name, in lower case and without spaces, hyphens and
// underscores, to its role. Other names are attributes.
var aliases = map[string]role{
	"email": email, "emailaddress": email, "mail": email, "mailaddress": email, "emailadresse": email,
	"mailadresse": email, "adresseemail": email, "courriel": email, "correoelectronico": email,
	"correoelectrónico": email, "subscriberemail": email, "recipientemail": email,
	"name": name, "fullname": name, "displayname": name, "recipientname": name, "contactname": name,
	"vollständigername": name,
	"firstname":         firstName, "givenname": firstName, "forename": firstName, "vorname": firstName,
	"prénom": firstName, "prenom": firstName,
	"lastname": lastName, "surname": lastName, "familyname": lastName, "nachname": lastName,
	"familienname": lastName,
	"locale":       locale, "lang": locale, "language": locale, "preferredlanguage": locale, "sprache": locale,
	"langue": locale, "idioma": locale,
	"timezone": timeZone, "tz": timeZone, "zeitzone": timeZone, "fuseauhoraire": timeZone,
}

// reserved are the attribute names that first and last name keep when the file
// has a column for the whole name as well.
var reserved = map[role]string{firstName: "first_name", lastName: "last_name"}

// column is one column of the header.
type column struct {
	role role
	name string // of an attribute
}

// comma guesses the separator of a header line: the one that stands most often
// outside of quotes. Without any the file has one column.
func comma(line []byte) byte {
	count := map[byte]int{}
	quoted := false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n' || c == '\r':
			return most(count)
		default:
			count[c]++
		}
	}
	return most(count)
}

func most(count map[byte]int) byte {
	best := byte(',')
	for _, c := range []byte(";\t") {
		if count[c] > count[best] {
			best = c
		}
	}
	return best
}

// readHeader gives the columns that the cells of line 1 name. The error names
// the line and the column, by its number and, unless it may be an address, by
// its text.
func readHeader(cells []string) ([]column, error) {
	if len(cells) > maxColumns {
		return nil, refuseHeader(fmt.Sprintf("names %d columns; at most %d are read", len(cells), maxColumns))
	}
	columns := make([]column, len(cells))
	has := map[role]int{} // the number of the column, from 1
	for i, cell := range cells {
		if strings.Contains(cell, "@") {
			return nil, refuseHeader(fmt.Sprintf("column %d holds an address; the first line must name the columns", i+1))
		}
		r := aliases[plain(cell)]
		columns[i].role = r
		if r == attribute {
			continue
		}
		if has[r] != 0 {
			return nil, refuseHeader(fmt.Sprintf("columns %d and %d (%s) mean the same; only one may stay", has[r], i+1, short(cell)))
		}
		has[r] = i + 1
	}
	if has[email] == 0 {
		return nil, refuseHeader(`no column is named "email"`)
	}
	for i := range columns {
		if has[name] != 0 && reserved[columns[i].role] != "" {
			columns[i] = column{attribute, reserved[columns[i].role]}
		}
	}
	return columns, nameAttributes(columns, cells)
}

// nameAttributes fills the names of attribute columns.
func nameAttributes(columns []column, cells []string) error {
	seen := map[string]int{}
	for i := range columns {
		c := &columns[i]
		if c.role != attribute {
			continue
		}
		if c.name == "" {
			c.name = snake(cells[i])
		}
		if !attributeName(c.name) {
			return refuseHeader(fmt.Sprintf("column %d (%s) cannot be an attribute: its name must be made of a to z, 0 to 9 and _, begin with a letter, and have at most 64 characters", i+1, short(cells[i])))
		}
		if seen[c.name] != 0 {
			return refuseHeader(fmt.Sprintf("columns %d and %d (%s) have the same name", seen[c.name], i+1, short(cells[i])))
		}
		seen[c.name] = i + 1
	}
	return nil
}

func refuseHeader(reason string) error { return posthaste.Refuse("line 1", reason) }

// plain is a column's name as aliases has it.
func plain(cell string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\u00a0', '\t', '_', '-', '\u2011':
			return -1
		}
		return r
	}, strings.ToLower(norm.NFC.String(cell)))
}

// snake writes an attribute's name in lower snake case.
func snake(cell string) string {
	parts := strings.FieldsFunc(strings.ToLower(cell), func(r rune) bool {
		return strings.ContainsRune(" \u00a0\t_-./", r)
	})
	return strings.Join(parts, "_")
}

func attributeName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// short is a column's name for a message.
func short(cell string) string {
	if utf8.RuneCountInString(cell) > 40 {
		cell = string([]rune(cell)[:40]) + "…"
	}
	return fmt.Sprintf("%q", cell)
}
