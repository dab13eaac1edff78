package smtpclient

import (
	"bufio"
	"errors"
	"strings"
)

// errOrder is an answer that makes no sense where it came.
var errOrder = errors.New("the next hop answered out of order")

// readAnswer reads one answer: its code, and the texts of its lines parted by
// line feeds. net/textproto would not do: it waits for ever after a last line
// that is only a code, which RFC 5321 section 4.2 allows. Empty lines before
// the answer are skipped.
func readAnswer(r *bufio.Reader) (code int, text string, err error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" && lines == nil {
			continue
		}
		n, ok := answerCode(line)
		switch {
		case !ok && lines == nil:
			return 0, "", errOrder
		case !ok || lines != nil && n != code: // a server that breaks its own line
			lines = append(lines, line)
			continue
		}
		code = n
		lines = append(lines, line[min(len(line), 4):])
		if len(line) == 3 || line[3] != '-' {
			return code, strings.Join(lines, "\n"), nil
		}
	}
}

// answerCode reads the three digits that begin a line and end before a space, a
// dash or nothing.
func answerCode(line string) (int, bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false
	}
	code := 0
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, code >= 200 && code < 600
}
