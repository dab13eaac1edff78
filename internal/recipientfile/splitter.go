package recipientfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord is the most octets of one record without its line end. The input
// buffer holds that and CR LF, so that a record whose quote is never closed can
// be given back and read again line by line.
const (
	maxRecord = 1 << 20
	window    = maxRecord + 2
)

// splitter cuts a stream into records and cells as RFC 4180 has it, with any
// separator and any line end. Unlike encoding/csv it goes on after a record
// that is malformed, at the line after the one that holds the fault.
type splitter struct {
	in    *bufio.Reader
	comma byte
	line  int // of the next unread octet, from 1

	// The record that was read last. All of it is overwritten by the next one.
	began int    // its first line
	text  []byte // its cells, one behind the other, unquoted
	ends  []int  // where each cell ends in text; at most maxColumns+1 are kept
	cells int    // how many there are

	win   []byte // what is buffered of the input
	at    int    // next octet in win
	lines int    // line ends passed since began
	full  bool   // win holds window octets, all of them part of this record
	err   error  // what ended the input; io.EOF when all was well
}

// fault is what is wrong with a record.
type fault struct {
	line   int
	from   int // where in win the faulty line is to be left
	reason string
}

// next reads one record. Blank lines are passed over. It gives nil and nil, a
// fault, or the error that ended the input.
func (s *splitter) next() (*fault, error) {
	s.skipBlank()
	s.began, s.lines = s.line, 0
	s.text, s.ends, s.cells = s.text[:0], s.ends[:0], 0
	if s.at == len(s.win) && !s.grow() {
		return nil, s.err
	}
	for {
		bad := s.cell()
		if s.err != nil && !errors.Is(s.err, io.EOF) {
			return nil, s.err
		}
		if bad == nil && s.at > maxRecord {
			bad = s.tooLong()
		}
		if bad != nil {
			s.leave(bad)
			return bad, nil
		}
		s.cells++
		if len(s.ends) <= maxColumns {
			s.ends = append(s.ends, len(s.text))
		}
		if s.at == len(s.win) && !s.grow() || s.win[s.at] != s.comma {
			break
		}
		s.at++
	}
	if s.at < len(s.win) {
		s.endLine()
	}
	return nil, nil
}

// raw is the record that was read last as it stood in the input. It is valid
// until commit.
func (s *splitter) raw() []byte { return s.win[:s.at] }

// commit gives up the record that was read last.
func (s *splitter) commit() {
	_, _ = s.in.Discard(s.at) // it is buffered
	s.win, s.at = s.win[s.at:], 0
	s.line += s.lines
	s.lines = 0
}

func (s *splitter) skipBlank() {
	for s.at < len(s.win) || s.grow() {
		if c := s.win[s.at]; c != '\n' && c != '\r' {
			return
		}
		s.endLine()
		s.commit()
	}
}

// cell reads up to the separator, the line end or the end of the input.
func (s *splitter) cell() *fault {
	if (s.at < len(s.win) || s.grow()) && s.win[s.at] == '"' {
		return s.quoted()
	}
	start := s.at
	for s.at < len(s.win) || s.grow() {
		switch c := s.win[s.at]; c {
		case s.comma, '\n', '\r':
			s.text = append(s.text, s.win[start:s.at]...)
			return nil
		case '"':
			return &fault{s.began + s.lines, s.at, "has a quote inside a cell that does not begin with one"}
		}
		s.at++
	}
	if s.full {
		return s.tooLong()
	}
	s.text = append(s.text, s.win[start:s.at]...)
	return nil
}

func (s *splitter) tooLong() *fault { return &fault{s.began, s.at, "is longer than 1 MB"} }

// quoted reads a cell in quotes; a doubled quote stands for one.
func (s *splitter) quoted() *fault {
	line, open := s.began+s.lines, s.at
	s.at++
	start := s.at
	for s.at < len(s.win) || s.grow() {
		switch s.win[s.at] {
		case '\n', '\r':
			s.endLine()
			continue
		case '"':
			s.text = append(s.text, s.win[start:s.at]...)
			s.at++
			if s.at == len(s.win) && !s.grow() {
				if s.full {
					return s.tooLong()
				}
				return nil
			}
			switch s.win[s.at] {
			case s.comma, '\n', '\r':
				return nil
			case '"':
				start = s.at
			default:
				return &fault{line, open, "has a quote that is not closed before the next separator"}
			}
		}
		s.at++
	}
	if s.full {
		return &fault{line, open, "opens a quote that is not closed within 1 MB"}
	}
	return &fault{line, open, "opens a quote that is never closed"}
}

// endLine passes over one line end, which is CR, LF or both.
func (s *splitter) endLine() {
	c := s.win[s.at]
	s.at++
	s.lines++
	if c == '\r' && (s.at < len(s.win) || s.grow()) && s.win[s.at] == '\n' {
		s.at++
	}
}

// leave goes on behind the line that bad.from is on.
func (s *splitter) leave(bad *fault) {
	s.at, s.line, s.lines = bad.from, bad.line, 0
	for {
		if i := bytes.IndexAny(s.win[s.at:], "\r\n"); i >= 0 {
			s.at += i
			s.commit() // first, so that there is room for the LF of CR LF
			s.endLine()
			s.commit()
			return
		}
		s.at = len(s.win)
		s.commit()
		if !s.grow() {
			return
		}
	}
}

// grow reads more of the input behind win and reports whether there was any.
// Otherwise either full or err says why.
func (s *splitter) grow() bool {
	had := len(s.win)
	if s.full = had == window; s.full || s.err != nil {
		return false
	}
	_, err := s.in.Peek(had + 1)
	s.win, _ = s.in.Peek(s.in.Buffered())
	if len(s.win) > had {
		return true
	}
	if s.err = err; err != io.EOF {
		s.err = fmt.Errorf("read line %d: %w", s.line, err)
	}
	return false
}
