package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// chunksAimedAt is how many chunks a small audience is cut into, so that all
// connections share it; smallestChunk keeps queue messages worth their cost.
const (
	chunksAimedAt = 64
	smallestChunk = 25
)

// ListDueCampaigns gives the ids of the scheduled campaigns whose instant has come.
func (s *Store) ListDueCampaigns(ctx context.Context, now time.Time) ([]int64, error) {
	var ids []int64
	err := s.db.NewRaw("SELECT id FROM campaigns WHERE state = ? AND send_at <= ? ORDER BY send_at, id",
		posthaste.Scheduled, micros(now)).Scan(ctx, &ids)
	return ids, translate("list due campaigns", err)
}

// Freeze fixes the audience of a scheduled campaign: one delivery for each
// recipient whose ledger says Given for its topic, numbered from 1, those
// already suppressed as such, and the chunks that queue them. It is one
// transaction: a crash leaves the campaign scheduled. Conflict when it is not scheduled.
func (s *Store) Freeze(ctx context.Context, campaignID int64) (posthaste.Campaign, error) {
	return s.become(ctx, campaignID, "freeze", posthaste.Sending, func(ctx context.Context, tx bun.Tx, c posthaste.Campaign) error {
		if c.State != posthaste.Scheduled {
			return conflict("the campaign is %s, not scheduled", c.State)
		}
		now := micros(time.Now())
		if c.IsAnnouncement() {
			return s.freezeAnnouncement(ctx, tx, c, now)
		}
		// consent_states_given is the index of this scan.
		audience, err := exec(ctx, tx, `INSERT INTO deliveries
			(campaign_id, number, recipient_id, state, attempts, retry_at, stage, code, enhanced, reply, changed_at)
			SELECT ?0, row_number() OVER (ORDER BY c.recipient_id), c.recipient_id,
				CASE WHEN EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id IN (0, ?1))
					THEN 'suppressed' ELSE 'queued' END, 0, 0, '', 0, '', '', ?2
			FROM consent_states c JOIN recipients r ON r.id = c.recipient_id
			WHERE c.purpose = 'topic' AND c.decision = 'given' AND c.topic_id = ?1`, campaignID, c.TopicID, now)
		if err != nil {
			return err
		}
		size := min(max(audience/chunksAimedAt, smallestChunk), posthaste.ChunkSize)
		return s.frozen(ctx, tx, campaignID, audience, size, now)
	})
}

// frozen cuts the deliveries of a campaign into chunks and notes how many they are.
func (s *Store) frozen(ctx context.Context, tx bun.Tx, campaignID, audience, size, now int64) error {
	if err := addChunks(ctx, tx, campaignID, audience, size); err != nil {
		return err
	}
	if err := s.analyze(ctx, tx, "deliveries, chunks"); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "UPDATE campaigns SET audience = ?0, frozen_at = ?1, sending_since = ?1 WHERE id = ?2", audience, now, campaignID)
	return err
}

// analyze renews PostgreSQL's statistics of tables that have just grown by a
// lot. Autovacuum would do so a minute later, and until then plan a claim of 32
// rows as a scan of all of them. It reads a sample, however large the table.
func (s *Store) analyze(ctx context.Context, tx bun.Tx, tables string) error {
	if s.Single() {
		return nil
	}
	_, err := exec(ctx, tx, "ANALYZE "+tables)
	return err
}

func addChunks(ctx context.Context, tx bun.Tx, campaignID, audience, size int64) error {
	// Each chunk's first number is a delivery's own, so no generator is needed.
	_, err := exec(ctx, tx, `INSERT INTO chunks (campaign_id, first, last, owner, window_first, window_last, retry_at, published_at, done)
		SELECT campaign_id, number, CASE WHEN number + ?1 - 1 < ?2 THEN number + ?1 - 1 ELSE ?2 END, '', 0, 0, 0, 0, 0
		FROM deliveries WHERE campaign_id = ?0 AND (number - 1) % ?1 = 0`, campaignID, size, audience)
	return err
}
