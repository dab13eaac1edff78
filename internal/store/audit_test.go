package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/audit"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// seal puts all that is written into the chain.
func seal(tb testing.TB, s *store.Store) {
	tb.Helper()
	for {
		n, err := s.SealAudit(tb.Context(), 7)
		must(tb, err)
		if n == 0 {
			return
		}
	}
}

// logged is a log of n entries, all sealed, and its head.
func logged(tb testing.TB, s *store.Store, n int) audit.Head {
	tb.Helper()
	ctx := posthaste.WithOrigin(tb.Context(), posthaste.Origin{Actor: "desk", RequestID: "r", CallerID: "c", Reason: "T-1",
		Metadata: map[string]string{"b": "2", "a": "1"}, Network: posthaste.ParseNetwork("192.0.2.0/24")})
	for i := range n {
		must(tb, s.Audit(ctx, "thing.do", fmt.Sprintf("thing/%d", i+1), "z", "1", "y", "2"))
	}
	seal(tb, s)
	return headOf(tb, s)
}

func headOf(tb testing.TB, s *store.Store) audit.Head {
	tb.Helper()
	number, chain, err := s.FindAuditEnd(tb.Context())
	must(tb, err)
	return audit.NewHead(testKeys{}, number, chain, time.Now())
}

func verify(tb testing.TB, s *store.Store, heads ...audit.Head) audit.Report {
	tb.Helper()
	return verifyAs(tb, s, func(log audit.Log) audit.Log { return log }, heads...)
}

// verifyAs is verify of a log that something happens to.
func verifyAs(tb testing.TB, s *store.Store, as func(audit.Log) audit.Log, heads ...audit.Head) (report audit.Report) {
	tb.Helper()
	must(tb, s.ReadAudit(tb.Context(), func(log audit.Log) (err error) {
		report, err = audit.Verify(tb.Context(), as(log), testKeys{}, heads)
		return err
	}))
	return report
}

// disturbed is a log in whose reading something else happens, behind a call.
type disturbed struct {
	audit.Log
	afterBase, afterSeals func()
}

func (d disturbed) FindAuditBase(ctx context.Context) (audit.Base, error) {
	defer d.afterBase()
	return d.Log.FindAuditBase(ctx)
}

func (d disturbed) ListSeals(ctx context.Context, after int64, limit int) ([]audit.Seal, error) {
	defer d.afterSeals()
	return d.Log.ListSeals(ctx, after, limit)
}

// TestAuditIsVerifiedWhileRetentionRuns removes all that is sealed, amid the reading.
func TestAuditIsVerifiedWhileRetentionRuns(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(log audit.Log, prune func()) disturbed{
		"after the base":  func(log audit.Log, prune func()) disturbed { return disturbed{log, prune, func() {}} },
		"after the seals": func(log audit.Log, prune func()) disturbed { return disturbed{log, func() {}, prune} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, s *store.Store) {
				head := logged(t, s, 10)
				var pruned int64
				prune := func() {
					n, err := s.Forget(t.Context(), "audit", time.Now().Add(time.Hour))
					must(t, err)
					pruned += n
				}
				r := verifyAs(t, s, func(log audit.Log) audit.Log { return of(log, prune) }, head)
				if len(r.Faults) > 0 || r.Entries != 10 || r.Heads != 1 || pruned != 10 {
					t.Errorf("%d were removed, and it found %+v", pruned, r)
				}
				if r := verify(t, s, head); len(r.Faults) > 0 || r.Entries != 0 {
					t.Errorf("after it: %+v", r)
				}
			})
		})
	}
}

// tamper changes the database as somebody would who has no secret file.
func tamper(tb testing.TB, db *sql.DB, statements ...string) {
	tb.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestAuditIsEvidentOfTampering(t *testing.T) {
	t.Parallel()
	const whole = ""
	// Each is done to a log of 10 sealed entries with a head at the 8th and at the last.
	for name, c := range map[string]struct {
		statements []string
		want       string // in some fault; whole: there is none
	}{
		"nothing":                {nil, whole},
		"another action":         {[]string{"UPDATE audit SET action = 'thing.undo' WHERE id = 4"}, "entry 4 of seal 1 was changed"},
		"another actor":          {[]string{"UPDATE audit SET actor = 'root' WHERE id = 4"}, "entry 4 of seal 1 was changed"},
		"another time":           {[]string{"UPDATE audit SET at = at + 1 WHERE id = 10"}, "entry 10 of seal 3 was changed"},
		"another reason":         {[]string{"UPDATE audit SET reason = '' WHERE id = 1"}, "entry 1 of seal 1 was changed"},
		"other metadata":         {[]string{`UPDATE audit SET metadata = '{"a":"9","b":"2"}' WHERE id = 4`}, "entry 4 of seal 1 was changed"},
		"other details":          {[]string{`UPDATE audit SET details = '{}' WHERE id = 4`}, "entry 4 of seal 1 was changed"},
		"another region":         {[]string{`UPDATE audit SET region = 'FR' WHERE id = 4`}, "entry 4 of seal 1 was changed"},
		"another network":        {[]string{`UPDATE audit SET network = '' WHERE id = 4`}, "entry 4 of seal 1 was changed"},
		"a part moved over":      {[]string{`UPDATE audit SET request_id = 'rc', caller_id = '' WHERE id = 4`}, "entry 4 of seal 1 was changed"},
		"one removed":            {[]string{"DELETE FROM audit WHERE id = 5"}, "entry 5 of seal 1 is missing"},
		"the first removed":      {[]string{"DELETE FROM audit WHERE id = 1"}, "entry 1 of seal 1 is missing"},
		"two in another order":   {[]string{"UPDATE audit SET id = 100 WHERE id = 3", "UPDATE audit SET id = 3 WHERE id = 4", "UPDATE audit SET id = 4 WHERE id = 100"}, "entry 3 of seal 1 was changed"},
		"one put in":             {[]string{copyOf(3, "thing.forge")}, "entry 11, which no seal covers, was changed, or is not ours"},
		"a copy":                 {[]string{copyOf(3, "thing.do")}, "entry 11 is a copy of entry 3"},
		"a seal removed":         {[]string{"DELETE FROM audit_seals WHERE number = 2"}, "seal 2 is missing"},
		"a seal and its entry":   {[]string{"DELETE FROM audit_seals WHERE number = 2", "DELETE FROM audit WHERE id = 8", "UPDATE audit_seals SET number = 2 WHERE number = 3"}, "seal 2 does not follow"},
		"a seal changed":         {[]string{"UPDATE audit_seals SET entries = (SELECT entries FROM audit_seals WHERE number = 3) WHERE number = 2"}, "seal 2 does not follow"},
		"two seals changed over": {[]string{"UPDATE audit_seals SET number = 100 WHERE number = 1", "UPDATE audit_seals SET number = 1 WHERE number = 2", "UPDATE audit_seals SET number = 2 WHERE number = 100"}, "seal 1 does not follow"},
		"the end cut off":        {[]string{"DELETE FROM audit WHERE id > 8", "DELETE FROM audit_seals WHERE number > 2"}, "ends with seal 2, but had 3 seals"},
		"all removed":            {[]string{"DELETE FROM audit", "DELETE FROM audit_seals"}, "ends with seal 0, but had 3 seals"},
		"a mark of retention":    {[]string{"DELETE FROM audit WHERE id < 8", "DELETE FROM audit_seals WHERE number < 2", "INSERT INTO settings (name, value) VALUES ('audit_base', '1 00 00')"}, "the mark up to which old entries were removed (seal 1) was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothAt(t, func(t *testing.T, s *store.Store, url string) {
				heads := []audit.Head{logged(t, s, 8), logged(t, s, 2)} // seals of 7, 1 and 2 entries
				if r := verify(t, s, heads...); len(r.Faults) > 0 || r.Entries != 10 || r.Heads != 2 {
					t.Fatalf("before: %+v", r)
				}
				tamper(t, testkit.RawSQL(t, url), c.statements...)
				r := verify(t, s, heads...)
				found := slices.ContainsFunc(r.Faults, func(fault string) bool { return strings.Contains(fault, c.want) })
				if c.want == whole && len(r.Faults) > 0 || c.want != whole && !found {
					t.Errorf("faults %q, want %q", r.Faults, c.want)
				}
			})
		})
	}
}

// copyOf puts in a copy of an entry with another action.
func copyOf(id int64, action string) string {
	return fmt.Sprintf(`INSERT INTO audit (at, actor, request_id, caller_id, reason, metadata, network, region, action, object, details, nonce, mac)
		SELECT at, actor, request_id, caller_id, reason, metadata, network, region, '%s', object, details, nonce, mac FROM audit WHERE id = %d`, action, id)
}

// Whoever cuts the end off and lets the program go on is found out by the head.
func TestAuditEndThatIsWrittenAnew(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		head := logged(t, s, 10)
		tamper(t, testkit.RawSQL(t, url), "DELETE FROM audit WHERE id > 7", "DELETE FROM audit_seals WHERE number > 1")
		logged(t, s, 5)
		r := verify(t, s, head)
		if len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "seal 2 is not the one that stood there") {
			t.Errorf("faults %q", r.Faults)
		}
	})
}

func TestAuditOfARestoredDatabase(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		lost := logged(t, s, 10)
		tamper(t, testkit.RawSQL(t, url), "DELETE FROM audit WHERE id > 7", "DELETE FROM audit_seals WHERE number > 1") // as the backup would have it
		must(t, s.NoteRestored(t.Context()))
		later := logged(t, s, 9)
		r := verify(t, s, lost, later)
		if len(r.Faults) > 0 || len(r.Lost) != 1 || !strings.HasPrefix(r.Lost[0], "seals 2 to 2 or later were lost when a backup was restored") {
			t.Errorf("%+v", r)
		}
		tamper(t, testkit.RawSQL(t, url), "DELETE FROM audit WHERE id > 17", "DELETE FROM audit_seals WHERE number > 2")
		if r := verify(t, s, lost, later); len(r.Faults) != 1 {
			t.Errorf("cut off after the restore: %+v", r)
		}
	})
}

// Entries that were written before there was a chain are taken into it once.
func TestAuditFromBeforeTheChain(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		const old = "INSERT INTO audit (at, actor, action, object, reason, request_id, metadata) VALUES (1, 'a', 'b', 'c', '', '', '{}')"
		raw := testkit.RawSQL(t, url)
		tamper(t, raw, append(slices.Repeat([]string{old}, 20), "INSERT INTO audit_unsealed (id) SELECT id FROM audit")...) // as the migration does
		head := logged(t, s, 1)
		if r := verify(t, s, head); len(r.Faults) > 0 || r.Entries != 21 {
			t.Fatalf("%+v", r)
		}
		tamper(t, raw, old, "INSERT INTO audit_unsealed (id) SELECT max(id) FROM audit")
		seal(t, s)
		if r := verify(t, s, head); len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "entry 22 of seal 2 was changed, or is not ours") {
			t.Errorf("one that came later: %+v", r)
		}
	})
}

// Many write and several seal at once: every entry gets one place.
func TestAuditIsSealedWhileOthersWrite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		const writers, each = 8, 25
		var writing, sealing sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for range 2 {
			sealing.Go(func() {
				for ctx.Err() == nil {
					if _, err := s.SealAudit(t.Context(), 10); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range writers {
			writing.Go(func() {
				for range each {
					if err := s.Audit(t.Context(), "thing.do", "thing/1"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		stop()
		sealing.Wait()
		seal(t, s)
		if r := verify(t, s, headOf(t, s)); len(r.Faults) > 0 || r.Entries != writers*each {
			t.Errorf("%+v", r)
		}
	})
}

// What is searched by time is in the order of time, page by page.
func TestAuditOfATimeIsPaged(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		logged(t, s, 6)
		tamper(t, testkit.RawSQL(t, url), "UPDATE audit SET at = CASE id WHEN 2 THEN 5000001 WHEN 5 THEN 2000001 WHEN 6 THEN 9000000 ELSE id * 1000000 END")
		var ids []int64
		for before := int64(0); ; {
			page, err := s.ListAudit(t.Context(), posthaste.AuditFilter{From: time.UnixMicro(1_500_000), To: time.UnixMicro(9_000_000)}, before, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				ids = append(ids, e.ID)
			}
			before = ids[len(ids)-1]
		}
		if !slices.Equal(ids, []int64{2, 4, 3, 5}) {
			t.Errorf("found %v", ids)
		}
	})
}

func TestAuditIsFound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		logged(t, s, 2)
		must(t, s.Audit(t.Context(), "other.do", "thing/2"))
		for name, c := range map[string]struct {
			filter posthaste.AuditFilter
			want   int
		}{
			"all":           {posthaste.AuditFilter{}, 3},
			"object":        {posthaste.AuditFilter{Object: "thing/2"}, 2},
			"action":        {posthaste.AuditFilter{Object: "thing/2", Action: "other.do"}, 1},
			"actor":         {posthaste.AuditFilter{Actor: posthaste.BySystem}, 1},
			"our request":   {posthaste.AuditFilter{RequestID: "r"}, 2},
			"their request": {posthaste.AuditFilter{RequestID: "c"}, 2},
			"no request":    {posthaste.AuditFilter{RequestID: "x"}, 0},
			"until now":     {posthaste.AuditFilter{To: time.Now().Add(time.Hour)}, 3},
			"from tomorrow": {posthaste.AuditFilter{From: time.Now().Add(time.Hour)}, 0},
		} {
			found, err := s.ListAudit(t.Context(), c.filter, 0, 10)
			must(t, err)
			if len(found) != c.want {
				t.Errorf("%s: %d, want %d", name, len(found), c.want)
			}
		}
		found, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Object: "thing/1"}, 0, 1)
		must(t, err)
		e := found[0]
		if e.Actor != "desk" || e.RequestID != "r" || e.CallerID != "c" || e.Reason != "T-1" || e.Metadata["b"] != "2" || e.Details["z"] != "1" || e.Network.String() != "192.0.2.0/24" {
			t.Errorf("%+v", e)
		}
	})
}
