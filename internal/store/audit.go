package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// auditBatch is the most entries of one statement.
const auditBatch = 250

// sentDespite is the action of a mandatory notice that goes although its address is suppressed.
const sentDespite = "notice.sent_despite_suppression"

// appendAudit writes entries in the transaction of what they tell of: without
// its entry nothing happens.
func appendAudit(ctx context.Context, tx bun.Tx, entries ...posthaste.AuditEntry) error {
	now := micros(time.Now())
	for part := range slices.Chunk(entries, auditBatch) {
		rows := make([]bun.TupleValues, len(part))
		for i, e := range part {
			metadata, err := attributesJSON(e.Metadata)
			if err != nil {
				return err
			}
			rows[i] = bun.Tuple([]any{now, e.Actor, e.Action, e.Object, e.Reason, e.RequestID, metadata})
		}
		if _, err := exec(ctx, tx, "INSERT INTO audit (at, actor, action, object, reason, request_id, metadata) VALUES ?", bun.List(rows)); err != nil {
			return err
		}
	}
	return nil
}

// ListAudit gives up to limit entries older than the id before, newest first; 0
// starts with the newest. With an object, "notice/12", only those about it.
func (s *Store) ListAudit(ctx context.Context, object string, before int64, limit int) ([]posthaste.AuditEntry, error) {
	var rows []struct {
		ID, At                                  int64
		Actor, Action, Object, Reason, Metadata string
		RequestID                               string
	}
	err := s.db.NewRaw(`SELECT id, at, actor, action, object, reason, request_id, metadata FROM audit
		WHERE (?0 = 0 OR id < ?0) AND (?1 = '' OR object = ?1) ORDER BY id DESC LIMIT ?2`, before, object, limit).Scan(ctx, &rows)
	if err != nil {
		return nil, translate("list audit", err)
	}
	entries := make([]posthaste.AuditEntry, len(rows))
	for i, r := range rows {
		entries[i] = posthaste.AuditEntry{ID: r.ID, At: instant(r.At), Actor: r.Actor, Action: r.Action, Object: r.Object, Reason: r.Reason, RequestID: r.RequestID}
		if len(r.Metadata) > 2 { // more than {}
			if err := json.Unmarshal([]byte(r.Metadata), &entries[i].Metadata); err != nil {
				return nil, err
			}
		}
	}
	return entries, nil
}
