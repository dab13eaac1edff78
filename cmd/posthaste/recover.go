package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"posthaste/mailer/journal"
)

func (svc *service) journalDir() string { return filepath.Join(svc.config.DataDir, "journal") }

// recover takes back what earlier processes on this machine were sending when
// they were killed. Their journals say what became of it; without one, on a
// database that only one process has, all that a window covered is uncertain.
// Elsewhere the scheduler finds out by a worker's silence.
func (svc *service) recover(ctx context.Context) error {
	if err := svc.settle(ctx); err != nil {
		return err
	}
	if !svc.store.Single() {
		return nil
	}
	uncertain, err := svc.store.ReleaseLost(ctx, 0)
	if err == nil {
		_, err = svc.store.ReleaseLostNotices(ctx, 0)
	}
	svc.metrics.Lost(uncertain)
	if uncertain > 0 {
		slog.Warn("the last run ended in the middle of sending; deliveries are uncertain", "count", uncertain)
	}
	return err
}

// settle records what the journals of workers that are gone say.
func (svc *service) settle(ctx context.Context) error {
	lost, err := journal.Find(svc.journalDir())
	if err != nil {
		slog.Warn("a journal could not be read; more is uncertain than need be", "error", err)
	}
	for i, l := range lost {
		if err := svc.store.Settle(ctx, l.Worker, l.Outcomes); err != nil {
			for _, rest := range lost[i:] {
				rest.Leave()
			}
			return fmt.Errorf("settle %s: %w", l.Worker, err)
		}
		for _, outcomes := range l.Outcomes {
			svc.metrics.Recorded(outcomes)
		}
		l.Forget()
	}
	return nil
}

// settleEvery is how soon a worker settles the journal of another one over the
// same folder that was killed, well before its silence is noticed.
const settleEvery = 3 * time.Second

// settleOthers does that until ctx ends.
func (svc *service) settleOthers(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := svc.settle(ctx); err != nil && ctx.Err() == nil {
				slog.Warn("a lost worker's journal waits to be settled", "error", err)
			}
		}
	}
}

// instanceID names this start of this process: HOST-PID-MILLISECONDS.
func instanceID() string {
	return fmt.Sprintf("%s-%d-%d", hostID(), os.Getpid(), time.Now().UnixMilli())
}

// hostID is the host's name in letters, digits and hyphens.
func hostID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, host)
}
