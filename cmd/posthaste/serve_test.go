package main

import (
	"context"
	"errors"
	"testing"

	"posthaste"
)

// TestAWorkerWaitsForWhatItNeeds: a database or broker that goes away while a
// process starts does not end it; what will not mend does.
func TestAWorkerWaitsForWhatItNeeds(t *testing.T) {
	t.Parallel()
	away := &posthaste.Error{Kind: posthaste.Unavailable, Message: "away"}
	answers := []error{away, nil}
	must(t, insist(t.Context(), func() error {
		answer := answers[0]
		answers = answers[1:]
		return answer
	}))
	if len(answers) > 0 {
		t.Error("it was not tried again")
	}
	other := errors.New("other")
	if err := insist(t.Context(), func() error { return other }); !errors.Is(err, other) {
		t.Errorf("another fault: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	if err := insist(stopped, func() error { stop(); return away }); !errors.Is(err, away) {
		t.Errorf("a fault after the stop: %v", err)
	}
}
