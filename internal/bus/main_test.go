package bus_test

import (
	"flag"
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"posthaste/internal/testkit"
)

func TestMain(m *testing.M) {
	if testkit.BeNATS() {
		return
	}
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	}
	goleak.VerifyTestMain(m)
}
