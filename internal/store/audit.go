package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
	"posthaste/internal/audit"
)

// auditBatch is the most entries of one statement.
const auditBatch = 250

// sentDespite is the action of a mandatory notice that goes although its address is suppressed.
const sentDespite = "notice.send_despite_suppression"

// did is an entry of what ctx's origin does.
func did(ctx context.Context, action, object string, details ...string) posthaste.AuditEntry {
	return didBy(posthaste.OriginOf(ctx), action, object, details...)
}

// didBy is an entry of what an origin does. details are names and values in turn.
func didBy(o posthaste.Origin, action, object string, details ...string) posthaste.AuditEntry {
	e := posthaste.AuditEntry{Origin: o, Action: action, Object: object}
	for i := 0; i+1 < len(details); i += 2 {
		if e.Details == nil {
			e.Details = map[string]string{}
		}
		e.Details[details[i]] = details[i+1]
	}
	return e
}

// object names a thing in the audit log.
func object(kind string, id int64) string { return fmt.Sprintf("%s/%d", kind, id) }

// nonceSize is enough for no two entries to be the same.
const nonceSize = 16

// appendAudit writes entries in the transaction of what they tell of: without
// its entry nothing happens.
func (s *Store) appendAudit(ctx context.Context, tx bun.Tx, entries ...posthaste.AuditEntry) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for part := range slices.Chunk(entries, auditBatch) {
		rows := make([]bun.TupleValues, len(part))
		for i, e := range part {
			e.At, e.Unique = now, make([]byte, nonceSize)
			rand.Read(e.Unique) // never fails (crypto/rand)
			metadata, err := attributesJSON(e.Metadata)
			if err != nil {
				return err
			}
			details, err := attributesJSON(e.Details)
			if err != nil {
				return err
			}
			rows[i] = bun.Tuple([]any{micros(now), e.Actor, e.RequestID, e.CallerID, e.Reason, metadata, e.Network.String(), e.Region, e.Action, e.Object, details,
				e.Unique, s.keys.AuditMAC(audit.Text(e))})
		}
		var ids []int64
		if err := tx.NewRaw(`INSERT INTO audit (at, actor, request_id, caller_id, reason, metadata, network, region, action, object, details, nonce, mac)
			VALUES ? RETURNING id`, bun.List(rows)).Scan(ctx, &ids); err != nil {
			return err
		}
		unsealed := make([]bun.TupleValues, len(ids))
		for i, id := range ids {
			unsealed[i] = bun.Tuple([]any{id})
		}
		if _, err := exec(ctx, tx, "INSERT INTO audit_unsealed (id) VALUES ?", bun.List(unsealed)); err != nil {
			return err
		}
	}
	return nil
}

// Audit notes what changes nothing but is an operation all the same: that
// somebody's data were read.
func (s *Store) Audit(ctx context.Context, action, object string, details ...string) error {
	return s.inTx(ctx, "audit", func(ctx context.Context, tx bun.Tx) error {
		return s.appendAudit(ctx, tx, did(ctx, action, object, details...))
	})
}

type auditRow struct {
	ID, At                             int64
	Actor, RequestID, CallerID, Reason string
	Metadata, Network, Region          string
	Action, Object, Details            string
	Nonce, Mac                         []byte
}

const auditColumns = "id, at, actor, request_id, caller_id, reason, metadata, network, region, action, object, details, nonce, mac"

func (r auditRow) entry() (posthaste.AuditEntry, error) {
	e := posthaste.AuditEntry{ID: r.ID, At: instant(r.At), Action: r.Action, Object: r.Object, Unique: r.Nonce, MAC: r.Mac,
		Origin: posthaste.Origin{Actor: r.Actor, RequestID: r.RequestID, CallerID: r.CallerID, Reason: r.Reason, Network: posthaste.ParseNetwork(r.Network), Region: r.Region}}
	for text, into := range map[string]*map[string]string{r.Metadata: &e.Metadata, r.Details: &e.Details} {
		if len(text) > 2 { // more than {}
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return e, fmt.Errorf("read entry %d: %w", r.ID, err)
			}
		}
	}
	return e, nil
}

func listAudit(ctx context.Context, query *bun.RawQuery) ([]posthaste.AuditEntry, error) {
	var rows []auditRow
	if err := query.Scan(ctx, &rows); err != nil {
		return nil, translate("list audit", err)
	}
	entries := make([]posthaste.AuditEntry, len(rows))
	for i, r := range rows {
		var err error
		if entries[i], err = r.entry(); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// ListAudit gives up to limit entries older than the one with the id before,
// newest first; 0 starts with the newest. Newest is the greatest id, or, when the
// filter has a time, the latest: two that are written at once may differ in that.
func (s *Store) ListAudit(ctx context.Context, f posthaste.AuditFilter, before int64, limit int) ([]posthaste.AuditEntry, error) {
	query, args := auditQuery(f, before, limit)
	return listAudit(ctx, s.db.NewRaw(query, args...))
}

func auditQuery(f posthaste.AuditFilter, before int64, limit int) (query string, args []any) {
	where, order := "true", "id DESC"
	narrow := func(condition string, values ...any) { where, args = where+" AND "+condition, append(args, values...) }
	timed := !f.From.IsZero() || !f.To.IsZero()
	if timed {
		order = "at DESC, id DESC" // audit_by_time, else the log is read from its end until there are enough of that time
	}
	switch {
	case before > 0 && timed: // what is older than an entry that retention removed was removed too
		narrow("(at, id) < ((SELECT b.at FROM audit b WHERE b.id = ?), ?)", before, before)
	case before > 0:
		narrow("id < ?", before)
	}
	if f.Object != "" { // audit_by_object
		narrow("object = ?", f.Object)
	}
	if f.Action != "" { // audit_by_action
		narrow("action = ?", f.Action)
	}
	if f.Actor != "" { // audit_by_actor
		narrow("actor = ?", f.Actor)
	}
	if f.RequestID != "" { // audit_by_request, audit_by_caller
		narrow("(request_id = ? AND request_id <> '' OR caller_id = ? AND caller_id <> '')", f.RequestID, f.RequestID)
	}
	if !f.From.IsZero() {
		narrow("at >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		narrow("at < ?", micros(f.To))
	}
	return "SELECT " + auditColumns + " FROM audit WHERE " + where + " ORDER BY " + order + " LIMIT ?", append(args, limit)
}
