// Package store keeps everything durable in SQL, on SQLite or on PostgreSQL,
// with the same meaning on both; a conformance suite runs every method on
// each. It is the only package that knows bun, database/sql or a driver.
//
// Every method owns its transaction and is safe for concurrent use. Errors that
// a caller can act on are *posthaste.Error; the rest are wrapped driver errors.
// It renders nothing and talks to no one but its database.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"posthaste"
	"posthaste/internal/audit"
)

// Keys are what of the secret file is stored with, but not in, the database.
type Keys interface {
	// HashAddress gives the keyed hash of a canonical address under the present
	// key; OldAddressHashes gives those under the keys before it, newest first.
	HashAddress(canonical string) []byte
	OldAddressHashes(canonical string) [][]byte
	// AddressKey is the id of the present key. AddressKeyPrint tells two keys of
	// one id apart; it is empty when there is none of that id.
	AddressKey() int
	AddressKeyPrint(id int) string
	audit.Macs
}

// Store is one database.
type Store struct {
	db     *bun.DB
	keys   Keys
	hot    statements
	door   doorway
	writer chan struct{} // full while somebody writes; nil on PostgreSQL
	name   string        // of its connections; PostgreSQL only
}

// Open connects to sqlite:PATH or postgres://…; any other form is Invalid. It
// does not migrate: see Migrate.
func Open(ctx context.Context, url string, keys Keys) (*Store, error) {
	var s *Store
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		s, err = openSQLite(strings.TrimPrefix(url, "sqlite:"))
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		s, err = openPostgres(url)
	default:
		return nil, posthaste.Refuse("POSTHASTE_DATABASE_URL", "must be sqlite:PATH or postgres://user@host/name")
	}
	if err != nil {
		return nil, err
	}
	s.keys = keys
	s.door.turn = make(chan struct{}, 2) // while one is committed another is made
	if err := s.Ping(ctx); err != nil {
		_ = s.Close() // the first error counts
		return nil, err
	}
	return s, nil
}

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return &posthaste.Error{Kind: posthaste.Unavailable, Message: "the database does not answer", Err: err}
	}
	return nil
}

// closeLimit bounds Close: connections are told one after the other to forget
// their statements, and one that hangs answers only after seconds.
const closeLimit = 2 * time.Second

// Close closes all connections. What does not answer is left to the end of the process.
func (s *Store) Close() error {
	closed := make(chan error, 1) // whoever gave up does not read it
	go func() { closed <- errors.Join(s.closePrepared(), s.db.Close()) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeLimit):
		return errors.New("the database does not let go of its connections")
	}
}

// Single reports whether this process is the only one that can send from this
// database, so that every worker of an earlier process must be gone.
func (s *Store) Single() bool { return s.db.Dialect().Name() == dialect.SQLite }

// pool bounds the connections of db and speaks its dialect.
func pool(db *sql.DB, connections int, d schema.Dialect) *bun.DB {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return bun.NewDB(db, d)
}

// inTx runs do in one transaction and translates its error; what says what was
// being done. SQLite has one writer: those of this process queue here, which is
// fair and costs nothing, rather than ask for its lock again and again, each
// with a connection in hand.
func (s *Store) inTx(ctx context.Context, what string, do func(ctx context.Context, tx bun.Tx) error) error {
	done, err := s.turn(ctx)
	if err != nil {
		return translate(what, err)
	}
	defer done()
	return translate(what, s.db.RunInTx(ctx, nil, do))
}

// turn waits until this one may write.
func (s *Store) turn(ctx context.Context) (done func(), err error) {
	if s.writer == nil {
		return func() {}, nil
	}
	select {
	case s.writer <- struct{}{}:
		return func() { <-s.writer }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pick gives the form of a statement for this database.
func (s *Store) pick(postgres, sqlite string) string {
	if s.Single() {
		return sqlite
	}
	return postgres
}

func affected(result sql.Result) int64 {
	n, _ := result.RowsAffected() // both drivers always know
	return n
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func notFound(format string, args ...any) error {
	return &posthaste.Error{Kind: posthaste.NotFound, Message: fmt.Sprintf(format, args...)}
}

// noSuch names what is not found.
func noSuch(err error, what string) error {
	if errors.Is(err, posthaste.NotFound) {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such " + what, Err: err}
	}
	return err
}

func conflict(format string, args ...any) error {
	return &posthaste.Error{Kind: posthaste.Conflict, Message: fmt.Sprintf(format, args...)}
}
