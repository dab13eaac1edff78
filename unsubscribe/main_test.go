package unsubscribe_test

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"testing"
)

// The 503 that tests provoke are no news, unless somebody looks for them with -v.
func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	}
	os.Exit(m.Run())
}
