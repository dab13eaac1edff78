package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// keptAfterErasure is what stays of an erased person, or rather of nobody.
var keptAfterErasure = []string{"suppression", "ledger", "counts", "audit"}

// SuppressErased has no further mailing go to a recipient who is to be erased;
// the workers that ListSending names after it must be told before Erase. It is
// kept outside of the database as every suppression, so that a restored backup
// erases the person again.
func (s *Store) SuppressErased(ctx context.Context, recipientID int64) error {
	return s.inTx(ctx, "suppress erased", func(ctx context.Context, tx bun.Tx) error {
		// A new one also if there was one: it is kept outside by its id, and its time tells whom a backup has back.
		if _, err := exec(ctx, tx, "DELETE FROM suppressions WHERE topic_id = 0 AND reason = ? AND address_hash = (SELECT address_hash FROM recipients WHERE id = ?)",
			posthaste.Erased, recipientID); err != nil {
			return err
		}
		added, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
			SELECT address_hash, key_id, 0, ?, '', ?, ? FROM recipients WHERE id = ?`, posthaste.Erased, posthaste.OriginOf(ctx).Actor, micros(time.Now()), recipientID)
		if err != nil || added == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.suppress_erased", object("recipient", recipientID)))
	})
}

// Erase removes all that is known of a recipient, in one transaction, and gives
// the receipt. What has to add up stays, of nobody: deliveries, hits and notices
// lose the person, and so does every request. A request that it carries out is
// ended with the receipt; 0: none. NotFound when there is no such recipient.
func (s *Store) Erase(ctx context.Context, recipientID, requestID int64) (posthaste.Receipt, error) {
	receipt := posthaste.Receipt{At: time.Now().UTC().Truncate(time.Microsecond), Kept: keptAfterErasure}
	err := s.inTx(ctx, "erase recipient", func(ctx context.Context, tx bun.Tx) (err error) {
		// A recorder that read the consents just now adds no more after this. It comes
		// before every other lock, as it does there; strangers have no hits.
		if err := s.lockHits(ctx, tx); err != nil {
			return err
		}
		// Whatever else the person had asked for ends with it.
		var open []int64
		if err := tx.NewRaw("UPDATE requests SET state = ?, ended_at = ? WHERE id = ? OR recipient_id = ? AND state = ? RETURNING id", posthaste.RequestDone, micros(receipt.At),
			requestID, recipientID, posthaste.RequestOpen).Scan(ctx, &open); err != nil {
			return err
		}
		if receipt.Removed, err = s.eraseRows(ctx, tx, recipientID, "''"); err != nil {
			return err
		}
		text, err := json.Marshal(receipt)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			if _, err := exec(ctx, tx, "UPDATE requests SET receipt = ? WHERE id IN (?)", string(text), bun.List(open)); err != nil {
				return err
			}
		}
		var details []string
		if requestID != 0 {
			details = []string{"request", strconv.FormatInt(requestID, 10)}
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.erase", object("recipient", recipientID), details...))
	})
	return receipt, err
}

// erasure is one statement of an erasure: ?0 is the recipient, ?1 the keyed hash
// of the address. name is what the receipt counts it under; empty: not.
type erasure struct{ name, statement string }

// erasures go from what refers to others to what is referred to. What has an
// outcome still to come, in a worker's hand, finds no person any more.
func (s *Store) erasures() []erasure {
	// As webhook_messages_by_notice has it, which is of no type on SQLite: +id is of none either.
	notice := s.pick("data::jsonb ->> 'notice'", "json_extract(data, '$.notice')")
	notices := s.pick("SELECT id::text FROM notices WHERE recipient_id = ?0", "SELECT +id FROM notices WHERE recipient_id = ?0")
	return []erasure{
		{"consents", "DELETE FROM consents WHERE recipient_id = ?0"},
		{"", "DELETE FROM consent_states WHERE recipient_id = ?0"},
		{"sign_ups", "DELETE FROM sign_ups WHERE recipient_id = ?0 OR address_hash = ?1"},
		// By its deliveries, which are known by the recipient until the next one.
		{"hits", "UPDATE hits SET recipient_id = 0, network = '' WHERE recipient_id = ?0 AND (campaign_id, number) IN (SELECT campaign_id, number FROM deliveries WHERE recipient_id = ?0)"},
		// The number stands for nobody, and keeps the index unique.
		{"deliveries", `UPDATE deliveries SET recipient_id = -number, reply = '',
			state = CASE WHEN state = 'deferred' THEN 'suppressed' ELSE state END WHERE recipient_id = ?0`},
		{"webhook_messages", "DELETE FROM webhook_messages WHERE " + notice + " IN (" + notices + ")"},
		{"", "UPDATE notice_attempts SET reply = '' WHERE notice_id IN (SELECT id FROM notices WHERE recipient_id = ?0)"},
		{"", "DELETE FROM notice_files WHERE call_id IN (" + callsOfAlone + ")"},
		{"", "UPDATE notice_calls SET data = '{}', answer = '', idempotency = '', forgotten = 1 WHERE id IN (" + callsOfAlone + ")"},
		{"notices", `UPDATE notices SET recipient_id = 0, name = '', locale = '', data = '{}', external_id = '', metadata = '{}', reply = '',
			state = CASE WHEN state IN ('queued', 'deferred') THEN 'suppressed' ELSE state END WHERE recipient_id = ?0`},
		{"", "UPDATE suppressions SET evidence = ?2 WHERE address_hash = ?1"},
		{"requests", "UPDATE requests SET recipient_id = 0, reason = '', new_address = '' WHERE recipient_id = ?0"},
		{"recipients", "DELETE FROM recipients WHERE id = ?0"},
	}
}

// callsOfAlone are the calls that asked for notices to one recipient and nobody else.
const callsOfAlone = `SELECT n.call_id FROM notices n WHERE n.recipient_id = ?0
	AND NOT EXISTS (SELECT 1 FROM notices o WHERE o.call_id = n.call_id AND o.recipient_id <> ?0)`

// eraseRows removes a recipient. evidence is what the evidence of suppressions of the address becomes.
func (s *Store) eraseRows(ctx context.Context, tx bun.Tx, recipientID int64, evidence string) (map[string]int64, error) {
	var hash []byte
	if err := tx.NewRaw("SELECT address_hash FROM recipients WHERE id = ?"+s.pick(" FOR UPDATE", ""), recipientID).Scan(ctx, &hash); err != nil {
		return nil, noSuch(translate("find recipient", err), "recipient")
	}
	var links []string
	if err := tx.NewRaw("SELECT new_address FROM requests WHERE recipient_id = ? AND new_address <> ''", recipientID).Scan(ctx, &links); err != nil {
		return nil, err
	}
	removed := map[string]int64{}
	for _, e := range s.erasures() {
		n, err := exec(ctx, tx, e.statement, recipientID, hash, bun.Safe(evidence))
		if err != nil {
			return nil, err
		}
		if e.name != "" {
			removed[e.name] = n
		}
	}
	for _, email := range links {
		if err := s.forgetAddressee(ctx, tx, email); err != nil {
			return nil, err
		}
	}
	return removed, nil
}

// ListErasedAgain gives up to limit recipients who are suppressed as
// erased, but were known at that address before that: a restored backup has them
// back. Who came to an address of somebody who had been erased is another one.
func (s *Store) ListErasedAgain(ctx context.Context, limit int) ([]int64, error) {
	var ids []int64
	err := s.db.NewRaw(`SELECT r.id FROM recipients r JOIN suppressions x ON x.address_hash = r.address_hash AND x.topic_id = 0 AND x.reason = ?
		WHERE r.created_at < x.created_at AND r.address_since < x.created_at ORDER BY r.id LIMIT ?`, posthaste.Erased, limit).Scan(ctx, &ids)
	return ids, translate("list erased", err)
}
