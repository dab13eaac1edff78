package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// Record writes the outcomes of a window's deliveries, all or nothing, and
// suppresses the addresses that bounced. A delivery that became uncertain, since
// its worker was taken for lost, takes a final outcome that is now known, and
// stays uncertain otherwise: nobody waits for its retry any more. One that a
// person decided meanwhile stays as decided. Recording the same again changes
// nothing.
func (s *Store) Record(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.inTx(ctx, "record outcomes", func(ctx context.Context, tx bun.Tx) error {
		return s.recordOutcomes(ctx, tx, c, worker, outcomes)
	})
}

// The statements that write outcomes: all at once, or one after the other on
// SQLite, which has no round trip to spare and plans the join badly.
const (
	recordPostgres = `UPDATE deliveries SET state = o.state, attempts = attempts + o.tried, retry_at = o.retry_at, stage = o.stage, code = o.code,
			enhanced = o.enhanced, reply = CASE WHEN recipient_id > 0 THEN o.reply ELSE '' END, changed_at = o.at, measured = o.measured
		FROM unnest(?4::bigint[], ?5::text[], ?6::bigint[], ?7::bigint[], ?8::text[], ?9::bigint[], ?10::text[], ?11::text[], ?12::bigint[], ?13::bigint[])
			AS o (number, state, tried, retry_at, stage, code, enhanced, reply, at, measured)
		WHERE deliveries.campaign_id = ?1 AND deliveries.number = o.number
		AND (deliveries.state = 'queued' AND EXISTS (SELECT 1 FROM chunks c WHERE c.campaign_id = ?1 AND c.first = ?2 AND c.owner = ?3)
			OR deliveries.state = 'uncertain' AND o.state NOT IN ('deferred', 'uncertain'))`
	recordSQLite = `UPDATE deliveries SET state = ?5, attempts = attempts + ?6, retry_at = ?7, stage = ?8, code = ?9, enhanced = ?10, reply = CASE WHEN recipient_id > 0 THEN ?11 ELSE '' END, changed_at = ?12,
			measured = ?13
		WHERE campaign_id = ?1 AND number = ?4
		AND (state = 'queued' AND EXISTS (SELECT 1 FROM chunks c WHERE c.campaign_id = ?1 AND c.first = ?2 AND c.owner = ?3)
			OR state = 'uncertain' AND ?5 NOT IN ('deferred', 'uncertain'))`
)

func (s *Store) recordOutcomes(ctx context.Context, tx bun.Tx, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	write := s.writeColumns
	if s.Single() {
		write = s.writeRows
	}
	if err := write(ctx, tx, []any{c.CampaignID, c.First, worker}, outcomes); err != nil {
		return err
	}
	var bounced []int64
	for _, o := range outcomes {
		if o.State == posthaste.Bounced {
			bounced = append(bounced, o.RecipientID)
		}
	}
	if len(bounced) == 0 {
		return nil
	}
	var suppressed []int64
	if err := tx.NewRaw(`INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
		SELECT r.address_hash, r.key_id, 0, ?, trim(d.code || ' ' || d.enhanced), '', ? FROM recipients r JOIN deliveries d ON d.recipient_id = r.id AND d.campaign_id = ?
		WHERE r.id IN (?) ON CONFLICT DO NOTHING RETURNING id`, posthaste.HardBounce, micros(time.Now()), c.CampaignID, bun.List(bounced)).Scan(ctx, &suppressed); err != nil {
		return err
	}
	return s.appendAudit(ctx, tx, bouncedEntries(suppressed)...)
}

// bouncedEntries are those of suppressions that the program adds by itself, since
// addresses bounced.
func bouncedEntries(suppressions []int64) []posthaste.AuditEntry {
	entries := make([]posthaste.AuditEntry, len(suppressions))
	for i, id := range suppressions {
		entries[i] = didBy(posthaste.Origin{Actor: posthaste.BySystem}, "suppression.add", object("suppression", id), "reason", string(posthaste.HardBounce))
	}
	return entries
}

// tried is what an outcome adds to the attempts.
func tried(o posthaste.Outcome) int64 {
	if o.State == posthaste.Suppressed {
		return 0
	}
	return 1
}

func (s *Store) writeRows(ctx context.Context, tx bun.Tx, chunk []any, outcomes []posthaste.Outcome) error {
	write := tx.StmtContext(ctx, s.hot.record) //nolint:sqlclosecheck // it ends with the transaction
	for _, o := range outcomes {
		if _, err := write.ExecContext(ctx, append(chunk[:len(chunk):len(chunk)], o.Number, string(o.State), tried(o), micros(o.RetryAt),
			string(o.Reply.Stage), o.Reply.Code, o.Reply.Enhanced, o.Reply.Text, micros(o.At), int64(o.Measured))...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeColumns(ctx context.Context, tx bun.Tx, chunk []any, outcomes []posthaste.Outcome) error {
	var numbers, tries, retries, codes, instants, measured []int64
	var states, stages, enhanced, replies []string
	for _, o := range outcomes {
		numbers, tries, retries = append(numbers, o.Number), append(tries, tried(o)), append(retries, micros(o.RetryAt))
		codes, instants, measured = append(codes, int64(o.Reply.Code)), append(instants, micros(o.At)), append(measured, int64(o.Measured))
		states, stages = append(states, string(o.State)), append(stages, string(o.Reply.Stage))
		enhanced, replies = append(enhanced, o.Reply.Enhanced), append(replies, o.Reply.Text)
	}
	write := tx.StmtContext(ctx, s.hot.record) //nolint:sqlclosecheck // it ends with the transaction
	_, err := write.ExecContext(ctx, append(chunk, numbers, states, tries, retries, stages, codes, enhanced, replies, instants, measured)...)
	return err
}

// Release records outcomes as Record does and gives a chunk back, in one
// transaction: its window closes, what was claimed and has no
// outcome is queued again (cancelled if its campaign was), and the chunk is
// done, waits for its next retry, or is to be queued at once. The worker must
// have handed over nothing whose outcome it did not record.
func (s *Store) Release(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.inTx(ctx, "release chunk", func(ctx context.Context, tx bun.Tx) error {
		if err := s.recordOutcomes(ctx, tx, c, worker, outcomes); err != nil {
			return err
		}
		return closeChunk(ctx, tx, c, worker)
	})
}

func closeChunk(ctx context.Context, tx bun.Tx, c posthaste.Chunk, owner string) error {
	n, err := exec(ctx, tx, `UPDATE chunks SET owner = '', window_first = 0, window_last = 0, published_at = 0
		WHERE campaign_id = ? AND first = ? AND owner = ?`, c.CampaignID, c.First, owner)
	if err != nil || n == 0 {
		return err
	}
	if _, err := exec(ctx, tx, `UPDATE deliveries SET state = ?, changed_at = ? WHERE campaign_id = ? AND number BETWEEN ? AND ?
		AND state IN (?, ?) AND EXISTS (SELECT 1 FROM campaigns WHERE id = ? AND state = ?)`,
		posthaste.Cancelled, micros(time.Now()), c.CampaignID, c.First, c.Last,
		posthaste.Queued, posthaste.Deferred, c.CampaignID, posthaste.CampaignCancelled); err != nil {
		return err
	}
	return settleChunk(ctx, tx, c)
}

// settleChunk derives from a chunk's deliveries whether it is done and when it is to be queued next.
func settleChunk(ctx context.Context, tx bun.Tx, c posthaste.Chunk) error {
	_, err := exec(ctx, tx, `UPDATE chunks SET done = CASE WHEN d.queued + d.deferred = 0 THEN 1 ELSE 0 END,
			retry_at = CASE WHEN d.queued > 0 THEN 0 ELSE coalesce(d.retry_at, 0) END
		FROM (SELECT coalesce(sum(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), 0) AS queued,
				coalesce(sum(CASE WHEN state = 'deferred' THEN 1 ELSE 0 END), 0) AS deferred,
				min(CASE WHEN state = 'deferred' THEN retry_at END) AS retry_at
			FROM deliveries WHERE campaign_id = ?0 AND number BETWEEN ?1 AND ?2) AS d
		WHERE chunks.campaign_id = ?0 AND chunks.first = ?1`, c.CampaignID, c.First, c.Last)
	return err
}

// cancelOpen cancels what no open window covers and settles the chunks that nobody owns.
func cancelOpen(ctx context.Context, tx bun.Tx, campaignID int64) error {
	if _, err := exec(ctx, tx, `UPDATE deliveries SET state = ?, changed_at = ? WHERE campaign_id = ? AND state IN (?, ?)
		AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.campaign_id = deliveries.campaign_id AND c.owner <> ''
			AND deliveries.number BETWEEN c.window_first AND c.window_last)`,
		posthaste.Cancelled, micros(time.Now()), campaignID, posthaste.Queued, posthaste.Deferred); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "UPDATE chunks SET done = 1 WHERE campaign_id = ? AND owner = ''", campaignID)
	return err
}
