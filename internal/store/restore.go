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

// keptSetting holds up to where the suppressions of this database are kept
// elsewhere: the id of one, and its place there.
const keptSetting = "suppressions_kept"

// Kept is up to where suppressions are kept outside of the database. A restored
// backup has the mark of its own time, so what stands there behind Sequence is
// what the backup lacks.
type Kept struct {
	ID       int64
	Sequence uint64
}

// FindKept gives the mark; the zero one when nothing was kept.
func (s *Store) FindKept(ctx context.Context) (k Kept, err error) {
	var text string
	err = s.db.NewRaw("SELECT value FROM settings WHERE name = ?", keptSetting).Scan(ctx, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return k, nil
	}
	if err != nil {
		return k, translate("find mark", err)
	}
	_, err = fmt.Sscanf(text, "%d %d", &k.ID, &k.Sequence)
	return k, err
}

// SetKept moves the mark.
func (s *Store) SetKept(ctx context.Context, k Kept) error {
	return s.inTx(ctx, "set mark", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			keptSetting, fmt.Sprintf("%d %d", k.ID, k.Sequence))
		return err
	})
}

// RestoreSuppressions adds those that are missing and tells how many were. Those
// under another key than their recipient's hash are in force once
// RejoinSuppressions has been through.
func (s *Store) RestoreSuppressions(ctx context.Context, suppressions []posthaste.Suppression) (added int64, err error) {
	if len(suppressions) == 0 {
		return 0, nil
	}
	rows := make([]bun.TupleValues, len(suppressions))
	for i, x := range suppressions {
		rows[i] = bun.Tuple([]any{x.AddressHash, x.KeyID, x.TopicID, string(x.Reason), "restored", "", micros(x.CreatedAt)})
	}
	err = s.inTx(ctx, "restore suppressions", func(ctx context.Context, tx bun.Tx) (err error) {
		added, err = exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
			VALUES ? ON CONFLICT (address_hash, topic_id, reason) DO UPDATE SET created_at = excluded.created_at
			WHERE suppressions.reason = 'erased' AND suppressions.created_at < excluded.created_at`, bun.List(rows))
		if err != nil || added == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "suppressions.restore", "database", "added", strconv.FormatInt(added, 10)))
	})
	return added, err
}

// EndRestoredNotices ends every notice that is not final: it may have been sent
// since the backup. It gives how many. Nobody is told: to the systems that asked
// for them their end, whatever it was, is an old one.
func (s *Store) EndRestoredNotices(ctx context.Context) (ended int64, err error) {
	err = s.inTx(ctx, "end restored notices", func(ctx context.Context, tx bun.Tx) (err error) {
		ended, err = exec(ctx, tx, `UPDATE notices SET state = ?, owner = '', data = '{}', changed_at = ?, stage = '', code = 0, enhanced = '',
			reply = 'restored from a backup: it may have been sent since' WHERE state IN ('queued', 'claimed', 'deferred')`,
			posthaste.NoticeExpired, micros(time.Now()))
		if err != nil || ended == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "notices.end_restored", "database", "ended", strconv.FormatInt(ended, 10)))
	})
	return ended, err
}

// skipped is how many ids a restored database leaves out: more than it can have
// given since its backup.
const skipped = 10_000_000

// SkipIDs leaves out ids of recipients, topics, campaigns, notices and what belongs to them, so that what has
// left the house with an id that a restored database does not know never means
// somebody else.
func (s *Store) SkipIDs(ctx context.Context) error {
	return s.inTx(ctx, "skip ids", func(ctx context.Context, tx bun.Tx) error {
		for _, table := range []string{"recipients", "topics", "campaigns", "notice_types", "notice_calls", "notices", "webhooks", "forms", "sign_ups", "requests", "suppressions"} {
			statement := "SELECT setval(pg_get_serial_sequence('" + table + "', 'id'), nextval(pg_get_serial_sequence('" + table + "', 'id')) + ?)"
			if s.Single() {
				// A table that never had a row has no row there either.
				if _, err := exec(ctx, tx, "INSERT INTO sqlite_sequence (name, seq) SELECT '"+table+"', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '"+table+"')"); err != nil {
					return err
				}
				statement = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = '" + table + "'"
			}
			if _, err := exec(ctx, tx, statement, skipped); err != nil {
				return err
			}
		}
		return nil
	})
}
