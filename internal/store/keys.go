package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// everyScope stands for all scopes, also those that come with a later version.
const everyScope = "*"

type keyRow struct {
	ID                               int64
	Name, Scopes                     string
	Rate                             int
	ExpiresAt, RevokedAt, LastUsedAt int64
	CreatedAt                        int64
}

const keyColumns = "id, name, scopes, rate, expires_at, revoked_at, last_used_at, created_at"

func (r keyRow) key() posthaste.Key {
	k := posthaste.Key{ID: r.ID, Name: r.Name, Rate: r.Rate, ExpiresAt: instant(r.ExpiresAt), RevokedAt: instant(r.RevokedAt),
		LastUsedAt: instant(r.LastUsedAt), CreatedAt: instant(r.CreatedAt)}
	if r.Scopes == everyScope {
		k.Scopes = posthaste.Scopes
		return k
	}
	for scope := range strings.SplitSeq(r.Scopes, ",") {
		k.Scopes = append(k.Scopes, posthaste.Scope(scope))
	}
	return k
}

func scopesText(scopes []posthaste.Scope) string {
	distinct := slices.Compact(slices.Sorted(slices.Values(scopes)))
	if slices.Equal(distinct, slices.Sorted(slices.Values(posthaste.Scopes))) {
		return everyScope
	}
	texts := make([]string, len(distinct))
	for i, s := range distinct {
		texts[i] = string(s)
	}
	return strings.Join(texts, ",")
}

// PutKey stores the SHA-256 of an API key under its name, with what it may do; a
// key that had the name stops working.
func (s *Store) PutKey(ctx context.Context, k posthaste.Key, hash []byte) (posthaste.Key, error) {
	var row keyRow
	err := s.inTx(ctx, "put key", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw(`INSERT INTO api_keys (name, hash, scopes, rate, expires_at, revoked_at, last_used_at, created_at) VALUES (?, ?, ?, ?, ?, 0, 0, ?)
			ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, scopes = excluded.scopes, rate = excluded.rate, expires_at = excluded.expires_at,
				revoked_at = 0, last_used_at = 0, created_at = excluded.created_at RETURNING `+keyColumns,
			k.Name, hash, scopesText(k.Scopes), k.Rate, micros(k.ExpiresAt), micros(time.Now())).Scan(ctx, &row); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "key.add", "key/"+k.Name, "scopes", row.Scopes))
	})
	return row.key(), err
}

const findKey = "SELECT " + keyColumns + " FROM api_keys WHERE hash = ?1"

// FindKey gives the key with that SHA-256, whether it still works or not, or NotFound.
func (s *Store) FindKey(ctx context.Context, hash []byte) (posthaste.Key, error) {
	if err := s.prepare(ctx); err != nil {
		return posthaste.Key{}, err
	}
	var r keyRow
	err := s.hot.key.QueryRowContext(ctx, hash).Scan(&r.ID, &r.Name, &r.Scopes, &r.Rate, &r.ExpiresAt, &r.RevokedAt, &r.LastUsedAt, &r.CreatedAt)
	if err != nil {
		return posthaste.Key{}, translate("find key", err)
	}
	return r.key(), nil
}

// FindKeyByName gives the key of that name, whether it still works or not, or NotFound.
func (s *Store) FindKeyByName(ctx context.Context, name string) (posthaste.Key, error) {
	var row keyRow
	err := s.db.NewRaw("SELECT "+keyColumns+" FROM api_keys WHERE name = ?", name).Scan(ctx, &row)
	return row.key(), translate("find key", err)
}

// ListKeys gives all keys by name; an operator has tens of them.
func (s *Store) ListKeys(ctx context.Context) ([]posthaste.Key, error) {
	var rows []keyRow
	if err := s.db.NewRaw("SELECT "+keyColumns+" FROM api_keys ORDER BY name").Scan(ctx, &rows); err != nil {
		return nil, translate("list keys", err)
	}
	keys := make([]posthaste.Key, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, nil
}

// RevokeKey has the key of that name stop working at once; NotFound when none
// with it works. What it did stays.
func (s *Store) RevokeKey(ctx context.Context, name string) error {
	return s.inTx(ctx, "revoke key", func(ctx context.Context, tx bun.Tx) error {
		n, err := exec(ctx, tx, "UPDATE api_keys SET revoked_at = ? WHERE name = ? AND revoked_at = 0", micros(time.Now()), name)
		if err != nil {
			return err
		}
		if n == 0 {
			return notFound("no key of that name works")
		}
		return s.appendAudit(ctx, tx, did(ctx, "key.revoke", "key/"+name))
	})
}

// AddUsage adds to the counters of keys and notes when each was last used. A
// key's Usage names it by its Name.
func (s *Store) AddUsage(ctx context.Context, used []posthaste.Usage, at time.Time) error {
	return s.inTx(ctx, "add usage", func(ctx context.Context, tx bun.Tx) error {
		for _, u := range used {
			if _, err := exec(ctx, tx, `INSERT INTO api_usage (key_id, day, scope, requests, refused, failed, notices)
				SELECT id, ?, ?, ?, ?, ?, ? FROM api_keys WHERE name = ? ON CONFLICT (day, key_id, scope) DO UPDATE SET
				requests = api_usage.requests + excluded.requests, refused = api_usage.refused + excluded.refused,
				failed = api_usage.failed + excluded.failed, notices = api_usage.notices + excluded.notices`,
				u.Day, u.Scope, u.Requests, u.Refused, u.Failed, u.Notices, u.Key); err != nil {
				return err
			}
			if _, err := exec(ctx, tx, "UPDATE api_keys SET last_used_at = ? WHERE name = ?", micros(at.Truncate(time.Minute)), u.Key); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListUsage gives the counters from one day to another, both included, newest
// first; with a key's name only its own.
func (s *Store) ListUsage(ctx context.Context, key, from, to string) ([]posthaste.Usage, error) {
	var rows []struct {
		Key, Day                           string
		Scope                              posthaste.Scope
		Requests, Refused, Failed, Notices int64
	}
	if err := s.db.NewRaw(`SELECT k.name AS key, u.day, u.scope, u.requests, u.refused, u.failed, u.notices FROM api_usage u JOIN api_keys k ON k.id = u.key_id
		WHERE u.day BETWEEN ?0 AND ?1 AND (?2 = '' OR k.name = ?2) ORDER BY u.day DESC, k.name, u.scope`, from, to, key).Scan(ctx, &rows); err != nil {
		return nil, translate("list usage", err)
	}
	used := make([]posthaste.Usage, len(rows))
	for i, r := range rows {
		used[i] = posthaste.Usage(r)
	}
	return used, nil
}
