package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"posthaste"
)

// Log is where Verify reads from: the log at one moment, or what retention
// removes between two calls is taken for missing.
type Log interface {
	// FindAuditBase gives the base; the zero one as long as nothing was removed.
	FindAuditBase(ctx context.Context) (Base, error)
	// ListSeals gives up to limit seals behind a number, in the chain's order.
	ListSeals(ctx context.Context, after int64, limit int) ([]Seal, error)
	// ListEntries gives up to limit entries behind an id, in the order of ids.
	ListEntries(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error)
}

// Restored is the action of the entry that explains why heads name seals that
// are not there: the database is that of a backup. RestoredAfter is the detail
// that says up to which seal it reaches.
const (
	Restored      = "database.restore"
	RestoredAfter = "log_ends"
)

// Report is what Verify found.
type Report struct {
	Entries  int64 // that a seal covers
	Unsealed int64 // that none covers yet
	Seals    int64
	Heads    int // that were compared
	Lost     []string
	Faults   []string // each says where
}

// How many are read at once.
const (
	sealsAtOnce   = 50
	entriesAtOnce = 1000
)

// covered is what a seal says of an entry.
type covered struct {
	seal int64
	mac  [macSize]byte
}

// verifier goes along the chain, and then along the entries.
type verifier struct {
	keys   Keys
	report Report
	number int64  // of the seal before
	chain  []byte // at it; nil when it is not known
	covers map[int64]covered
	seen   map[uint64]int64 // ids by the first octets of Unique
	heads  []Head           // not compared yet, in order
}

// Verify reads the whole log, compares it with heads that were kept elsewhere,
// and reports every place at which it is not what was written. The error says
// only that it could not be read. It keeps some hundred octets for each entry.
func Verify(ctx context.Context, log Log, keys Keys, heads []Head) (Report, error) {
	v := &verifier{keys: keys, covers: map[int64]covered{}, seen: map[uint64]int64{}, heads: slices.Clone(heads)}
	slices.SortFunc(v.heads, func(a, b Head) int { return cmp.Or(cmp.Compare(a.Seal, b.Seal), a.At.Compare(b.At)) })
	base, err := log.FindAuditBase(ctx)
	if err != nil {
		return v.report, err
	}
	v.begin(base)
	chains := map[int64][]byte{v.number: v.chain}
	for {
		seals, err := log.ListSeals(ctx, v.number, sealsAtOnce)
		if err != nil {
			return v.report, err
		}
		for _, s := range seals {
			v.take(s)
			chains[s.Number] = s.Chain
		}
		if len(seals) < sealsAtOnce {
			break
		}
	}
	restores, err := v.entries(ctx, log)
	if err != nil {
		return v.report, err
	}
	v.explain(restores)
	v.compare(chains)
	return v.report, nil
}

func (v *verifier) begin(b Base) {
	if b.Number == 0 {
		v.chain = []byte{}
		return
	}
	v.number, v.chain = b.Number, b.Chain
	if !bytes.Equal(b.MAC, v.keys.AuditMAC(baseText(b.Number, b.Chain))) {
		v.fault("the mark up to which old entries were removed (seal %d) was changed", b.Number)
	}
	// What retention removed cannot be compared any more.
	v.heads = slices.DeleteFunc(v.heads, func(h Head) bool { return h.Seal < b.Number })
}

// take goes on to the next seal.
func (v *verifier) take(s Seal) {
	v.report.Seals++
	if s.Number > v.number+1 {
		v.fault("%s missing", span(v.number+1, s.Number-1))
		v.chain = nil
	}
	if v.chain != nil && !bytes.Equal(v.keys.AuditLink(v.chain, s.Number, Encode(s.Entries)), s.Chain) {
		v.fault("seal %d does not follow on the one before: one of them was changed, moved or put in", s.Number)
	}
	v.number, v.chain = s.Number, s.Chain
	for _, e := range s.Entries {
		if other, known := v.covers[e.ID]; known {
			v.fault("entry %d is in the seals %d and %d", e.ID, other.seal, s.Number)
		}
		v.covers[e.ID] = covered{s.Number, [macSize]byte(e.MAC)}
	}
}

// entries holds each entry against its seal, or by itself while it has none. It
// gives those that tell of a restored backup.
func (v *verifier) entries(ctx context.Context, log Log) (restores []posthaste.AuditEntry, err error) {
	for after := int64(0); ; {
		page, err := log.ListEntries(ctx, after, entriesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			after = e.ID
			if v.entry(e) && e.Action == Restored {
				restores = append(restores, e)
			}
		}
		if len(page) < entriesAtOnce {
			break
		}
	}
	var missing []int64
	for id := range v.covers {
		missing = append(missing, id)
	}
	slices.Sort(missing)
	for _, id := range missing {
		v.fault("entry %d of seal %d is missing", id, v.covers[id].seal)
	}
	return restores, nil
}

// entry looks at one, and reports whether it is ours.
func (v *verifier) entry(e posthaste.AuditEntry) bool {
	mac := v.keys.AuditMAC(Text(e))
	c, sealed := v.covers[e.ID]
	delete(v.covers, e.ID)
	switch {
	case sealed:
		v.report.Entries++
		if !bytes.Equal(mac, c.mac[:]) {
			v.fault("entry %d of seal %d was changed, or is not ours", e.ID, c.seal)
			return false
		}
	default:
		v.report.Unsealed++
		if !bytes.Equal(mac, e.MAC) {
			v.fault("entry %d, which no seal covers, was changed, or is not ours", e.ID)
			return false
		}
	}
	if len(e.Unique) < 8 { // from before there were seals
		return true
	}
	key := binary.BigEndian.Uint64(e.Unique)
	if first, known := v.seen[key]; known {
		v.fault("entry %d is a copy of entry %d", e.ID, first)
	}
	v.seen[key] = e.ID
	return true
}

// explain leaves out the heads of seals that a restored backup does not have.
func (v *verifier) explain(restores []posthaste.AuditEntry) {
	for _, e := range restores {
		ends, err := strconv.ParseInt(e.Details[RestoredAfter], 10, 64)
		if err != nil {
			continue
		}
		lost := int64(0)
		v.heads = slices.DeleteFunc(v.heads, func(h Head) bool {
			gone := h.Seal > ends && h.At.Before(e.At)
			if gone {
				lost = max(lost, h.Seal)
			}
			return gone
		})
		if lost > 0 {
			v.report.Lost = append(v.report.Lost, fmt.Sprintf("seals %d to %d or later were lost when a backup was restored at %s (entry %d)", ends+1, lost, when(e.At), e.ID))
		}
	}
}

// compare holds the chain against what was kept elsewhere.
func (v *verifier) compare(chains map[int64][]byte) {
	for _, h := range v.heads {
		chain, there := chains[h.Seal]
		switch {
		case h.Seal > v.number:
			v.fault("the log ends with seal %d, but had %d seals at %s: its end was cut off", v.number, h.Seal, when(h.At))
			continue
		case there && !bytes.Equal(chain, h.Chain):
			v.fault("seal %d is not the one that stood there at %s: the log up to it was changed", h.Seal, when(h.At))
		}
		v.report.Heads++
	}
}

func (v *verifier) fault(format string, args ...any) {
	v.report.Faults = append(v.report.Faults, fmt.Sprintf(format, args...))
}

func when(at time.Time) string { return at.Format(time.RFC3339) }

func span(first, last int64) string {
	if first == last {
		return fmt.Sprintf("seal %d is", first)
	}
	return fmt.Sprintf("seals %d to %d are", first, last)
}
