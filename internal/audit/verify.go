package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"posthaste"
)

// Log is where Verify reads from.
type Log interface {
	// FindAuditBase gives the base; the zero one as long as nothing was removed.
	FindAuditBase(ctx context.Context) (Base, error)
	// ListSealed gives up to limit entries behind a place, in the chain's order.
	ListSealed(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error)
	// ListUnsealed gives up to limit entries without a place behind an id.
	ListUnsealed(ctx context.Context, after int64, limit int) ([]posthaste.AuditEntry, error)
}

// Restored is the action of the entry that explains why heads name entries that
// are not there: the database is that of a backup. RestoredAfter is the detail
// that says up to which place it reaches.
const (
	Restored      = "database.restore"
	RestoredAfter = "log_ends"
)

// Report is what Verify found.
type Report struct {
	Entries  int64 // that have a place
	Unsealed int64 // that have none yet
	Heads    int   // that were compared
	Lost     []string
	Faults   []string // each says where
}

// page is how many entries are read at once.
const page = 1000

// verifier goes along the chain.
type verifier struct {
	keys   Keys
	report Report
	seq    int64  // of the entry before
	chain  []byte // at it; nil when it is not known
	seen   map[string]int64
	heads  []Head // not compared yet, in order
}

// Verify reads the whole log, compares it with heads that were kept elsewhere,
// and reports every place at which it is not what was written. The error says
// only that it could not be read.
func Verify(ctx context.Context, log Log, keys Keys, heads []Head) (Report, error) {
	v := &verifier{keys: keys, seen: map[string]int64{}, heads: slices.Clone(heads)}
	slices.SortFunc(v.heads, func(a, b Head) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.At.Compare(b.At)) })
	base, err := log.FindAuditBase(ctx)
	if err != nil {
		return v.report, err
	}
	v.begin(base)
	if err := v.explain(ctx, log); err != nil {
		return v.report, err
	}
	for after := v.seq; ; {
		entries, err := log.ListSealed(ctx, after, page)
		if err != nil {
			return v.report, err
		}
		for _, e := range entries {
			v.take(e)
			after = e.Seq
		}
		if len(entries) < page {
			break
		}
	}
	for _, h := range v.heads {
		v.fault("the log ends with entry %d, but had %d entries at %s: its end was cut off", v.seq, h.Seq, h.At.Format(time.RFC3339))
	}
	for after := int64(0); ; {
		entries, err := log.ListUnsealed(ctx, after, page)
		if err != nil {
			return v.report, err
		}
		for _, e := range entries {
			v.report.Unsealed++
			v.check(fmt.Sprintf("entry with the id %d, which has no place yet,", e.ID), e)
			after = e.ID
		}
		if len(entries) < page {
			return v.report, nil
		}
	}
}

func (v *verifier) begin(b Base) {
	if b.Seq == 0 {
		v.chain = []byte{}
		return
	}
	v.seq, v.chain = b.Seq, b.Chain
	if !bytes.Equal(b.MAC, v.keys.AuditMAC(baseText(b.Seq, b.Chain))) {
		v.fault("the mark up to which old entries were removed (entry %d) was changed", b.Seq)
	}
	// What retention removed cannot be compared any more.
	v.heads = slices.DeleteFunc(v.heads, func(h Head) bool { return h.Seq < b.Seq })
}

// explain leaves out the heads of entries that a restored backup does not have.
func (v *verifier) explain(ctx context.Context, log Log) error {
	for after := v.seq; ; {
		entries, err := log.ListSealed(ctx, after, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			after = e.Seq
			ends, err := strconv.ParseInt(e.Details[RestoredAfter], 10, 64)
			if e.Action != Restored || err != nil || !v.genuine(e) {
				continue
			}
			lost := int64(0)
			v.heads = slices.DeleteFunc(v.heads, func(h Head) bool {
				gone := h.Seq > ends && h.At.Before(e.At)
				if gone {
					lost = max(lost, h.Seq)
				}
				return gone
			})
			if lost > 0 {
				v.report.Lost = append(v.report.Lost, fmt.Sprintf("entries %d to %d or later were lost when a backup was restored at %s (entry %d)",
					ends+1, lost, e.At.Format(time.RFC3339), e.Seq))
			}
		}
		if len(entries) < page {
			return nil
		}
	}
}

func (v *verifier) genuine(e posthaste.AuditEntry) bool {
	return bytes.Equal(v.keys.AuditMAC(Text(e)), e.MAC)
}

// take goes on to the next entry that has a place.
func (v *verifier) take(e posthaste.AuditEntry) {
	v.report.Entries++
	switch {
	case e.Seq <= v.seq:
		v.fault("there are two entries %d (id %d)", e.Seq, e.ID)
		return
	case e.Seq > v.seq+1:
		v.fault("%s missing", span(v.seq+1, e.Seq-1))
		v.chain = nil
	}
	v.check(fmt.Sprintf("entry %d (id %d)", e.Seq, e.ID), e)
	if v.chain != nil && !bytes.Equal(v.keys.AuditLink(v.chain, e.Seq, e.MAC), e.Chain) {
		v.fault("entry %d (id %d) does not follow on the one before: one of them was changed, moved or put in", e.Seq, e.ID)
	}
	v.seq, v.chain = e.Seq, e.Chain
	for len(v.heads) > 0 && v.heads[0].Seq <= e.Seq {
		h := v.heads[0]
		v.heads = v.heads[1:]
		v.report.Heads++
		if h.Seq == e.Seq && !bytes.Equal(h.Chain, e.Chain) {
			v.fault("entry %d (id %d) is not the one that stood there at %s: the log up to it was changed", e.Seq, e.ID, h.At.Format(time.RFC3339))
		}
	}
}

// check looks at an entry by itself.
func (v *verifier) check(what string, e posthaste.AuditEntry) {
	if !v.genuine(e) {
		v.fault("%s was changed, or is not ours", what)
	}
	if first, known := v.seen[string(e.Unique)]; known {
		v.fault("%s is a copy of the one with the id %d", what, first)
	}
	v.seen[string(e.Unique)] = e.ID
}

func (v *verifier) fault(format string, args ...any) {
	v.report.Faults = append(v.report.Faults, fmt.Sprintf(format, args...))
}

func span(first, last int64) string {
	if first == last {
		return fmt.Sprintf("entry %d is", first)
	}
	return fmt.Sprintf("entries %d to %d are", first, last)
}
