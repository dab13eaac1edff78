package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/uptrace/bun"

	"posthaste"
	"posthaste/internal/audit"
)

const (
	// auditLock is the key of the advisory lock that lets one process seal at a time.
	auditLock = 0x706f7376
	// auditBaseSetting holds up to where old entries were removed.
	auditBaseSetting = "audit_base"
)

// SealAudit gives up to limit committed entries their places at the end of the
// chain, oldest first, and tells how many. It is not part of writing an entry,
// since the chain would let only one transaction at a time write any.
func (s *Store) SealAudit(ctx context.Context, limit int) (sealed int, err error) {
	err = s.inTx(ctx, "seal audit", func(ctx context.Context, tx bun.Tx) error {
		if _, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), auditLock); err != nil {
			return err
		}
		// audit_unsealed is the index of this scan.
		fresh, err := listAudit(ctx, tx.NewRaw("SELECT "+auditColumns+" FROM audit WHERE seq = 0 ORDER BY id LIMIT ?", limit))
		if err != nil || len(fresh) == 0 {
			return err
		}
		seq, chain, err := auditEnd(ctx, tx)
		if err != nil {
			return err
		}
		if seq == 0 {
			s.adopt(fresh)
		}
		rows := make([]bun.TupleValues, len(fresh))
		for i, e := range fresh {
			seq++
			chain = s.keys.AuditLink(chain, seq, e.MAC)
			rows[i] = bun.Tuple([]any{e.ID, seq, chain, e.Unique, e.MAC})
		}
		sealed = len(fresh)
		_, err = exec(ctx, tx, `WITH v (id, seq, chain, nonce, mac) AS (VALUES ?)
			UPDATE audit SET seq = v.seq, chain = v.chain`+s.pick("::bytea", "")+`, nonce = v.nonce`+s.pick("::bytea", "")+`, mac = v.mac`+s.pick("::bytea", "")+`
			FROM v WHERE audit.id = v.id AND audit.seq = 0`, bun.List(rows))
		return err
	})
	return sealed, err
}

// adopt gives those that were written before there was a chain what they lack.
// It happens once, before the first entry is sealed: later, one without is not ours.
func (s *Store) adopt(entries []posthaste.AuditEntry) {
	for i, e := range entries {
		if len(e.MAC) > 0 {
			continue
		}
		entries[i].Unique = fmt.Appendf(nil, "%0*d", nonceSize, e.ID)
		entries[i].MAC = s.keys.AuditMAC(audit.Text(entries[i]))
	}
}

// FindAuditEnd gives the last place in the chain and the chain there; 0 as long as nothing is sealed.
func (s *Store) FindAuditEnd(ctx context.Context) (seq int64, chain []byte, err error) {
	seq, chain, err = auditEnd(ctx, s.db)
	return seq, chain, translate("find end of audit", err)
}

func auditEnd(ctx context.Context, db bun.IDB) (int64, []byte, error) {
	var end struct {
		Seq   int64
		Chain []byte
	}
	// audit_sealed is the index of this scan.
	err := db.NewRaw("SELECT seq, chain FROM audit WHERE seq > 0 ORDER BY seq DESC LIMIT 1").Scan(ctx, &end)
	if errors.Is(err, sql.ErrNoRows) {
		base, err := auditBase(ctx, db)
		return base.Seq, base.Chain, err
	}
	return end.Seq, end.Chain, err
}

// FindAuditBase gives up to where old entries were removed; the zero one as long as none was.
func (s *Store) FindAuditBase(ctx context.Context) (audit.Base, error) {
	base, err := auditBase(ctx, s.db)
	return base, translate("find base of audit", err)
}

func auditBase(ctx context.Context, db bun.IDB) (b audit.Base, err error) {
	var text string
	err = db.NewRaw("SELECT value FROM settings WHERE name = ?", auditBaseSetting).Scan(ctx, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	var chain, mac string
	if _, err := fmt.Sscanf(text, "%d %s %s", &b.Seq, &chain, &mac); err != nil {
		return b, fmt.Errorf("read base of audit: %w", err)
	}
	if b.Chain, err = hex.DecodeString(chain); err != nil {
		return b, err
	}
	b.MAC, err = hex.DecodeString(mac)
	return b, err
}

// ListSealed gives up to limit entries behind a place, in the chain's order.
func (s *Store) ListSealed(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error) {
	return listAudit(ctx, s.db.NewRaw("SELECT "+auditColumns+" FROM audit WHERE seq > ? ORDER BY seq, id LIMIT ?", after, limit))
}

// ListUnsealed gives up to limit entries without a place behind an id, in the order of ids.
func (s *Store) ListUnsealed(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error) {
	return listAudit(ctx, s.db.NewRaw("SELECT "+auditColumns+" FROM audit WHERE seq = 0 AND id > ? ORDER BY id LIMIT ?", after, limit))
}

// NoteRestored writes down that this database is that of a backup, and up to
// which place its log reaches: heads that name later ones are explained by it.
func (s *Store) NoteRestored(ctx context.Context) error {
	return s.inTx(ctx, "note restored", func(ctx context.Context, tx bun.Tx) error {
		seq, _, err := auditEnd(ctx, tx)
		if err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, audit.Restored, "database", audit.RestoredAfter, strconv.FormatInt(seq, 10)))
	})
}
