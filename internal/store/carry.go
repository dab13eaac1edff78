package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"posthaste"
)

// An address has one hash for each line of the secret file. A suppression is
// looked for under the hash of its recipient, and so stands under that one: it
// is carried over when an address becomes known under the present key, and with
// the recipient when the secret is rotated.

// addressHashes gives every hash of a canonical address, the present one first.
func (s *Store) addressHashes(canonical string) [][]byte {
	return append([][]byte{s.keys.HashAddress(canonical)}, s.keys.OldAddressHashes(canonical)...)
}

// carryOver has what is suppressed under older keys stand under the present one,
// of addresses that are no recipient's or one's who has just been added: whoever
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
	// Not away from a recipient who still has the older hash.
	_, _, err := s.carry(ctx, tx, tx.NewRaw(`SELECT column2?0, column3?0 FROM (VALUES ?1) AS v
		WHERE NOT EXISTS (SELECT 1 FROM recipients r WHERE r.canonical = column1 AND r.address_hash = column2?0)`, s.asBytes(), bun.List(pairs)))
	return err
}

// asBytes follows a hash in a list of values, which PostgreSQL takes for a text.
func (s *Store) asBytes() bun.Safe { return bun.Safe(s.pick("::bytea", "")) }

// carryStaged does that for all addresses of an import, which are recipients' by then.
func (s *Store) carryStaged(ctx context.Context, tx bun.Tx) error {
	var pairs []string
	for _, column := range s.olderColumns() {
		pairs = append(pairs, "SELECT s."+column+", s.address_hash FROM staged s JOIN recipients r ON r.canonical = s.canonical AND r.address_hash = s.address_hash")
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := s.analyze(ctx, tx, "staged"); err != nil {
		return err
	}
	_, _, err := s.carry(ctx, tx, tx.NewRaw(strings.Join(pairs, " UNION ALL ")))
	return err
}

// scope is what there is one suppression for.
type scope struct {
	hash    string
	topicID int64
	reason  posthaste.Reason
}

// carry moves suppressions between pairs of an older hash and the present one.
// Of several for one scope the latest is moved, unless one is there already; the
// others are doubles and go.
func (s *Store) carry(ctx context.Context, tx bun.Tx, pairs *bun.RawQuery) (moved, doubles int64, err error) {
	var found []struct {
		ID, TopicID int64
		Reason      posthaste.Reason
		Present     []byte
	}
	// suppressions (address_hash, topic_id, reason) is the index of these scans.
	if err := tx.NewRaw("WITH pairs (older, present) AS (?) SELECT x.id, x.topic_id, x.reason, pairs.present FROM pairs JOIN suppressions x ON x.address_hash = pairs.older ORDER BY x.created_at DESC, x.id",
		pairs).Scan(ctx, &found); err != nil || len(found) == 0 {
		return 0, 0, err
	}
	there := map[scope]bool{}
	for part := range slices.Chunk(found, carryBatch) {
		hashes := make([][]byte, len(part))
		for i, f := range part {
			hashes[i] = f.Present
		}
		var rows []suppressionRow
		if err := tx.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash IN (?)", bun.List(hashes)).Scan(ctx, &rows); err != nil {
			return 0, 0, err
		}
		for _, r := range rows {
			there[scope{string(r.AddressHash), r.TopicID, r.Reason}] = true
		}
	}
	var moving []bun.TupleValues
	var double []int64
	for i, f := range found {
		if i > 0 && found[i-1].ID == f.ID { // a pair may come twice
			continue
		}
		if of := (scope{string(f.Present), f.TopicID, f.Reason}); there[of] {
			double = append(double, f.ID)
		} else {
			there[of] = true
			moving = append(moving, bun.Tuple([]any{f.ID, f.Present}))
		}
	}
	for part := range slices.Chunk(moving, carryBatch) {
		if _, err := exec(ctx, tx, "WITH v (id, hash) AS (VALUES ?) UPDATE suppressions SET address_hash = v.hash?, key_id = ? FROM v WHERE suppressions.id = v.id",
			bun.List(part), s.asBytes(), s.keys.AddressKey()); err != nil {
			return 0, 0, fmt.Errorf("carry suppressions over: %w", err)
		}
	}
	for part := range slices.Chunk(double, carryBatch) {
		if _, err := exec(ctx, tx, "DELETE FROM suppressions WHERE id IN (?)", bun.List(part)); err != nil {
			return 0, 0, fmt.Errorf("remove doubles: %w", err)
		}
	}
	return int64(len(moving)), int64(len(double)), nil
}

// carryBatch is the most suppressions of one statement.
const carryBatch = 1000
