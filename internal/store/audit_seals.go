package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

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

// SealAudit covers up to limit committed entries by a seal at the end of the
// chain, and tells how many. It is not part of writing an entry, since the chain
// would let only one transaction at a time write any.
func (s *Store) SealAudit(ctx context.Context, limit int) (sealed int, err error) {
	err = s.inTx(ctx, "seal audit", func(ctx context.Context, tx bun.Tx) error {
		sealed = 0
		if _, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), auditLock); err != nil {
			return err
		}
		number, chain, err := auditEnd(ctx, tx)
		if err != nil {
			return err
		}
		most := limit
		if number == 0 { // the first takes in all that was written before there were MACs
			var old int64
			if err := tx.NewRaw("SELECT count(*) FROM audit WHERE mac IS NULL").Scan(ctx, &old); err != nil {
				return err
			}
			if old > 0 {
				most = math.MaxInt32
			}
		}
		var ids []int64
		if err := tx.NewRaw("SELECT id FROM audit_unsealed ORDER BY id LIMIT ?", most).Scan(ctx, &ids); err != nil || len(ids) == 0 {
			return err
		}
		var entries []posthaste.AuditEntry
		for part := range slices.Chunk(ids, sealPart) {
			some, err := listAudit(ctx, tx.NewRaw("SELECT "+auditColumns+" FROM audit WHERE id IN (?) ORDER BY id", bun.List(part)))
			if err != nil {
				return err
			}
			entries = append(entries, some...)
		}
		seal := audit.NewSeal(s.keys, number+1, chain, entries)
		if _, err := exec(ctx, tx, "INSERT INTO audit_seals (number, entries, chain, at) VALUES (?, ?, ?, ?)", seal.Number, audit.Encode(seal.Entries), seal.Chain,
			micros(time.Now())); err != nil {
			return err
		}
		sealed = len(ids)
		for part := range slices.Chunk(ids, sealPart) {
			if _, err := exec(ctx, tx, "DELETE FROM audit_unsealed WHERE id IN (?)", bun.List(part)); err != nil {
				return err
			}
		}
		return nil
	})
	return sealed, err
}

// sealPart is the most entries of one statement.
const sealPart = 1000

// FindAuditEnd gives the number of the last seal and the chain there; 0 as long as there is none.
func (s *Store) FindAuditEnd(ctx context.Context) (number int64, chain []byte, err error) {
	number, chain, err = auditEnd(ctx, s.db)
	return number, chain, translate("find end of audit", err)
}

func auditEnd(ctx context.Context, db bun.IDB) (int64, []byte, error) {
	var end struct {
		Number int64
		Chain  []byte
	}
	err := db.NewRaw("SELECT number, chain FROM audit_seals ORDER BY number DESC LIMIT 1").Scan(ctx, &end)
	if errors.Is(err, sql.ErrNoRows) {
		base, err := auditBase(ctx, db)
		return base.Number, base.Chain, err
	}
	return end.Number, end.Chain, err
}

// ReadAudit gives do the audit log as it is at one moment, whatever is written,
// sealed or removed meanwhile; and its error. The log is not to be kept.
func (s *Store) ReadAudit(ctx context.Context, do func(log audit.Log) error) error {
	options := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	if s.Single() { // whose transactions all see one moment; one that reads alone keeps nobody from writing
		options.Isolation = sql.LevelDefault
	}
	return translate("read audit", s.db.RunInTx(ctx, options, func(_ context.Context, tx bun.Tx) error { return do(auditLog{tx}) }))
}

// auditLog is the audit log in a transaction.
type auditLog struct{ db bun.IDB }

// FindAuditBase gives up to where old entries were removed; the zero one as long as none was.
func (l auditLog) FindAuditBase(ctx context.Context) (audit.Base, error) {
	base, err := auditBase(ctx, l.db)
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
	if _, err := fmt.Sscanf(text, "%d %s %s", &b.Number, &chain, &mac); err != nil {
		return b, fmt.Errorf("read base of audit: %w", err)
	}
	if b.Chain, err = hex.DecodeString(chain); err != nil {
		return b, err
	}
	b.MAC, err = hex.DecodeString(mac)
	return b, err
}

// ListSeals gives up to limit seals behind a number, in the chain's order.
func (l auditLog) ListSeals(ctx context.Context, after int64, limit int) ([]audit.Seal, error) {
	var rows []struct {
		Number         int64
		Entries, Chain []byte
	}
	if err := l.db.NewRaw("SELECT number, entries, chain FROM audit_seals WHERE number > ? ORDER BY number LIMIT ?", after, limit).Scan(ctx, &rows); err != nil {
		return nil, translate("list seals", err)
	}
	seals := make([]audit.Seal, len(rows))
	for i, r := range rows {
		entries, err := audit.Decode(r.Entries)
		if err != nil {
			return nil, fmt.Errorf("seal %d: %w", r.Number, err)
		}
		seals[i] = audit.Seal{Number: r.Number, Entries: entries, Chain: r.Chain}
	}
	return seals, nil
}

// ListEntries gives up to limit entries behind an id, in the order of ids.
func (l auditLog) ListEntries(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error) {
	return listAudit(ctx, l.db.NewRaw("SELECT "+auditColumns+" FROM audit WHERE id > ? ORDER BY id LIMIT ?", after, limit))
}

// NoteRestored writes down that this database is that of a backup, and up to
// which seal its log reaches: heads that name later ones are explained by it.
func (s *Store) NoteRestored(ctx context.Context) error {
	return s.inTx(ctx, "note restored", func(ctx context.Context, tx bun.Tx) error {
		number, _, err := auditEnd(ctx, tx)
		if err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, audit.Restored, "database", audit.RestoredAfter, strconv.FormatInt(number, 10)))
	})
}

// pruneAudit removes the seals that were made before an instant, with their
// entries, and notes, under a MAC, where the chain begins from then on.
func (s *Store) pruneAudit(ctx context.Context, before time.Time) (pruned int64, err error) {
	return s.inSteps(func() (n int64, err error) {
		err = s.inTx(ctx, "prune audit", func(ctx context.Context, tx bun.Tx) error {
			n, err = s.pruneOldest(ctx, tx, before)
			return err
		})
		return n, err
	})
}

// pruneSeals is how many seals go at once.
const pruneSeals = 20

func (s *Store) pruneOldest(ctx context.Context, tx bun.Tx, before time.Time) (pruned int64, err error) {
	if _, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), auditLock); err != nil {
		return 0, err
	}
	var old []struct {
		Number         int64
		Entries, Chain []byte
	}
	if err := tx.NewRaw("SELECT number, entries, chain FROM audit_seals WHERE at < ? ORDER BY number LIMIT ?", micros(before), pruneSeals).Scan(ctx, &old); err != nil || len(old) == 0 {
		return 0, err
	}
	for _, r := range old {
		entries, err := audit.Decode(r.Entries)
		if err != nil {
			return 0, fmt.Errorf("seal %d: %w", r.Number, err)
		}
		ids := make([]int64, len(entries))
		for i, e := range entries {
			ids[i] = e.ID
		}
		n, err := exec(ctx, tx, "DELETE FROM audit WHERE id IN (?)", bun.List(ids))
		if err != nil {
			return 0, err
		}
		pruned += n
	}
	last := old[len(old)-1]
	base := audit.NewBase(s.keys, last.Number, last.Chain)
	if _, err := exec(ctx, tx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", auditBaseSetting,
		fmt.Sprintf("%d %s %s", base.Number, hex.EncodeToString(base.Chain), hex.EncodeToString(base.MAC))); err != nil {
		return 0, err
	}
	if _, err := exec(ctx, tx, "DELETE FROM audit_seals WHERE number <= ?", base.Number); err != nil {
		return 0, err
	}
	return pruned, s.appendAudit(ctx, tx, did(ctx, "audit.prune", "audit", "up_to_seal", strconv.FormatInt(base.Number, 10)))
}
