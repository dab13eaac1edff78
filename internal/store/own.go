package store

import (
	"context"

	"github.com/ncruces/go-sqlite3/driver"

	"posthaste"
)

// Own makes this process the only one that sends from an SQLite file, until
// release is called or the process ends, however it ends; a second one gets a
// Conflict. Other processes may still read and write the file. On PostgreSQL it
// does nothing: any number of processes share it.
//
// The lock is SQLite's own, on a file beside the database.
func (s *Store) Own(ctx context.Context) (release func() error, err error) {
	if !s.Single() {
		return func() error { return nil }, nil
	}
	if release, err = s.lockOwner(ctx); err != nil {
		return nil, err
	}
	// The secret may have been rotated since this process looked at it.
	if err := s.checkAddressKey(ctx, s.db); err != nil {
		_ = release() // the first error counts
		return nil, err
	}
	return release, nil
}

func (s *Store) lockOwner(ctx context.Context) (release func() error, err error) {
	var file string
	if err := s.db.NewRaw("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(ctx, &file); err != nil {
		return nil, translate("find database file", err)
	}
	lock, err := driver.Open("file:" + escape(file+".owner") + "?_pragma=busy_timeout(0)&_pragma=locking_mode(exclusive)")
	if err != nil {
		return nil, err
	}
	lock.SetMaxOpenConns(1)
	if _, err := lock.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS owner (since TEXT); DELETE FROM owner; INSERT INTO owner VALUES (datetime())"); err != nil {
		_ = lock.Close() // it holds nothing
		return nil, &posthaste.Error{Kind: posthaste.Conflict, Message: "another posthaste is running on this data folder", Err: err}
	}
	return lock.Close, nil
}
