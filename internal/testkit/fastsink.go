package testkit

import (
	"bytes"
	"testing"

	"posthaste/internal/sink"
)

// NewFastSink starts an SMTP server that costs next to nothing and only counts.
// It ends with the test.
func NewFastSink(tb testing.TB) *sink.Sink {
	tb.Helper()
	s, err := sink.Listen(tb.Context(), "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("testkit: listen: %v", err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// path is what stands between the angle brackets of a command.
func path(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte("<"))
	inner, _, _ := bytes.Cut(rest, []byte(">"))
	return string(inner)
}
