package store

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// OptOut commits a recipient's opt-out and gives the id of the suppression that
// it added; 0 when there was one. The workers that ListSending names after it
// must be told before the recipient is. An erased or unknown recipient is no
// error: nothing is sent to one. Repeating it changes nothing.
func (s *Store) OptOut(ctx context.Context, o posthaste.OptOut) (added int64, err error) {
	err = s.inTx(ctx, "record opt-out", func(ctx context.Context, tx bun.Tx) error {
		added = 0
		var ids []int64
		if err := tx.NewRaw(`INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
			SELECT address_hash, key_id, ?, ?, ?, '', ? FROM recipients WHERE id = ? ON CONFLICT DO NOTHING RETURNING id`,
			o.TopicID, posthaste.OptedOut, string(o.Channel), micros(time.Now()), o.RecipientID).Scan(ctx, &ids); err != nil {
			return err
		}
		if len(ids) > 0 {
			added = ids[0]
		}
		changed := len(ids)
		if o.TopicID != posthaste.AllTopics {
			withdrawn, err := appendConsents(ctx, tx, []posthaste.Consent{{RecipientID: o.RecipientID, Purpose: posthaste.PurposeOf(o.TopicID),
				TopicID: o.TopicID, Decision: posthaste.Withdrawn, Channel: o.Channel, Actor: agent(ctx), Network: o.Network}})
			if err != nil {
				return err
			}
			changed += len(withdrawn)
		}
		if changed == 0 {
			return nil
		}
		if err := markOptedOut(ctx, tx, o, 1); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.opt_out", object("recipient", o.RecipientID), "topic_id", strconv.FormatInt(o.TopicID, 10), "channel", string(o.Channel)))
	})
	return added, err
}

// markOptedOut notes at the delivery that its link was used, or that this was taken back.
func markOptedOut(ctx context.Context, tx bun.Tx, o posthaste.OptOut, mark int) error {
	if o.Number == 0 {
		return nil
	}
	_, err := exec(ctx, tx, "UPDATE deliveries SET opted_out = ? WHERE campaign_id = ? AND number = ? AND recipient_id = ?", mark, o.CampaignID, o.Number, o.RecipientID)
	return err
}

// agent is who records a decision for a recipient; empty if they do so themselves.
func agent(ctx context.Context) string {
	if actor := posthaste.OriginOf(ctx).Actor; actor != posthaste.ByRecipient {
		return actor
	}
	return ""
}

// UndoWithin is for how long a recipient can take an opt-out back from the page that confirmed it.
const UndoWithin = 30 * time.Minute

// UndoOptOut takes back the opt-out that added a suppression, with the consent
// that it ended, in the words of then. Conflict when it is too late or was done:
// it gives nothing that was not there a moment before.
func (s *Store) UndoOptOut(ctx context.Context, o posthaste.OptOut, suppressionID int64) error {
	return s.inTx(ctx, "undo opt-out", func(ctx context.Context, tx bun.Tx) error {
		n, err := exec(ctx, tx, `DELETE FROM suppressions WHERE id = ? AND topic_id = ? AND reason = ? AND created_at > ?
			AND address_hash = (SELECT address_hash FROM recipients WHERE id = ?)`, suppressionID, o.TopicID, posthaste.OptedOut, micros(time.Now().Add(-UndoWithin)), o.RecipientID)
		if err != nil {
			return err
		}
		if n == 0 {
			return conflict("it is too late to take this back here, or it was done already")
		}
		if err := markOptedOut(ctx, tx, o, 0); err != nil {
			return err
		}
		ledger, err := listConsents(ctx, tx, o.RecipientID)
		if err != nil {
			return err
		}
		ledger = slices.DeleteFunc(ledger, func(c posthaste.Consent) bool { return o.TopicID == posthaste.AllTopics || c.TopicID != o.TopicID })
		var changed []posthaste.Consent
		last := len(ledger) - 1
		if o.TopicID < 0 && last == 0 { // which holds without an entry
			ledger, last = []posthaste.Consent{{RecipientID: o.RecipientID, Purpose: posthaste.ForNotice, TopicID: o.TopicID, Decision: posthaste.Given}, ledger[0]}, 1
		}
		if last > 0 && ledger[last].Decision == posthaste.Withdrawn && ledger[last-1].Decision == posthaste.Given {
			again := ledger[last-1]
			again.Channel, again.Network = posthaste.ByUndo, o.Network
			if changed, err = appendConsents(ctx, tx, []posthaste.Consent{again}); err != nil {
				return err
			}
		}
		return s.appendAudit(ctx, tx, append(consentEntries(ctx, changed), did(ctx, "recipient.undo_opt_out", object("recipient", o.RecipientID),
			"topic_id", strconv.FormatInt(o.TopicID, 10)))...)
	})
}

// CountReason counts why somebody opted out of a topic, and not who.
func (s *Store) CountReason(ctx context.Context, topicID int64, reason string) error {
	return s.inTx(ctx, "count reason", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO opt_out_reasons (topic_id, day, reason, people) VALUES (?, ?, ?, 1)
			ON CONFLICT (topic_id, day, reason) DO UPDATE SET people = opt_out_reasons.people + 1`, topicID, time.Now().UTC().Format(time.DateOnly), reason)
		if err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, didBy(posthaste.Origin{Actor: posthaste.ByRecipient}, "topic.count_reason", object("topic", topicID), "reason", reason))
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
		if err := staySilent(ctx, tx, recipientID); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.lift_stop", object("recipient", recipientID)))
	})
}

// staySilent keeps what a stop of all mail said of the optional notice types,
// and of the topics to which the recipient does not consent now: nobody else may bring consent to them in, once
// the stop itself is lifted.
func staySilent(ctx context.Context, tx bun.Tx, recipientID int64) error {
	if _, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
		SELECT r.address_hash, r.key_id, -t.id, ?, 'stop', '', ? FROM recipients r CROSS JOIN notice_types t
		JOIN notice_type_versions v ON v.type_id = t.id AND v.version = t.version AND v.kind = ? WHERE r.id = ? ON CONFLICT DO NOTHING`,
		posthaste.OptedOut, micros(time.Now()), posthaste.Optional, recipientID); err != nil {
		return err
	}
	_, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
		SELECT r.address_hash, r.key_id, t.id, ?, 'stop', '', ? FROM recipients r CROSS JOIN topics t WHERE r.id = ? AND NOT EXISTS (SELECT 1 FROM consent_states c
			WHERE c.recipient_id = r.id AND c.purpose = 'topic' AND c.topic_id = t.id AND c.decision = 'given') ON CONFLICT DO NOTHING`,
		posthaste.OptedOut, micros(time.Now()), recipientID)
	return err
}

type suppressionRow struct {
	ID          int64
	AddressHash []byte
	KeyID       int64
	TopicID     int64
	Reason      posthaste.Reason
	Evidence    string
	Actor       string
	CreatedAt   int64
}

const suppressionColumns = "id, address_hash, key_id, topic_id, reason, evidence, actor, created_at"

func (r suppressionRow) suppression() posthaste.Suppression {
	return posthaste.Suppression{ID: r.ID, AddressHash: r.AddressHash, KeyID: r.KeyID, TopicID: r.TopicID, Reason: r.Reason,
		Evidence: r.Evidence, Actor: r.Actor, CreatedAt: instant(r.CreatedAt)}
}

// Suppress adds a suppression of a canonical address; one that exists for the
// same scope and reason stays as it is.
func (s *Store) Suppress(ctx context.Context, canonical string, x posthaste.Suppression) (posthaste.Suppression, error) {
	var row suppressionRow
	err := s.inTx(ctx, "suppress", func(ctx context.Context, tx bun.Tx) error {
		if err := s.carryOver(ctx, tx, canonical); err != nil {
			return err
		}
		// Whoever is known has the hash that is stored, which is an older one until they are re-keyed.
		const known = "FROM recipients WHERE canonical = ?0"
		hash := s.keys.HashAddress(canonical)
		added, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
			VALUES (coalesce((SELECT address_hash `+known+`), ?1), coalesce((SELECT key_id `+known+`), ?2), ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING`,
			canonical, hash, s.keys.AddressKey(), x.TopicID, x.Reason, x.Evidence, x.Actor, micros(time.Now()))
		if err != nil {
			return err
		}
		if err := tx.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash = coalesce((SELECT address_hash "+known+"), ?1) AND topic_id = ?2 AND reason = ?3",
			canonical, hash, x.TopicID, x.Reason).Scan(ctx, &row); err != nil {
			return err
		}
		verb := "suppression.add"
		if added == 0 { // somebody asked for it again
			verb = "suppression.repeat"
		}
		return s.appendAudit(ctx, tx, did(ctx, verb, object("suppression", row.ID), "reason", string(x.Reason), "topic_id", strconv.FormatInt(x.TopicID, 10)))
	})
	return row.suppression(), err
}

// ListSuppressions gives up to limit suppressions after an id, oldest first;
// with a canonical address, only that address's.
func (s *Store) ListSuppressions(ctx context.Context, canonical string, after int64, limit int) ([]posthaste.Suppression, error) {
	query := s.db.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if canonical != "" {
		query = s.db.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash IN (?) AND id > ? ORDER BY id LIMIT ?",
			bun.List(s.addressHashes(canonical)), after, limit)
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
