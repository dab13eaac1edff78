package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// TakeChunk makes worker the owner of a chunk of a campaign that is sending. It
// reports false when somebody owns it, when nothing of it is left, or when the
// campaign is not sending: the queue message is then of no further use, since
// the scheduler queues again what is still to be done.
func (s *Store) TakeChunk(ctx context.Context, c posthaste.Chunk, worker string) (bool, error) {
	var taken int64
	err := s.inTx(ctx, "take chunk", func(ctx context.Context, tx bun.Tx) (err error) {
		taken, err = exec(ctx, tx, `UPDATE chunks SET owner = ? WHERE campaign_id = ? AND first = ? AND owner = '' AND done = 0
			AND EXISTS (SELECT 1 FROM campaigns WHERE id = ? AND state = ?)`,
			worker, c.CampaignID, c.First, c.CampaignID, posthaste.Sending)
		return err
	})
	return taken > 0, err
}

// claimWindow moves the window on; Release sets it back to the start. On PostgreSQL the share lock on the campaign
// makes a claim wait for a pause or cancel that is being committed, and fail after it.
const claimWindow = `UPDATE chunks SET window_first = w.low, window_last = w.high
	FROM (SELECT min(number) AS low, max(number) AS high FROM (SELECT number FROM deliveries
		WHERE campaign_id = ?1 AND number BETWEEN ?2 AND ?3 AND state = 'queued'
			AND number > (SELECT window_last FROM chunks WHERE campaign_id = ?1 AND first = ?2) ORDER BY number LIMIT ?4) AS q) AS w,
		(SELECT id FROM campaigns WHERE id = ?1 AND state = 'sending' FOR SHARE) AS sending
	WHERE chunks.campaign_id = ?1 AND chunks.first = ?2 AND chunks.owner = ?5 AND w.low IS NOT NULL
	RETURNING window_first, window_last`

// Claim records outcomes as Record does and opens the worker's next window of
// at most size deliveries of its chunk, in one transaction. It gives those that
// may be sent, with what each needs, and those that may not (Allowed is false:
// no consent, or suppressed). Nothing is left, or the campaign stopped, when it
// is empty. The window is committed before consent is read: see ListSending. What
// goes in spite of a suppression is audited before it is given.
//
// Whatever of the window has no outcome when the worker is lost becomes
// uncertain, so size bounds how many can.
func (s *Store) Claim(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome, size int) ([]posthaste.Mail, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	var first, last int64
	err := s.inTx(ctx, "claim window", func(ctx context.Context, tx bun.Tx) error {
		if err := s.recordOutcomes(ctx, tx, c, worker, outcomes); err != nil {
			return err
		}
		claim := tx.StmtContext(ctx, s.hot.claim) //nolint:sqlclosecheck // it ends with the transaction
		err := claim.QueryRowContext(ctx, c.CampaignID, c.First, c.Last, size, worker).Scan(&first, &last)
		if errors.Is(err, sql.ErrNoRows) { // what is recorded stays recorded
			return nil
		}
		return err
	})
	if err != nil || last == 0 {
		return nil, err
	}
	mails, despite, err := s.readWindow(ctx, c.CampaignID, first, last)
	if err == nil && len(despite) > 0 {
		err = s.auditDespite(ctx, c.CampaignID, despite)
	}
	if err != nil {
		return nil, err
	}
	return mails, nil
}

// A window is read by the primary keys and by suppressions (address_hash,
// topic_id). PostgreSQL keeps the plan, so it must be good for any window: what
// has a LIMIT or an aggregate cannot be turned into a join that reads a table
// whole. The consents are a sum: 1 for the topic; 2 for opens, 4 for clicks,
// and 8 and 16 when they were withdrawn.
const readWindowColumns = `SELECT d.number, d.attempts, d.recipient_id, coalesce(r.email, ''), coalesce(r.name, ''), coalesce(r.locale, ''),
		coalesce(r.time_zone, ''), r.attributes, r.id IS NOT NULL,
		coalesce((SELECT sum(CASE WHEN purpose = 'opens' THEN 2 WHEN purpose = 'clicks' THEN 4 WHEN topic_id = k.topic_id AND decision = 'given' THEN 1 ELSE 0 END
				* CASE WHEN decision = 'given' OR topic_id > 0 THEN 1 ELSE 4 END)
			FROM consent_states WHERE recipient_id = d.recipient_id), 0),
		coalesce((SELECT 1 FROM suppressions WHERE address_hash = r.address_hash AND topic_id IN (0, k.topic_id)
			AND (k.topic_id > 0 OR reason <> 'erased') LIMIT 1), 0),
		CASE WHEN k.topic_id > 0 THEN 0 WHEN k.notice_kind = 'mandatory' THEN 2 ELSE 1 END
	FROM campaigns k JOIN deliveries d ON d.campaign_id = k.id `

const (
	readWindowPostgres = readWindowColumns + `LEFT JOIN LATERAL (SELECT id, email, name, locale, time_zone, attributes, address_hash FROM recipients
			WHERE id = d.recipient_id LIMIT 1) r ON true ` + inWindow
	readWindowSQLite = readWindowColumns + `LEFT JOIN recipients r ON r.id = d.recipient_id ` + inWindow
	inWindow         = `WHERE k.id = ?1 AND d.campaign_id = ?1 AND d.number BETWEEN ?2 AND ?3 AND d.state = 'queued' ORDER BY d.number`
)

// readWindow reads deliveries, recipients, consents and suppressions in one
// statement, so that they are of one moment. It gives the numbers of the mails, too,
// that are allowed although their address is suppressed.
func (s *Store) readWindow(ctx context.Context, campaignID, first, last int64) (mails []posthaste.Mail, despite []int64, err error) {
	mails, despite, err = scanWindow(s.hot.read.QueryContext(ctx, campaignID, first, last))
	return mails, despite, translate("read window", err)
}

// What a window is of, as the statement tells.
const (
	mailing = iota
	notice
	mandatoryNotice
)

func scanWindow(rows *sql.Rows, err error) (mails []posthaste.Mail, despite []int64, _ error) {
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var attributes sql.RawBytes
	for rows.Next() {
		var m posthaste.Mail
		var known bool
		var consents, suppressed, announced int64
		r := &m.Recipient
		if err := rows.Scan(&m.Number, &m.Attempts, &r.ID, &r.Email, &r.Name, &r.Locale, &r.TimeZone, &attributes, &known, &consents, &suppressed, &announced); err != nil {
			return nil, nil, err
		}
		switch announced {
		case mailing:
			m.Allowed = known && consents&1 != 0 && suppressed == 0
		case notice:
			m.Allowed = known && suppressed == 0
		case mandatoryNotice:
			if m.Allowed = known; known && suppressed != 0 {
				despite = append(despite, m.Number)
			}
		}
		m.Opens, m.Clicks = decided(consents, 2), decided(consents, 4)
		if len(attributes) > 2 {
			if err := json.Unmarshal(attributes, &r.Attributes); err != nil {
				return nil, nil, fmt.Errorf("read attributes: %w", err)
			}
		}
		mails = append(mails, m)
	}
	return mails, despite, rows.Err()
}

// decided is the decision that a sum of consents holds about a kind of counting.
func decided(consents, given int64) posthaste.Decision {
	switch {
	case consents&given != 0:
		return posthaste.Given
	case consents&(4*given) != 0:
		return posthaste.Withdrawn
	}
	return ""
}

// FindMail gives what a mail of a campaign to one recipient needs, outside any
// audience: for previews and test sends. Allowed is as in Claim.
func (s *Store) FindMail(ctx context.Context, topicID, recipientID int64) (posthaste.Mail, error) {
	recipient, err := s.FindRecipient(ctx, recipientID)
	if err != nil {
		return posthaste.Mail{}, err
	}
	preferences, err := s.FindPreferences(ctx, recipientID)
	if err != nil {
		return posthaste.Mail{}, err
	}
	mail := posthaste.Mail{Recipient: recipient} // without a number it has no beacons
	var suppressed int64
	err = s.db.NewRaw(`SELECT count(*) FROM suppressions x JOIN recipients r ON r.address_hash = x.address_hash
		WHERE r.id = ? AND x.topic_id IN (0, ?)`, recipientID, topicID).Scan(ctx, &suppressed)
	for _, id := range preferences.Topics {
		mail.Allowed = mail.Allowed || id == topicID && suppressed == 0
	}
	return mail, translate("find mail", err)
}

// Beat tells that a worker lives. Its instants are the database's own, so that
// the clocks of machines do not matter.
func (s *Store) Beat(ctx context.Context, worker string) error {
	return s.inTx(ctx, "beat", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO workers (id, seen_at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`, worker, s.now())
		return err
	})
}

// Leave forgets a worker that stops in order, after it released its chunks.
func (s *Store) Leave(ctx context.Context, worker string) error {
	return s.inTx(ctx, "leave", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, "DELETE FROM workers WHERE id = ?", worker)
		return err
	})
}

// now is the database's clock as an SQL expression in microseconds; an SQLite
// file has one process, whose clock serves.
func (s *Store) now() any {
	if s.Single() {
		return micros(time.Now())
	}
	return bun.Safe("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
}
