// Command posthaste runs the service and its tools: see README.md.
//
// It is the only package that knows all others: it reads the configuration,
// opens what is to be opened, hands each part the small interfaces it asks for,
// and stops them in order.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // schedules name IANA zones, also where the system has none
)

// collectAt is how much the memory in use grows, in percent, before it is
// collected. What is in use is small, some 20 MB while sending, so that a few times
// that is a fair price for less collecting (docs/performance.md).
const collectAt = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "posthaste:", err)
		os.Exit(1)
	}
}
