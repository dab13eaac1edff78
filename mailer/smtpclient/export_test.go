package smtpclient

import (
	"bufio"
	"strings"
)

// Encode gives the form for the wire.
func Encode(message []byte) []byte { return appendWire(nil, message) }

// ReadAnswer reads an answer from text.
func ReadAnswer(in string) (int, string, error) {
	return readAnswer(bufio.NewReader(strings.NewReader(in)))
}
