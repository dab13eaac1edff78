package store

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// Forgotten is Forget batch by batch.
func (s *Store) Forgotten(ctx context.Context, rule string, before time.Time, size int) iter.Seq2[int64, error] {
	return s.forgotten(ctx, rule, before, size)
}

// PlanAudit says how the database would find entries.
func (s *Store) PlanAudit(ctx context.Context, f posthaste.AuditFilter, before int64, limit int) (string, error) {
	query, args := auditQuery(f, before, limit)
	return s.plan(ctx, query, args...)
}

// PlanForget says how it would carry out a rule, in the midst of it.
func (s *Store) PlanForget(ctx context.Context, rule string, before time.Time) (string, error) {
	var all []string
	for _, f := range s.forgettings()[rule] {
		for _, query := range []string{f.ends(), f.statement()} {
			plan, err := s.plan(ctx, query, micros(before), 1000, 1100, 1)
			if err != nil {
				return "", err
			}
			all = append(all, plan)
		}
	}
	return strings.Join(all, "\n"), nil
}

// PlanErase says how it would find what an erasure removes under a name.
func (s *Store) PlanErase(ctx context.Context, name string) (plan string, err error) {
	for _, e := range s.erasures() {
		if e.name == name {
			return s.plan(ctx, e.statement, 1, []byte{1}, bun.Safe("''"))
		}
	}
	return "", posthaste.Refuse("name", "nothing is counted so")
}

func (s *Store) plan(ctx context.Context, query string, args ...any) (string, error) {
	rows, err := s.db.QueryContext(ctx, s.pick("EXPLAIN ", "EXPLAIN QUERY PLAN ")+query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var step string // the last column
		columns := []any{&step}
		if s.Single() {
			columns = []any{new(any), new(any), new(any), &step}
		}
		if err := rows.Scan(columns...); err != nil {
			return "", err
		}
		steps = append(steps, step)
	}
	return strings.Join(steps, "\n"), rows.Err()
}
