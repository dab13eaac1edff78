package store

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// bun writes arguments into the statement, so that every execution is parsed
// and planned anew. The few statements that sending repeats all the time go
// past it, prepared once on each connection: prepared and args give a statement
// with ?1, ?2 … and its arguments as the driver wants them.

func (s *Store) prepared(statement string) string {
	if s.Single() {
		return strings.ReplaceAll(statement, " FOR SHARE", "") // it has one writer
	}
	return strings.ReplaceAll(statement, "?", "$")
}

func (s *Store) args(args ...any) []any {
	if s.Single() {
		return args
	}
	return append([]any{pgx.QueryExecModeCacheStatement}, args...)
}
