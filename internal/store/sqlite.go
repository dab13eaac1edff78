package store

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3/driver"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// sqliteConnections bounds the readers beside the one writer that SQLite has.
const sqliteConnections = 6

// openSQLite opens or creates the file. synchronous=FULL, so that an opt-out or
// an outcome that was committed survives the loss of power, not only a crash.
func openSQLite(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	// Made here, so that what SQLite makes beside it has the same mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create sqlite file: %w", err)
	}
	if err := errors.Join(file.Chmod(0o600), file.Close()); err != nil {
		return nil, fmt.Errorf("protect sqlite file: %w", err)
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(60000)", "journal_mode(wal)", "synchronous(full)",
		"foreign_keys(on)", "cache_size(-8000)", "temp_store(file)",
	}}
	db, err := driver.Open("file:" + escape(path) + "?" + query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	return &Store{db: pool(db, sqliteConnections, sqlitedialect.New()), writer: make(chan struct{}, 1)}, nil
}

// escape makes a path fit for an SQLite URI.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
