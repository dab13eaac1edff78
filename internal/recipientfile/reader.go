// Package recipientfile reads a recipients file: CSV (RFC 4180) as spreadsheets
// and other services write it, with a header line that names the columns. It
// streams: memory does not grow with the file. Every line is either a checked
// recipient or a rejection with its reason; nothing is passed over silently but
// blank lines. It stores nothing, knows no consent and asks no DNS.
package recipientfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"posthaste"
)

// Row is one recipient. All its texts are UTF-8 without NUL.
type Row struct {
	Line       int         // where the record begins, from 1
	Email      string      // to send to
	Canonical  string      // to compare with
	Name       string      // one line, at most 500 characters
	Locale     string      // BCP 47, or empty
	TimeZone   string      // IANA, or empty
	Attributes []Attribute // in column order; empty cells are left out
}

// Attribute is one cell of a column that is none of the others.
type Attribute struct {
	Name  string // lower snake case, at most 64 characters
	Value string // as given, at most 10,000 characters
}

// Reader reads one file. It is not safe for concurrent use.
type Reader struct {
	split   splitter
	columns []column
	checks  checks
	row     Row
}

// NewReader reads the header line. Columns are separated by comma, semicolon
// or tab, whichever the header has; lines end in LF, CR LF or CR; a UTF-8 byte
// order mark is passed over. The error for a header that cannot be used is a
// *posthaste.Error with the field "line 1".
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, window)
	if err := skipMark(in); err != nil {
		return nil, err
	}
	f := &Reader{split: splitter{in: in, line: 1}, checks: newChecks()}
	s := &f.split
	for s.grow() && !bytes.ContainsAny(s.win, "\r\n") {
	}
	s.comma = comma(s.win)
	bad, err := s.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, refuseHeader("is empty; it must name the columns")
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, refuseHeader(bad.reason)
	case s.began != 1:
		return nil, refuseHeader("is blank; it must name the columns")
	case !utf8.Valid(s.raw()):
		return nil, refuseHeader("is not UTF-8; save the file as CSV UTF-8")
	case s.cells > maxColumns:
		return nil, refuseHeader(fmt.Sprintf("names %d columns; at most %d are read", s.cells, maxColumns))
	}
	cells := make([]string, 0, s.cells)
	for i := range s.cells {
		cells = append(cells, trim(f.cell(string(s.text), i)))
	}
	s.commit()
	f.columns, err = readHeader(cells)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// skipMark passes over a UTF-8 byte order mark and refuses UTF-16 and UTF-32,
// marked or not.
func skipMark(in *bufio.Reader) error {
	start, _ := in.Peek(4) // an error comes again with the first record
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3)
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")),
		len(start) >= 2 && (start[0] == 0 || start[1] == 0):
		return refuseHeader("is UTF-16; save the file as CSV UTF-8")
	}
	return nil
}

// Attributes gives the names of the attribute columns, in order.
func (f *Reader) Attributes() []string {
	var names []string
	for _, c := range f.columns {
		if c.role == attribute {
			names = append(names, c.name)
		}
	}
	return names
}

// Next gives the next recipient or the next rejected line: exactly one of the
// two, or an error. The error is io.EOF after the last line; any other comes
// from the underlying reader, names the line and ends the reading. The Row and
// its Attributes are overwritten by the following call; its strings are not.
//
// After a quote that is never properly closed the reading goes on at the line
// after the one with the quote, so that one fault costs one line.
func (f *Reader) Next() (*Row, *posthaste.Rejection, error) {
	s := &f.split
	bad, err := s.next()
	switch {
	case err != nil:
		return nil, nil, err
	case bad != nil:
		return nil, &posthaste.Rejection{Line: bad.line, Reason: bad.reason}, nil
	}
	defer s.commit()
	reason := f.fill()
	if reason != "" {
		return nil, &posthaste.Rejection{Line: s.began, Reason: reason}, nil
	}
	return &f.row, nil, nil
}

// fill makes the record a row, or says why it is none.
func (f *Reader) fill() string {
	s := &f.split
	if s.cells != len(f.columns) {
		return fmt.Sprintf("has %d cells where the first line names %d columns", s.cells, len(f.columns))
	}
	if !utf8.Valid(s.raw()) {
		return "is not UTF-8"
	}
	f.row = Row{Line: s.began, Attributes: f.row.Attributes[:0]}
	text := string(s.text)
	var first, last string
	for i, c := range f.columns {
		cell := f.cell(text, i)
		var reason string
		switch c.role {
		case email:
			reason = f.checks.email(&f.row, cell)
		case name:
			f.row.Name, reason = checkName(cell)
		case firstName:
			first, reason = checkName(cell)
		case lastName:
			last, reason = checkName(cell)
		case locale:
			f.row.Locale, reason = f.checks.locale(trim(cell))
		case timeZone:
			f.row.TimeZone, reason = f.checks.timeZone(trim(cell))
		case attribute:
			reason = f.attribute(c.name, cell)
		}
		if reason != "" {
			return reason
		}
	}
	if first != "" || last != "" {
		f.row.Name = trim(first + " " + last)
	}
	return ""
}

func (f *Reader) attribute(name, cell string) string {
	if len(cell) > maxValue && utf8.RuneCountInString(cell) > maxValue {
		return fmt.Sprintf("%s is longer than 10,000 characters", name)
	}
	if cell != "" {
		f.row.Attributes = append(f.row.Attributes, Attribute{name, cell})
	}
	return ""
}

// cell is cell i of the record whose cells are text, without NUL.
func (f *Reader) cell(text string, i int) string {
	start := 0
	if i > 0 {
		start = f.split.ends[i-1]
	}
	return withoutNUL(text[start:f.split.ends[i]])
}
