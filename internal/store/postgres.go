package store

import (
	"crypto/rand"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// postgresConnections is what one process takes of the server's.
const postgresConnections = 24

// openPostgres prepares the pool. bun writes arguments into the statement, so
// each text is new: the simple protocol keeps them out of pgx's statement cache.
func openPostgres(url string) (*Store, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse POSTHASTE_DATABASE_URL: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	// What is prepared (prepared.go) is written so that one plan fits all arguments.
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	// A plan for any window is expected to cost enough to be compiled at every
	// execution, which takes 50 ms; it runs for two.
	config.RuntimeParams["jit"] = "off"
	name := applicationName + rand.Text()[:8]
	config.RuntimeParams["application_name"] = name
	return &Store{db: pool(stdlib.OpenDB(*config), postgresConnections, pgdialect.New()), name: name}, nil
}
