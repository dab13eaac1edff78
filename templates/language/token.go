package language

import (
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	endToken tokenKind = iota
	nameToken
	stringToken
	numberToken
	signToken // operators and punctuation
)

type token struct {
	kind tokenKind
	text string // a name, a sign, or a string without its quotes
	num  float64
	at   int // offset in the source
}

// tokens cuts the inside of a tag. It reports faults to the parser and stops at the first.
func (p *parser) tokens(inner string, at int) ([]token, bool) {
	var list []token
	for i := 0; i < len(inner); {
		c := inner[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '"' || c == '\'':
			end := strings.IndexByte(inner[i+1:], c)
			if end < 0 {
				p.fault(at+i, "the quote %c is never closed", c)
				return nil, false
			}
			list = append(list, token{kind: stringToken, text: inner[i+1 : i+1+end], at: at + i})
			i += end + 2
		case isDigit(c) || c == '-' && i+1 < len(inner) && isDigit(inner[i+1]):
			n := numberLength(inner[i:])
			// A part of a name after a dot may be made of digits.
			num, err := strconv.ParseFloat(inner[i:i+n], 64)
			if err != nil {
				p.fault(at+i, "%s is not a number", inner[i:i+n])
				return nil, false
			}
			list = append(list, token{kind: numberToken, text: inner[i : i+n], num: num, at: at + i})
			i += n
		case isNameByte(c) && c != '-':
			n := nameLength(inner[i:])
			list = append(list, token{kind: nameToken, text: inner[i : i+n], at: at + i})
			i += n
			for i+1 < len(inner) && inner[i] == '.' && isNameByte(inner[i+1]) {
				list = append(list, token{kind: signToken, text: ".", at: at + i})
				n = nameLength(inner[i+1:])
				list = append(list, token{kind: nameToken, text: inner[i+1 : i+1+n], at: at + i + 1})
				i += n + 1
			}
		default:
			n := 1
			if i+1 < len(inner) && inner[i+1] == '=' && strings.IndexByte("=!<>", c) >= 0 {
				n = 2
			}
			if n == 1 && strings.IndexByte("|:,.[]<>", c) < 0 {
				p.fault(at+i, "%q has no meaning here", []rune(inner[i:])[0])
				return nil, false
			}
			list = append(list, token{kind: signToken, text: inner[i : i+n], at: at + i})
			i += n
		}
	}
	return list, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c == '_' || c == '-' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func nameLength(text string) int {
	n := 0
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	return n
}

func numberLength(text string) int {
	n := 1
	for n < len(text) && (isDigit(text[n]) || text[n] == '.' && n+1 < len(text) && isDigit(text[n+1])) {
		n++
	}
	return n
}
