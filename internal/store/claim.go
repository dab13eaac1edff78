package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// TakeChunk makes worker the owner of a chunk of a campaign that is sending. It
// reports false when somebody owns it, when nothing of it is left, or when the
// campaign is not sending: the queue message is then of no further use, since
// the scheduler queues again what is still to be done.
func (s *Store) TakeChunk(ctx context.Context, c posthaste.Chunk, worker string) (bool, error) {
	n, err := exec(ctx, s.db, `UPDATE chunks SET owner = ? WHERE campaign_id = ? AND first = ? AND owner = '' AND done = 0
		AND EXISTS (SELECT 1 FROM campaigns WHERE id = ? AND state = ?)`,
		worker, c.CampaignID, c.First, c.CampaignID, posthaste.Sending)
	return n > 0, translate("take chunk", err)
}

// claimWindow moves the window on; Release sets it back to the start. On PostgreSQL the share lock on the campaign
// makes a claim wait for a pause or cancel that is being committed, and fail after it.
const claimWindow = `UPDATE chunks SET window_first = w.low, window_last = w.high
	FROM (SELECT min(number) AS low, max(number) AS high FROM (SELECT number FROM deliveries
		WHERE campaign_id = ?0 AND number BETWEEN ?1 AND ?2 AND state = 'queued'
			AND number > (SELECT window_last FROM chunks WHERE campaign_id = ?0 AND first = ?1) ORDER BY number LIMIT ?3) AS q) AS w,
		(SELECT id FROM campaigns WHERE id = ?0 AND state = 'sending' `

// Claim records outcomes as Record does and opens the worker's next window of
// at most size deliveries of its chunk, in one transaction. It gives those that
// may be sent, with what each needs, and those that may not (Allowed is false:
// no consent, or suppressed). Nothing is left, or the campaign stopped, when it
// is empty. The window is committed before consent is read: see ListSending.
//
// Whatever of the window has no outcome when the worker is lost becomes
// uncertain, so size bounds how many can.
func (s *Store) Claim(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome, size int) ([]posthaste.Mail, error) {
	var window struct{ WindowFirst, WindowLast int64 }
	err := s.inTx(ctx, "claim window", func(ctx context.Context, tx bun.Tx) error {
		if err := recordOutcomes(ctx, tx, c, worker, outcomes); err != nil {
			return err
		}
		err := tx.NewRaw(claimWindow+s.pick("FOR SHARE", "")+`) AS sending
			WHERE chunks.campaign_id = ?0 AND chunks.first = ?1 AND chunks.owner = ?4 AND w.low IS NOT NULL
			RETURNING window_first, window_last`, c.CampaignID, c.First, c.Last, size, worker).Scan(ctx, &window)
		if errors.Is(err, sql.ErrNoRows) { // what is recorded stays recorded
			return nil
		}
		return err
	})
	if err != nil || window.WindowLast == 0 {
		return nil, err
	}
	return s.readWindow(ctx, c.CampaignID, window.WindowFirst, window.WindowLast)
}

type mailRow struct {
	Number, Attempts int64
	recipientRow
	Allowed, Opens, Clicks bool
}

// readWindow reads deliveries, recipients, consents and suppressions in one
// statement, so that they are of one moment.
func (s *Store) readWindow(ctx context.Context, campaignID, first, last int64) ([]posthaste.Mail, error) {
	var rows []mailRow
	err := s.db.NewRaw(`SELECT d.number, d.attempts, d.recipient_id AS id, coalesce(r.email, '') AS email, coalesce(r.name, '') AS name,
			coalesce(r.locale, '') AS locale, coalesce(r.time_zone, '') AS time_zone, r.attributes,
			r.id IS NOT NULL AND t.decision IS NOT NULL AND NOT EXISTS (SELECT 1 FROM suppressions x
				WHERE x.address_hash = r.address_hash AND x.topic_id IN (0, k.topic_id)) AS allowed,
			o.decision IS NOT NULL AS opens, l.decision IS NOT NULL AS clicks
		FROM deliveries d JOIN campaigns k ON k.id = d.campaign_id
		LEFT JOIN recipients r ON r.id = d.recipient_id
		LEFT JOIN consent_states t ON t.recipient_id = d.recipient_id AND t.purpose = 'topic' AND t.topic_id = k.topic_id AND t.decision = 'given'
		LEFT JOIN consent_states o ON o.recipient_id = d.recipient_id AND o.purpose = 'opens' AND o.topic_id = 0 AND o.decision = 'given'
		LEFT JOIN consent_states l ON l.recipient_id = d.recipient_id AND l.purpose = 'clicks' AND l.topic_id = 0 AND l.decision = 'given'
		WHERE d.campaign_id = ? AND d.number BETWEEN ? AND ? AND d.state = 'queued' ORDER BY d.number`, campaignID, first, last).Scan(ctx, &rows)
	if err != nil {
		return nil, translate("read window", err)
	}
	mails := make([]posthaste.Mail, len(rows))
	for i, r := range rows {
		mails[i] = posthaste.Mail{Number: r.Number, Attempts: int(r.Attempts), Allowed: r.Allowed, Opens: r.Opens, Clicks: r.Clicks,
			Recipient: posthaste.Recipient{ID: r.ID, Email: r.Email, Name: r.Name, Locale: r.Locale, TimeZone: r.TimeZone}}
		if len(r.Attributes) > 2 {
			if err := json.Unmarshal(r.Attributes, &mails[i].Recipient.Attributes); err != nil {
				return nil, translate("read attributes", err)
			}
		}
	}
	return mails, nil
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
	mail := posthaste.Mail{Recipient: recipient, Opens: preferences.Opens, Clicks: preferences.Clicks}
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
	_, err := exec(ctx, s.db, `INSERT INTO workers (id, seen_at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`,
		worker, s.now())
	return translate("beat", err)
}

// Leave forgets a worker that stops in order, after it released its chunks.
func (s *Store) Leave(ctx context.Context, worker string) error {
	_, err := exec(ctx, s.db, "DELETE FROM workers WHERE id = ?", worker)
	return translate("leave", err)
}

// now is the database's clock as an SQL expression in microseconds; an SQLite
// file has one process, whose clock serves.
func (s *Store) now() any {
	if s.Single() {
		return micros(time.Now())
	}
	return bun.Safe("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
}
