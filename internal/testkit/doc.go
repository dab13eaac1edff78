// Package testkit gives tests real parts to talk to: a PostgreSQL database, a
// NATS server with JetStream, SMTP servers that behave (Sink, and NewFastSink, which only counts) and one
// that misbehaves on purpose (Script). It is for tests and benchmarks only:
// nothing that ships imports it. Its servers listen on 127.0.0.1 or a unix
// socket and leave nothing behind when the test process ends, however it ends.
//
// The SMTP parts follow RFC 5321, 2920 (PIPELINING), 3207 (STARTTLS) and 4954
// (AUTH) as far as a sending client can see.
package testkit

import (
	"os"
	"testing"
)

// Missing skips the test for want of a part of the machine, or fails it under
// POSTHASTE_TEST_STRICT=1, so that CI cannot pass by skipping.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("POSTHASTE_TEST_STRICT") == "1" {
		tb.Fatalf("testkit: %s (POSTHASTE_TEST_STRICT=1)", what)
	}
	tb.Skipf("testkit: skipped: %s", what)
}

// Slow leaves a test out under -short, as Missing does, since it takes a while.
func Slow(tb testing.TB, what string) {
	tb.Helper()
	if testing.Short() {
		Missing(tb, "-short: "+what)
	}
}
