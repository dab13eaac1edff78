package store

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// OptOut commits a recipient's opt-out. The workers that ListSending names
// after it must be told before the recipient is. An erased or unknown recipient
// is no error: nothing is sent to one. Repeating it changes nothing.
func (s *Store) OptOut(ctx context.Context, o posthaste.OptOut) error {
	return s.inTx(ctx, "record opt-out", func(ctx context.Context, tx bun.Tx) error {
		changed, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, topic_id, reason, evidence, actor, created_at)
			SELECT address_hash, ?, ?, ?, '', ? FROM recipients WHERE id = ? ON CONFLICT DO NOTHING`,
			o.TopicID, posthaste.OptedOut, string(o.Channel), micros(time.Now()), o.RecipientID)
		if err != nil {
			return err
		}
		if o.TopicID != posthaste.AllTopics {
			withdrawn, err := appendConsents(ctx, tx, []posthaste.Consent{{RecipientID: o.RecipientID, Purpose: posthaste.PurposeOf(o.TopicID),
				TopicID: o.TopicID, Decision: posthaste.Withdrawn, Channel: o.Channel, Network: o.Network}})
			if err != nil {
				return err
			}
			changed += int64(len(withdrawn))
		}
		if changed == 0 {
			return nil
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.opt_out", object("recipient", o.RecipientID), "topic_id", strconv.FormatInt(o.TopicID, 10), "channel", string(o.Channel)))
	})
}

// ListSending names the workers that may be handing over, at this moment, a
// mail or a notice that the opt-out stops.
//
// The order closes the race with a claim. A worker commits its window first and
// reads consent after; an opt-out is committed first and the windows are read
// after. So either the worker reads the opt-out, or its window is seen here.
func (s *Store) ListSending(ctx context.Context, o posthaste.OptOut) (workers []string, err error) {
	// deliveries (recipient_id, campaign_id) is the index of the first join, notices_by_recipient of the second part.
	err = s.db.NewRaw(`SELECT DISTINCT c.owner FROM deliveries d JOIN chunks c ON c.campaign_id = d.campaign_id
		AND d.number BETWEEN c.window_first AND c.window_last JOIN campaigns k ON k.id = d.campaign_id
		WHERE d.recipient_id = ?0 AND d.state = ?1 AND c.done = 0 AND c.owner <> '' AND (?2 = 0 OR k.topic_id = ?2)
		UNION SELECT owner FROM notices WHERE recipient_id = ?0 AND state = ?3 AND (?2 = 0 OR -type_id = ?2)`,
		o.RecipientID, posthaste.Queued, o.TopicID, posthaste.NoticeClaimed).Scan(ctx, &workers)
	return workers, translate("list workers", err)
}

// LiftStopAll takes back the recipient's own "stop all mail"; only the
// recipient's preference page may ask for it.
func (s *Store) LiftStopAll(ctx context.Context, recipientID int64) error {
	return s.inTx(ctx, "lift stop", func(ctx context.Context, tx bun.Tx) error {
		lifted, err := exec(ctx, tx, `DELETE FROM suppressions WHERE topic_id = 0 AND reason = ?
			AND address_hash = (SELECT address_hash FROM recipients WHERE id = ?)`, posthaste.OptedOut, recipientID)
		if err != nil || lifted == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.lift_stop", object("recipient", recipientID)))
	})
}

type suppressionRow struct {
	ID          int64
	AddressHash []byte
	TopicID     int64
	Reason      posthaste.Reason
	Evidence    string
	Actor       string
	CreatedAt   int64
}

const suppressionColumns = "id, address_hash, topic_id, reason, evidence, actor, created_at"

func (r suppressionRow) suppression() posthaste.Suppression {
	return posthaste.Suppression{ID: r.ID, AddressHash: r.AddressHash, TopicID: r.TopicID, Reason: r.Reason,
		Evidence: r.Evidence, Actor: r.Actor, CreatedAt: instant(r.CreatedAt)}
}

// Suppress adds a suppression of a canonical address; one that exists for the
// same scope and reason stays as it is.
func (s *Store) Suppress(ctx context.Context, canonical string, x posthaste.Suppression) (posthaste.Suppression, error) {
	var row suppressionRow
	err := s.inTx(ctx, "suppress", func(ctx context.Context, tx bun.Tx) error {
		hash := s.keys.HashAddress(canonical)
		added, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, topic_id, reason, evidence, actor, created_at)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, hash, x.TopicID, x.Reason, x.Evidence, x.Actor, micros(time.Now()))
		if err != nil {
			return err
		}
		if err := tx.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash = ? AND topic_id = ? AND reason = ?",
			hash, x.TopicID, x.Reason).Scan(ctx, &row); err != nil || added == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "suppression.add", object("suppression", row.ID), "reason", string(x.Reason), "topic_id", strconv.FormatInt(x.TopicID, 10)))
	})
	return row.suppression(), err
}

// ListSuppressions gives up to limit suppressions after an id, oldest first;
// with a canonical address, only that address's.
func (s *Store) ListSuppressions(ctx context.Context, canonical string, after int64, limit int) ([]posthaste.Suppression, error) {
	query := s.db.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if canonical != "" {
		query = s.db.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash = ? AND id > ? ORDER BY id LIMIT ?",
			s.keys.HashAddress(canonical), after, limit)
	}
	var rows []suppressionRow
	if err := query.Scan(ctx, &rows); err != nil {
		return nil, translate("list suppressions", err)
	}
	found := make([]posthaste.Suppression, len(rows))
	for i, r := range rows {
		found[i] = r.suppression()
	}
	return found, nil
}

// LiftSuppression removes one that an operator may remove; what a recipient
// said is a Conflict.
func (s *Store) LiftSuppression(ctx context.Context, id int64) error {
	return s.inTx(ctx, "lift suppression", func(ctx context.Context, tx bun.Tx) error {
		var reason posthaste.Reason
		if err := tx.NewRaw("SELECT reason FROM suppressions WHERE id = ?", id).Scan(ctx, &reason); err != nil {
			return err
		}
		if !reason.Liftable() {
			return conflict("only the recipient can take back %q", string(reason))
		}
		if _, err := exec(ctx, tx, "DELETE FROM suppressions WHERE id = ?", id); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "suppression.lift", object("suppression", id), "reason", string(reason)))
	})
}
