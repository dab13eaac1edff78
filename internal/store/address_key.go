package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// addressKeySetting holds the newest key of address hashes: its id and its fingerprint.
const addressKeySetting = "address_key"

// checkAddressKey is a Conflict when the secret file lacks the newest key.
func (s *Store) checkAddressKey(ctx context.Context, db bun.IDB) error {
	var bound string
	err := db.NewRaw("SELECT value FROM settings WHERE name = ?", addressKeySetting).Scan(ctx, &bound)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return translate("check address key", err)
	}
	return s.knowsKey(bound)
}

func (s *Store) knowsKey(bound string) error {
	var id int
	var print string
	if _, err := fmt.Sscanf(bound, "%d %s", &id, &print); err != nil {
		return fmt.Errorf("read address key: %w", err)
	}
	if s.keys.AddressKeyPrint(id) == print {
		return nil
	}
	return &posthaste.Error{Kind: posthaste.Conflict, Message: fmt.Sprintf("the secret file lacks line %d (fingerprint %s), which it got when the secret was rotated: "+
		"copy the file to every machine; without the line, opt-outs would be forgotten", id, print)}
}

// bindAddressKey remembers the present key as the newest. Changing it is for a
// process that is alone, which owned says of an SQLite file: another one would
// go on without the key, and not find what is suppressed under it.
func (s *Store) bindAddressKey(ctx context.Context, tx bun.Tx, owned bool) error {
	id := s.keys.AddressKey()
	present := fmt.Sprintf("%d %s", id, s.keys.AddressKeyPrint(id))
	if _, err := exec(ctx, tx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", addressKeySetting, present); err != nil {
		return err
	}
	var bound string
	// The lock has a process that starts wait for one that changes the key.
	if err := tx.NewRaw("SELECT value FROM settings WHERE name = ?"+s.pick(" FOR UPDATE", ""), addressKeySetting).Scan(ctx, &bound); err != nil || bound == present {
		return err
	}
	if err := s.knowsKey(bound); err != nil {
		return err
	}
	if !s.Single() {
		if err := s.nobodyElse(ctx, tx); err != nil {
			return err
		}
	} else if !owned {
		release, err := s.lockOwner(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // it was held for this moment
	}
	if _, err := exec(ctx, tx, "UPDATE settings SET value = ? WHERE name = ?", present, addressKeySetting); err != nil {
		return err
	}
	return s.appendAudit(ctx, tx, did(ctx, "secret.rotate", "secret", "key_id", strconv.Itoa(id)))
}

// UseKeys has the store go on with the keys of a secret file that has got a
// line, and lets no process run without that line from then on. The caller owns
// the database (Own); it is a Conflict as long as another process is connected.
// Nothing else may use the store meanwhile.
func (s *Store) UseKeys(ctx context.Context, keys Keys) error {
	before := s.keys
	s.keys = keys
	err := s.inTx(ctx, "use keys", func(ctx context.Context, tx bun.Tx) error { return s.bindAddressKey(ctx, tx, true) })
	if err != nil {
		s.keys = before
	}
	return err
}

// Alone is a Conflict when another process is connected to a PostgreSQL
// database. Who serves from an SQLite file owns it: see Own.
func (s *Store) Alone(ctx context.Context) error {
	if s.Single() {
		return nil
	}
	return translate("look for other processes", s.nobodyElse(ctx, s.db))
}

const (
	// applicationName begins the name of each store's connections, by which PostgreSQL tells them apart.
	applicationName = "posthaste "
	// leaveWait is how long the server may need to notice that a process is gone.
	leaveWait = 2 * time.Second
)

func (s *Store) nobodyElse(ctx context.Context, db bun.IDB) error {
	tick := time.NewTicker(leaveWait / 40)
	defer tick.Stop()
	for since := time.Now(); ; {
		// Within a transaction the server would give the same answer again.
		if _, err := exec(ctx, db, "SELECT pg_stat_clear_snapshot()"); err != nil {
			return err
		}
		var others int64
		if err := db.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE ? AND application_name <> ?",
			applicationName+"%", s.name).Scan(ctx, &others); err != nil || others == 0 {
			return err
		}
		if time.Since(since) > leaveWait {
			return conflict("another posthaste is connected to this database (%d connections): stop all of them first", others)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
