package store

import (
	"bytes"
	"context"
	"strconv"

	"github.com/uptrace/bun"
)

// Rekeyed is what one step of Rekey or RejoinSuppressions did.
type Rekeyed struct {
	Last         int64 // the id to go on behind; 0 when nobody is left
	Recipients   int64 // that were looked at
	Suppressions int64 // that stand under the present key now
	Doubles      int64 // that went, since another one says the same
}

// rekeyTries is how often a step is tried when another transaction was in its way.
const rekeyTries = 5

// Rekey gives up to limit recipients behind an id, whose hashes are of older
// keys, the present one, each together with its suppressions: at every moment
// both or neither. Whatever has not come so far holds all the same.
func (s *Store) Rekey(ctx context.Context, after int64, limit int) (Rekeyed, error) {
	return s.rekey(ctx, "AND key_id <> "+strconv.Itoa(s.keys.AddressKey()), after, limit)
}

// RejoinSuppressions does that for recipients of any key: suppressions that come
// from elsewhere may be under another one than their recipient.
func (s *Store) RejoinSuppressions(ctx context.Context, after int64, limit int) (Rekeyed, error) {
	return s.rekey(ctx, "", after, limit)
}

func (s *Store) rekey(ctx context.Context, which string, after int64, limit int) (done Rekeyed, err error) {
	if len(s.keys.OldAddressHashes("")) == 0 {
		return done, nil
	}
	for range rekeyTries {
		err = s.inTx(ctx, "re-key recipients", func(ctx context.Context, tx bun.Tx) (err error) {
			done, err = s.rekeyOnce(ctx, tx, which, after, limit)
			return err
		})
		if !inTheWay(err) {
			break
		}
	}
	return done, err
}

func (s *Store) rekeyOnce(ctx context.Context, tx bun.Tx, which string, after int64, limit int) (done Rekeyed, err error) {
	var rows []struct {
		ID, KeyID   int64
		Canonical   string
		AddressHash []byte
	}
	key := int64(s.keys.AddressKey())
	if err := tx.NewRaw("SELECT id, key_id, canonical, address_hash FROM recipients WHERE id > ? "+which+" ORDER BY id LIMIT ?"+s.pick(" FOR UPDATE", ""),
		after, limit).Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return done, err
	}
	// Whoever has read an old hash, to add a suppression under it, comes before
	// this; whoever comes later reads the new one.
	if _, err := exec(ctx, tx, s.pick("LOCK TABLE suppressions IN SHARE ROW EXCLUSIVE MODE", "SELECT 1")); err != nil {
		return done, err
	}
	var pairs, changed []bun.TupleValues
	for _, r := range rows {
		present := s.keys.HashAddress(r.Canonical)
		for _, old := range append(s.keys.OldAddressHashes(r.Canonical), r.AddressHash) { // which may be one of them
			if !bytes.Equal(old, present) {
				pairs = append(pairs, bun.Tuple([]any{old, present}))
			}
		}
		if r.KeyID != key {
			changed = append(changed, bun.Tuple([]any{r.ID, present}))
		}
	}
	if len(changed) > 0 {
		if _, err := exec(ctx, tx, "WITH v (id, hash) AS (VALUES ?) UPDATE recipients SET address_hash = v.hash?, key_id = ? FROM v WHERE recipients.id = v.id",
			bun.List(changed), s.asBytes(), key); err != nil {
			return done, err
		}
	}
	done = Rekeyed{Last: rows[len(rows)-1].ID, Recipients: int64(len(rows))}
	query := "SELECT column1?0, column2?0 FROM (VALUES ?1) AS v"
	if done.Suppressions, done.Doubles, err = s.carry(ctx, tx, tx.NewRaw(query, s.asBytes(), bun.List(pairs))); err != nil || len(changed) == 0 && done.Suppressions+done.Doubles == 0 {
		return done, err
	}
	return done, s.appendAudit(ctx, tx, did(ctx, "secret.rekey", "secret", "key_id", strconv.FormatInt(key, 10),
		"recipients", strconv.Itoa(len(changed)), "suppressions", strconv.FormatInt(done.Suppressions, 10)))
}

// FinishRekey gives sign-ups and requests of those who are known the hashes of
// their recipients. Until then they are found by the older ones.
func (s *Store) FinishRekey(ctx context.Context) error {
	if len(s.keys.OldAddressHashes("")) == 0 {
		return nil
	}
	return s.inTx(ctx, "finish re-keying", func(ctx context.Context, tx bun.Tx) error {
		details := []string{"key_id", strconv.Itoa(s.keys.AddressKey())}
		var changed int64
		for _, table := range []string{"sign_ups", "requests"} {
			n, err := exec(ctx, tx, "UPDATE "+table+" SET address_hash = r.address_hash FROM recipients r WHERE r.id = "+table+".recipient_id AND r.address_hash <> "+table+".address_hash")
			if err != nil {
				return err
			}
			changed, details = changed+n, append(details, table, strconv.FormatInt(n, 10))
		}
		if changed == 0 {
			return nil
		}
		return s.appendAudit(ctx, tx, did(ctx, "secret.rekey", "secret", details...))
	})
}

// CountOlder tells how many recipients and suppressions are under older keys.
// Suppressions of addresses that nobody has any more stay there until somebody
// comes with the address.
func (s *Store) CountOlder(ctx context.Context) (recipients, suppressions int64, err error) {
	if len(s.keys.OldAddressHashes("")) == 0 {
		return 0, 0, nil
	}
	var row struct{ Recipients, Suppressions int64 }
	err = s.db.NewRaw("SELECT (SELECT count(*) FROM recipients WHERE key_id <> ?0) AS recipients, (SELECT count(*) FROM suppressions WHERE key_id <> ?0) AS suppressions",
		s.keys.AddressKey()).Scan(ctx, &row)
	return row.Recipients, row.Suppressions, translate("count older hashes", err)
}
