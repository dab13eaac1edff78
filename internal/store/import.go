package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"posthaste"
)

// importLock is the key of the advisory lock that lets one import merge at a time.
const importLock = 0x706f7375

// errDryRun rolls a dry run back.
var errDryRun = errors.New("dry run")

// Import merges rows into the recipients and records their consent to the
// topic, all or nothing. The rows are staged in a temporary table, which holds
// no lock on anything, and merged by a handful of statements in one
// transaction. It never lifts a suppression and never overrides a withdrawn
// consent; importing the same rows again changes nothing. An error that rows
// yields ends the import with nothing done.
func (s *Store) Import(ctx context.Context, order posthaste.Import, rows iter.Seq2[posthaste.ImportRow, error]) (posthaste.ImportReport, error) {
	report := posthaste.ImportReport{Rejected: []posthaste.Rejection{}}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return report, translate("import recipients", err)
	}
	defer conn.Close()
	// The connection goes back to the pool, so what was staged must go in any case.
	defer conn.ExecContext(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS staged")
	if err := s.stage(ctx, conn, rows); err != nil {
		return report, translate("stage recipients", err)
	}

	done, err := s.turn(ctx)
	if err != nil {
		return report, translate("merge recipients", err)
	}
	err = conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := s.merge(ctx, tx, order, &report); err != nil {
			return err
		}
		if order.DryRun {
			return errDryRun
		}
		return nil
	})
	done()
	if errors.Is(err, errDryRun) { // with which its entry went too
		return report, s.Audit(ctx, "recipients.import_dry_run", object("topic", order.TopicID))
	}
	return report, translate("merge recipients", err)
}

func (s *Store) stage(ctx context.Context, conn bun.Conn, rows iter.Seq2[posthaste.ImportRow, error]) error {
	if _, err := conn.ExecContext(ctx, "DROP TABLE IF EXISTS staged"); err != nil {
		return err
	}
	bytes := bun.Safe(s.pick("BYTEA", "BLOB"))
	older := ""
	for _, column := range s.olderColumns() {
		older += ", " + column + " ?0"
	}
	if _, err := conn.NewRaw("CREATE TEMP TABLE staged (line BIGINT, email TEXT, canonical TEXT, address_hash ?0, "+
		"name TEXT, locale TEXT, time_zone TEXT, attributes TEXT"+older+")", bytes).Exec(ctx); err != nil {
		return err
	}
	if s.Single() {
		return s.stageSQLite(ctx, conn, rows)
	}
	return s.stagePostgres(ctx, conn, rows)
}

var stagedColumns = []string{"line", "email", "canonical", "address_hash", "name", "locale", "time_zone", "attributes"}

// olderColumns are those of the hashes under older keys, which stand behind the others.
func (s *Store) olderColumns() []string {
	older := make([]string, len(s.keys.OldAddressHashes("")))
	for i := range older {
		older[i] = "older_" + strconv.Itoa(i)
	}
	return older
}

func (s *Store) stagedValues(row posthaste.ImportRow) ([]any, error) {
	attributes, err := attributesJSON(row.Attributes)
	values := []any{int64(row.Line), row.Email, row.Canonical, s.keys.HashAddress(row.Canonical), row.Name, row.Locale, row.TimeZone, attributes}
	for _, hash := range s.keys.OldAddressHashes(row.Canonical) {
		values = append(values, hash)
	}
	return values, err
}

func (s *Store) stagePostgres(ctx context.Context, conn bun.Conn, rows iter.Seq2[posthaste.ImportRow, error]) error {
	next, stop := iter.Pull2(rows)
	defer stop()
	var cut error // the server only repeats the text of what ended the copy
	source := pgx.CopyFromFunc(func() ([]any, error) {
		row, err, ok := next()
		if !ok || err != nil {
			cut = err
			return nil, err // nil, nil ends the copy
		}
		return s.stagedValues(row)
	})
	err := conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{"staged"}, slices.Concat(stagedColumns, s.olderColumns()), source)
		return err
	})
	if cut != nil {
		return cut
	}
	return err
}

// stageSQLite opens a deferred transaction, the one kind that does not take the
// lock of the main database while only the temporary one is written.
func (s *Store) stageSQLite(ctx context.Context, conn bun.Conn, rows iter.Seq2[posthaste.ImportRow, error]) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED"); err != nil {
		return err
	}
	defer func() {
		end := "COMMIT"
		if err != nil {
			end = "ROLLBACK"
		}
		if _, e := conn.ExecContext(context.WithoutCancel(ctx), end); err == nil {
			err = e
		}
	}()
	insert, err := conn.PrepareContext(ctx, "INSERT INTO staged VALUES (?"+strings.Repeat(", ?", len(stagedColumns)+len(s.olderColumns())-1)+")") //nolint:sqlclosecheck // closed below
	if err != nil {
		return err
	}
	defer insert.Close()
	for row, err := range rows {
		if err != nil {
			return err
		}
		values, err := s.stagedValues(row)
		if err != nil {
			return err
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

// merge runs inside the transaction. Order matters: known recipients are
// changed before new ones are added, so that the two counts stay apart.
func (s *Store) merge(ctx context.Context, tx bun.Tx, order posthaste.Import, report *posthaste.ImportReport) error {
	// One merge at a time: two that add the same recipients would end in a conflict.
	if _, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), importLock); err != nil {
		return err
	}
	now := micros(time.Now())
	var staged int64
	if err := tx.NewRaw("SELECT count(*) FROM staged").Scan(ctx, &staged); err != nil {
		return err
	}
	merged, err := exec(ctx, tx, `DELETE FROM staged WHERE line IN (SELECT s.line FROM staged s
		JOIN (SELECT canonical, max(line) AS line FROM staged GROUP BY canonical HAVING count(*) > 1) AS final
		ON final.canonical = s.canonical WHERE s.line < final.line)`)
	if err != nil {
		return err
	}
	if err := addAttributeNames(ctx, tx, order.Attributes); err != nil {
		return err
	}
	updated, err := exec(ctx, tx, s.pick(updateKnownPostgres, updateKnownSQLite), now)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, "UPDATE recipients SET stranger = 0 WHERE stranger = 1 AND canonical IN (SELECT canonical FROM staged)"); err != nil {
		return err
	}
	added, err := exec(ctx, tx, `INSERT INTO recipients (email, canonical, address_hash, key_id, name, locale, time_zone, attributes, created_at, updated_at)
		SELECT email, canonical, address_hash, ?, name, locale, time_zone, attributes`+s.pick("::jsonb", "")+`, ?, ?
		FROM staged s WHERE NOT EXISTS (SELECT 1 FROM recipients r WHERE r.canonical = s.canonical) ORDER BY line
		ON CONFLICT (canonical) DO NOTHING`, s.keys.AddressKey(), now, now)
	if err != nil {
		return err
	}
	if err := s.carryStaged(ctx, tx); err != nil {
		return err
	}
	silent, err := s.consentStaged(ctx, tx, order, now)
	if err != nil {
		return err
	}
	if err := s.analyze(ctx, tx, "recipients, consent_states"); err != nil {
		return err
	}
	report.Rows, report.Merged, report.Updated, report.Added = staged, merged, updated, added
	report.Unchanged, report.Suppressed = staged-merged-updated-added, silent
	return s.appendAudit(ctx, tx, did(ctx, "recipients.import", object("topic", order.TopicID), "source", order.Evidence.Source,
		"rows", strconv.FormatInt(staged, 10), "added", strconv.FormatInt(added, 10), "updated", strconv.FormatInt(updated, 10)))
}

// A cell that is empty in the file leaves what is known.
const updateKnownPostgres = `UPDATE recipients r SET
		name = coalesce(nullif(s.name, ''), r.name), locale = coalesce(nullif(s.locale, ''), r.locale),
		time_zone = coalesce(nullif(s.time_zone, ''), r.time_zone), attributes = r.attributes || s.attributes::jsonb, updated_at = ?
	FROM staged s WHERE r.canonical = s.canonical AND (
		(s.name <> '' AND s.name <> r.name) OR (s.locale <> '' AND s.locale <> r.locale) OR
		(s.time_zone <> '' AND s.time_zone <> r.time_zone) OR r.attributes || s.attributes::jsonb <> r.attributes)`

const updateKnownSQLite = `UPDATE recipients AS r SET
		name = coalesce(nullif(s.name, ''), r.name), locale = coalesce(nullif(s.locale, ''), r.locale),
		time_zone = coalesce(nullif(s.time_zone, ''), r.time_zone), attributes = json_patch(r.attributes, s.attributes), updated_at = ?
	FROM staged s WHERE r.canonical = s.canonical AND (
		(s.name <> '' AND s.name <> r.name) OR (s.locale <> '' AND s.locale <> r.locale) OR
		(s.time_zone <> '' AND s.time_zone <> r.time_zone) OR json_patch(r.attributes, s.attributes) <> json_patch(r.attributes, '{}'))`

// consentStaged records consent for those who never decided about the topic and
// whose address is silent for no reason of their own. It returns how many of
// the staged recipients stay without the topic's mail.
func (s *Store) consentStaged(ctx context.Context, tx bun.Tx, order posthaste.Import, now int64) (silent int64, err error) {
	err = tx.NewRaw(`SELECT count(*) FROM staged s JOIN recipients r ON r.canonical = s.canonical WHERE
		EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id IN (0, ?0)) OR
		EXISTS (SELECT 1 FROM consent_states c WHERE c.recipient_id = r.id AND c.purpose = 'topic' AND c.topic_id = ?0 AND c.decision = 'withdrawn')`,
		order.TopicID).Scan(ctx, &silent)
	if err != nil {
		return 0, err
	}
	evidence, err := putEvidence(ctx, tx, order.Evidence)
	if err != nil {
		return 0, err
	}
	if _, err := exec(ctx, tx, "DROP TABLE IF EXISTS agreeing"); err != nil {
		return 0, err
	}
	if _, err := exec(ctx, tx, `CREATE TEMP TABLE agreeing AS SELECT r.id FROM staged s JOIN recipients r ON r.canonical = s.canonical
		WHERE NOT EXISTS (SELECT 1 FROM consent_states c WHERE c.recipient_id = r.id AND c.purpose = 'topic' AND c.topic_id = ?0)
		AND NOT EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id IN (0, ?0) AND x.reason IN (?1))`,
		order.TopicID, bun.List([]posthaste.Reason{posthaste.OptedOut, posthaste.Complaint})); err != nil {
		return 0, err
	}
	if err := s.agree(ctx, tx, order, evidence, now); err != nil {
		return 0, err
	}
	_, err = exec(ctx, tx, "DROP TABLE agreeing")
	return silent, err
}

// agree appends the consents of those in agreeing, with their current states.
// On PostgreSQL somebody may have decided since agreeing was read: that decision stays.
func (s *Store) agree(ctx context.Context, tx bun.Tx, order posthaste.Import, evidence, now int64) error {
	states := tx.NewRaw(`INSERT INTO consent_states (recipient_id, purpose, topic_id, decision)
		SELECT id, ?, ?, ? FROM agreeing ORDER BY id`, posthaste.ForTopic, order.TopicID, posthaste.Given)
	ledger := func(from string) *bun.RawQuery {
		return tx.NewRaw(`INSERT INTO consents (recipient_id, purpose, topic_id, decision, channel, evidence_id, actor, network, at)
			SELECT id, ?, ?, ?, ?, ?, ?, '', ? FROM `+from+` ORDER BY id`,
			posthaste.ForTopic, order.TopicID, posthaste.Given, posthaste.ByImport, evidence, order.Actor, now)
	}
	if !s.Single() {
		_, err := exec(ctx, tx, "WITH fresh AS (? ON CONFLICT DO NOTHING RETURNING recipient_id AS id) ?", states, ledger("fresh"))
		return err
	}
	if _, err := states.Exec(ctx); err != nil {
		return err
	}
	_, err := ledger("agreeing").Exec(ctx)
	return err
}

// putEvidence stores the words once and gives their id.
func putEvidence(ctx context.Context, tx bun.IDB, e posthaste.Evidence) (int64, error) {
	text := e.Source + "\x00" + e.Wording
	if e.Language+e.Policy != "" {
		text += "\x00" + e.Language + "\x00" + e.Policy
	}
	sum := sha256.Sum256([]byte(text))
	var id int64
	// The empty update makes RETURNING answer for a row that exists.
	err := tx.NewRaw(`INSERT INTO evidence (source, wording, language, policy, hash) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING id`, e.Source, e.Wording, e.Language, e.Policy, sum[:]).Scan(ctx, &id)
	return id, err
}

func exec(ctx context.Context, db bun.IDB, query string, args ...any) (int64, error) {
	result, err := db.NewRaw(query, args...).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return affected(result), nil
}
