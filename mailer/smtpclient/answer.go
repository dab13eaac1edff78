package smtpclient

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// errOrder is an answer that makes no sense where it came.
var errOrder = errors.New("the next hop answered out of order")

// errGone is a connection that was lost by what came before.
var errGone = io.ErrUnexpectedEOF

// readAnswer reads one answer: its code, and the texts of its lines parted by
// line feeds. net/textproto would not do: it waits for ever after a last line
// that is only a code, which RFC 5321 section 4.2 allows. Empty lines before
// the answer are skipped.
func readAnswer(r *bufio.Reader) (code int, text string, err error) {
	return readAnswerFrom(r, 200)
}

// skimAnswer is readAnswer, but the text of an answer below 400, which nobody
// looks at, may be empty.
func skimAnswer(r *bufio.Reader) (code int, text string, err error) {
	return readAnswerFrom(r, 400)
}

// readAnswerFrom gives the texts of answers from a code on.
func readAnswerFrom(r *bufio.Reader, from int) (code int, text string, err error) {
	var lines []string
	for {
		line, err := readLine(r)
		if err != nil {
			return 0, "", err
		}
		if len(line) == 0 && lines == nil {
			continue
		}
		n, ok := answerCode(line)
		switch {
		case !ok && lines == nil:
			return 0, "", errOrder
		case !ok || lines != nil && n != code: // a server that breaks its own line
			lines = append(lines, string(line))
			continue
		}
		last := len(line) == 3 || line[3] != '-'
		if last && lines == nil { // most are of one line
			if n < from {
				return n, "", nil
			}
			return n, string(line[min(len(line), 4):]), nil
		}
		code = n
		lines = append(lines, string(line[min(len(line), 4):]))
		if last {
			return code, strings.Join(lines, "\n"), nil
		}
	}
}

// readLine reads a line without its end. It is good until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) { // it does not fit: put it together
		whole := bytes.Clone(line)
		rest, restErr := r.ReadBytes('\n')
		line, err = append(whole, rest...), restErr
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// answerCode reads the three digits that begin a line and end before a space, a
// dash or nothing.
func answerCode(line []byte) (int, bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false
	}
	code := 0
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, code >= 200 && code < 600
}
