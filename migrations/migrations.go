// Package migrations holds the schema of both databases as numbered, up-only
// SQL files, embedded. postgres/ and sqlite/ have the same numbers and names,
// and the same tables and columns; internal/store runs them.
//
// Conventions: instants are BIGINT Unix microseconds UTC, 0 for "not yet";
// truth values are 0 or 1; a topic_id of 0 in suppressions means every topic.
package migrations

import "embed"

// Postgres holds the files of postgres/.
//
//go:embed postgres/*.sql
var Postgres embed.FS

// SQLite holds the files of sqlite/.
//
//go:embed sqlite/*.sql
var SQLite embed.FS
