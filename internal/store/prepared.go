package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
)

// statements are the few that sending repeats all the time. bun writes
// arguments into a statement, so that every execution is parsed and planned
// anew; these go past it and are prepared once on each connection, with ?1, ?2
// … for their arguments on both databases. Safe for concurrent use.
type statements struct {
	mu                  sync.Mutex
	claim, record, read *sql.Stmt
}

// prepare makes the statements, once there is a schema. It must not be called
// within a transaction: it takes a connection, and when all are in
// transactions that wait for this one, there is none.
func (s *Store) prepare(ctx context.Context) error {
	s.hot.mu.Lock()
	defer s.hot.mu.Unlock()
	for _, want := range []struct {
		statement **sql.Stmt
		text      string
	}{
		{&s.hot.claim, claimWindow},
		{&s.hot.record, s.pick(recordPostgres, recordSQLite)},
		{&s.hot.read, s.pick(readWindowPostgres, readWindowSQLite)},
	} {
		if *want.statement != nil {
			continue
		}
		text := strings.ReplaceAll(want.text, "?", "$")
		if s.Single() {
			text = strings.ReplaceAll(want.text, " FOR SHARE", "") // it has one writer
		}
		var err error
		if *want.statement, err = s.db.DB.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // Close does
			return translate("prepare statements", err)
		}
	}
	return nil
}

func (h *statements) close() (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, statement := range []*sql.Stmt{h.claim, h.record, h.read} {
		if statement != nil {
			err = errors.Join(err, statement.Close())
		}
	}
	return err
}
