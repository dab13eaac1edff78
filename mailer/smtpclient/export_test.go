package smtpclient

import (
	"bufio"
	"bytes"
	"strings"
)

// Encode gives what writeData writes, for fuzzing without a network.
func Encode(message []byte) []byte {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	_ = writeData(w, message, func() {})
	_ = w.Flush()
	return out.Bytes()
}

// ReadAnswer reads an answer from text.
func ReadAnswer(in string) (int, string, error) {
	return readAnswer(bufio.NewReader(strings.NewReader(in)))
}
