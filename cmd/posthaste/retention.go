package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"posthaste"
	"posthaste/internal/inventory"
)

const (
	// forgetEvery is how often the retention job runs; the first time forgetFirst
	// after a process began to lead, so that starting is not slowed down.
	forgetEvery = 24 * time.Hour
	forgetFirst = time.Minute
)

// keepRetention carries out the rules of the inventory until ctx ends. What
// fails is tried again the next time, and keeps no other rule from being carried out.
func (svc *service) keepRetention(ctx context.Context) {
	wait := time.NewTimer(forgetFirst)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if err := svc.forget(ctx, time.Now()); err != nil && ctx.Err() == nil {
			slog.Error("data that should have been forgotten are still there", "error", err)
		}
		wait.Reset(forgetEvery)
	}
}

// forget carries out all rules as of an instant. Its report is an entry in the
// audit log: how many rows each rule was about.
func (svc *service) forget(ctx context.Context, now time.Time) error {
	all, err := inventory.Load()
	if err != nil {
		return err
	}
	rules, err := all.Rules()
	if err != nil {
		return err
	}
	var details, failed []string
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		n, err := svc.store.Forget(ctx, rule, now.AddDate(0, 0, -rules[rule]))
		if err != nil {
			slog.Warn("a rule of retention failed", "rule", rule, "error", err)
			failed = append(failed, rule)
		}
		if n > 0 {
			details = append(details, rule, fmt.Sprint(n))
		}
	}
	if _, err := svc.store.ExpireRequests(ctx, now); err != nil {
		failed = append(failed, "links of requests")
	}
	if len(failed) > 0 {
		details = append(details, "failed", strings.Join(failed, " "))
	}
	if err := svc.store.Audit(ctx, "retention.run", "inventory", details...); err != nil {
		return err
	}
	if len(failed) > 0 {
		return &posthaste.Error{Kind: posthaste.Unavailable, Message: "rules of retention failed: " + strings.Join(failed, ", ")}
	}
	return nil
}
