package mailer

import (
	"context"
	"log/slog"

	"posthaste/internal/metrics"
)

// steps runs what a scheduler does at each tick; one that fails is tried again at the next.
type steps struct {
	metrics *metrics.Metrics // nil: nobody measures
}

// Measure has the scheduler tell what it does. It is called before Run.
func (s *steps) Measure(m *metrics.Metrics) { s.metrics = m }

// step reports whether do succeeded.
func (s *steps) step(ctx context.Context, what string, do func(context.Context) error) bool {
	err := do(ctx)
	if err != nil && ctx.Err() == nil {
		slog.Error("scheduler step failed", "operation", what, "error", err)
		s.metrics.StepFailed()
	}
	return err == nil
}
