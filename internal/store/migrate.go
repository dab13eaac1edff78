package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"posthaste"
	"posthaste/migrations"
)

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x706f7374

// Migrate brings the schema up to date and returns the names of what it ran.
// Several processes may call it at once: on PostgreSQL one runs and the others
// wait; an SQLite file has its own lock.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	var ran []string
	err := s.withMigrationLock(ctx, func() error {
		files, sub := fs.FS(migrations.Postgres), "postgres"
		if s.Single() {
			files, sub = migrations.SQLite, "sqlite"
		}
		files, err := fs.Sub(files, sub)
		if err != nil {
			return err
		}
		all := migrate.NewMigrations()
		if err := all.Discover(files); err != nil {
			return err
		}
		migrator := migrate.NewMigrator(s.db, all, migrate.WithMarkAppliedOnSuccess(true))
		if err := migrator.Init(ctx); err != nil {
			return err
		}
		group, err := migrator.Migrate(ctx)
		if err != nil {
			return err
		}
		for _, m := range group.Migrations {
			ran = append(ran, m.Name+"_"+m.Comment)
		}
		return nil
	})
	return ran, translate("migrate", err)
}

// withMigrationLock wraps the migrator because bun's own lock is a table row,
// which a crash would leave locked.
func (s *Store) withMigrationLock(ctx context.Context, do func() error) error {
	if s.Single() {
		return do()
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", migrationLock); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(?)", migrationLock)
	return do()
}

// Setting names of the settings table.
const secretSetting = "secret_fingerprint"

// Empty reports whether the database has no table at all.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	var tables int64
	err := s.db.NewRaw(s.pick("SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()",
		"SELECT count(*) FROM sqlite_master WHERE type = 'table'")).Scan(ctx, &tables)
	return tables == 0, translate("look for tables", err)
}

// CheckSecret is a Conflict when the database was filled with another secret, or
// when the secret file lacks the line that its newest address hashes rest on.
// It changes nothing, and an empty database fits any.
func (s *Store) CheckSecret(ctx context.Context, fingerprint string) error {
	if empty, err := s.Empty(ctx); err != nil || empty {
		return err
	}
	var bound string
	err := s.db.NewRaw("SELECT value FROM settings WHERE name = ?", secretSetting).Scan(ctx, &bound)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil && bound != fingerprint {
		err = wrongSecret(fingerprint, bound)
	}
	if err == nil {
		err = s.checkAddressKey(ctx, s.db)
	}
	return translate("check secret", err)
}

func wrongSecret(fingerprint, bound string) error {
	return &posthaste.Error{Kind: posthaste.Conflict, Message: fmt.Sprintf(
		"the secret file (fingerprint %s) is not the one this database was filled with (%s): with it, opt-outs would be forgotten", fingerprint, bound)}
}

// BindSecret remembers the fingerprint of the secret file at the first call and
// is a Conflict when a later one differs: with another secret every address
// hash would miss and opt-outs would be forgotten. It remembers the newest key of
// address hashes too, and is a Conflict when a later file lacks that line. One
// that has a newer line is a Conflict only as long as another process is there.
func (s *Store) BindSecret(ctx context.Context, fingerprint string) error {
	return s.inTx(ctx, "bind secret", func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewRaw("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
			secretSetting, fingerprint).Exec(ctx); err != nil {
			return err
		}
		var bound string
		if err := tx.NewRaw("SELECT value FROM settings WHERE name = ?", secretSetting).Scan(ctx, &bound); err != nil {
			return err
		}
		if bound != fingerprint {
			return wrongSecret(fingerprint, bound)
		}
		return s.bindAddressKey(ctx, tx, false)
	})
}
