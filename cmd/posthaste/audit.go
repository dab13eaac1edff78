package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"posthaste/internal/audit"
	"posthaste/internal/store"
	"posthaste/internal/token"
)

const (
	// sealEvery is how long an entry of the audit log waits for its seal, about.
	sealEvery = time.Second
	sealBatch = 500
	// headEvery is how often the last seal is signed and kept outside of
	// the database, as long as it grows: what is cut off sooner leaves no trace.
	headEvery = time.Minute
)

// headsFile is where one process keeps the heads of the audit log.
func (c config) headsFile() string { return filepath.Join(c.DataDir, "audit-heads.jsonl") }

// heads sign the end of the audit log.
type heads struct {
	store *store.Store
	keys  *token.Keys
}

// Head gives the present end.
func (h heads) Head(ctx context.Context) (audit.Head, error) {
	number, chain, err := h.store.FindAuditEnd(ctx)
	return audit.NewHead(h.keys, number, chain, time.Now()), err
}

// sealAudit seals the entries of the audit log until ctx ends, and
// keeps heads. When a part is away it tries again; nothing else waits for it.
func (svc *service) sealAudit(ctx context.Context) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	var kept int64
	var keptAt time.Time
	for {
		err := svc.sealAll(ctx)
		if err == nil && time.Since(keptAt) >= headEvery {
			if kept, err = svc.keepHead(ctx, kept); err == nil {
				keptAt = time.Now()
			}
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn("the audit log waits to be sealed", "error", err)
		}
		select {
		case <-ctx.Done():
			svc.sealLast(ctx, kept)
			return
		case <-tick.C:
		}
	}
}

func (svc *service) sealAll(ctx context.Context) error {
	for {
		n, err := svc.store.SealAudit(ctx, sealBatch)
		if err != nil || n < sealBatch {
			return err
		}
	}
}

// keepHead keeps the end of the chain, if it is another one than before.
func (svc *service) keepHead(ctx context.Context, before int64) (int64, error) {
	h, err := heads{svc.store, svc.keys}.Head(ctx)
	if err != nil || h.Seal == before {
		return before, err
	}
	return h.Seal, audit.AppendHead(svc.config.headsFile(), h)
}

// sealLast seals what was written until the stop, so that a process that is
// stopped in order leaves nothing open.
func (svc *service) sealLast(ctx context.Context, kept int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), awayRetry)
	defer cancel()
	err := svc.sealAll(ctx)
	if err == nil {
		_, err = svc.keepHead(ctx, kept)
	}
	if err != nil {
		slog.Warn("the end of the audit log is sealed at the next start", "error", err)
	}
}

type auditCommand struct {
	Verify auditVerifyCommand `cmd:"" help:"Prove that the audit log is whole: nothing changed, removed, moved, added or cut off."`
}

type auditVerifyCommand struct {
	Heads []string `help:"Files of heads that were kept elsewhere, beside the one in the data folder." type:"existingfile"`
}

// Run verifies and prints what it found; it is an error when the log is not whole.
func (v auditVerifyCommand) Run(e *environment) error {
	db, keys, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	var known []audit.Head
	for _, path := range append(v.Heads, e.config.headsFile()) {
		read, err := audit.ReadHeads(path, keys)
		if err != nil {
			return err
		}
		known = append(known, read...)
	}
	var report audit.Report
	if err := db.ReadAudit(e.ctx, func(log audit.Log) (err error) {
		report, err = audit.Verify(e.ctx, log, keys, known)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d entries under %d seals, %d not yet sealed, compared with %d heads that were kept outside of the database.\n", report.Entries, report.Seals, report.Unsealed, report.Heads)
	for _, lost := range report.Lost {
		fmt.Fprintln(e.out, lost)
	}
	for _, fault := range report.Faults {
		fmt.Fprintln(e.out, fault)
	}
	if len(report.Faults) > 0 {
		return fmt.Errorf("the audit log is not what was written: %d faults", len(report.Faults))
	}
	if len(known) == 0 {
		fmt.Fprintln(e.out, "No heads were found, so that nobody can tell whether the end was cut off.")
	}
	fmt.Fprintln(e.out, "The log is whole.")
	return db.Audit(e.ctx, "audit.verify", "audit")
}
