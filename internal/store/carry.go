package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
)

// An address has one hash for each line of the secret file. A suppression is
// looked for under the hash of its recipient, and so stands under that one: it
// is carried over when an address becomes known under the present key, and with
// the recipient when the secret is rotated.

// addressHashes gives every hash of a canonical address, the present one first.
func (s *Store) addressHashes(canonical string) [][]byte {
	return append([][]byte{s.keys.HashAddress(canonical)}, s.keys.OldAddressHashes(canonical)...)
}

// carryOver has suppressions under older keys stand under the present one, of
// addresses that are no recipient's or one's who has just been added: one who
// was erased is known by such a hash alone. Without older keys it does nothing.
func (s *Store) carryOver(ctx context.Context, tx bun.Tx, canonicals ...string) error {
	var pairs []bun.TupleValues
	for _, canonical := range canonicals {
		for _, old := range s.keys.OldAddressHashes(canonical) {
			pairs = append(pairs, bun.Tuple([]any{canonical, old, s.keys.HashAddress(canonical)}))
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	_, _, err := s.carry(ctx, tx, s.hashPairs(pairs))
	return err
}

// carryStaged does that for all addresses of an import.
func (s *Store) carryStaged(ctx context.Context, tx bun.Tx) error {
	var pairs []string
	for _, column := range s.olderColumns() {
		pairs = append(pairs, "SELECT canonical, "+column+", address_hash FROM staged")
	}
	if len(pairs) == 0 {
		return nil
	}
	_, _, err := s.carry(ctx, tx, tx.NewRaw(strings.Join(pairs, " UNION ALL ")))
	return err
}

// hashPairs makes rows of a canonical address, an older hash and the present one a query.
func (s *Store) hashPairs(rows []bun.TupleValues) *bun.RawQuery {
	bytes := s.pick("::bytea", "")
	return s.db.NewRaw("SELECT column1, column2"+bytes+", column3"+bytes+" FROM (VALUES ?) AS pairs", bun.List(rows))
}

// carry moves suppressions from older hashes to the present ones, but not away
// from a recipient who still has the older hash. Of several for one scope and
// reason the latest is moved, unless there is one already; the rest are doubles
// and go.
func (s *Store) carry(ctx context.Context, tx bun.Tx, pairs *bun.RawQuery) (moved, doubles int64, err error) {
	// suppressions (address_hash, topic_id, reason) and recipients (canonical) are the indexes of these scans.
	const from = `WITH pairs (canonical, older, present) AS (?0), found AS (SELECT x.id, x.topic_id, x.reason, pairs.present FROM pairs JOIN suppressions x ON x.address_hash = pairs.older
		WHERE NOT EXISTS (SELECT 1 FROM recipients r WHERE r.canonical = pairs.canonical AND r.address_hash = pairs.older)) `
	const double = "SELECT 1 FROM suppressions y WHERE y.address_hash = found.present AND y.topic_id = found.topic_id AND y.reason = found.reason"
	moved, err = exec(ctx, tx, from+`UPDATE suppressions SET address_hash = m.present, key_id = ?1 FROM (SELECT max(id) AS id, present FROM found
		WHERE NOT EXISTS (`+double+`) GROUP BY present, topic_id, reason) AS m WHERE suppressions.id = m.id`, pairs, s.keys.AddressKey())
	if err != nil {
		return 0, 0, fmt.Errorf("carry suppressions over: %w", err)
	}
	doubles, err = exec(ctx, tx, from+"DELETE FROM suppressions WHERE id IN (SELECT id FROM found WHERE EXISTS ("+double+"))", pairs)
	return moved, doubles, err
}
