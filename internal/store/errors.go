package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"posthaste"
)

// translate turns a driver's error into one of ours, by code and never by text.
// what is a verb and a noun: "freeze campaign".
func translate(what string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*posthaste.Error](err); ours {
		return err
	}
	kind, message := kindOf(err)
	wrapped := fmt.Errorf("%s: %w", what, err)
	if kind == "" {
		return wrapped
	}
	return &posthaste.Error{Kind: kind, Message: message, Err: wrapped}
}

func kindOf(err error) (posthaste.Kind, string) {
	if errors.Is(err, sql.ErrNoRows) {
		return posthaste.NotFound, "not found"
	}
	if errors.Is(err, context.Canceled) {
		return "", ""
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return kindOfPostgres(pg.Code)
	}
	if lite, ok := errors.AsType[sqlite3.ExtendedErrorCode](err); ok {
		return kindOfSQLite(lite)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return posthaste.Unavailable, "the database does not answer"
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return posthaste.Unavailable, "the database does not answer"
	}
	return "", ""
}

// What ends one of two transactions that are in each other's way.
const deadlock, serialization = "40P01", "40001"

// inTheWay reports that a transaction was ended for the sake of another, and
// can be tried again.
func inTheWay(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == deadlock || pg.Code == serialization)
}

// kindOfPostgres reads an SQLSTATE (PostgreSQL manual, appendix A).
func kindOfPostgres(code string) (posthaste.Kind, string) {
	switch {
	case code == "23505": // unique_violation
		return posthaste.Conflict, "it exists already"
	case code == "23503": // foreign_key_violation
		return posthaste.Conflict, "it refers to something that does not exist"
	case code == deadlock || code == serialization:
		return posthaste.Unavailable, "another request was in the way; please try again"
	case len(code) == 5 && (code[:2] == "08" || code[:2] == "53" || code[:2] == "57"):
		// connection exception, insufficient resources, operator intervention
		return posthaste.Unavailable, "the database cannot answer now"
	}
	return "", ""
}

func kindOfSQLite(code sqlite3.ExtendedErrorCode) (posthaste.Kind, string) {
	switch code {
	case sqlite3.CONSTRAINT_UNIQUE, sqlite3.CONSTRAINT_PRIMARYKEY:
		return posthaste.Conflict, "it exists already"
	case sqlite3.CONSTRAINT_FOREIGNKEY:
		return posthaste.Conflict, "it refers to something that does not exist"
	}
	switch code.Code() {
	case sqlite3.BUSY, sqlite3.FULL, sqlite3.IOERR:
		return posthaste.Unavailable, "the database cannot answer now"
	}
	return "", ""
}
