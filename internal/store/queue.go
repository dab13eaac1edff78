package store

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// lostMessage is after how long a chunk that was queued and not taken is queued
// again: a broker that lost its disk must not stop a campaign.
const lostMessage = 2 * time.Minute

// QueueReady makes due retries queued and gives up to limit chunks that are
// sending, owned by nobody and not in the queue, marked as published: their
// messages are to be published now, or else Unqueue. A chunk that is published
// twice does no harm; one that a crash left unpublished comes again after lostMessage.
func (s *Store) QueueReady(ctx context.Context, now time.Time, limit int) ([]posthaste.Chunk, error) {
	var rows []readyChunk
	err := s.inTx(ctx, "queue chunks", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw(readyChunks+" AND k.pace = 0 ORDER BY c.campaign_id, c.first LIMIT ?",
			posthaste.Sending, micros(now), micros(now.Add(-lostMessage)), limit).Scan(ctx, &rows); err != nil {
			return err
		}
		paced, err := s.pacedChunks(ctx, tx, now)
		if err != nil {
			return err
		}
		rows = append(rows, paced...)
		for _, r := range rows {
			if _, err := exec(ctx, tx, "UPDATE chunks SET published_at = ? WHERE campaign_id = ? AND first = ?",
				micros(now), r.CampaignID, r.First); err != nil {
				return err
			}
			if r.RetryAt == 0 {
				continue
			}
			if _, err := exec(ctx, tx, `UPDATE deliveries SET state = ?, changed_at = ? WHERE campaign_id = ? AND number BETWEEN ? AND ?
				AND state = ? AND retry_at <= ?`, posthaste.Queued, micros(now), r.CampaignID, r.First, r.Last, posthaste.Deferred, micros(now)); err != nil {
				return err
			}
		}
		return nil
	})
	chunks := make([]posthaste.Chunk, len(rows))
	for i, r := range rows {
		chunks[i] = posthaste.Chunk{CampaignID: r.CampaignID, First: r.First, Last: r.Last}
	}
	return chunks, err
}

type readyChunk struct{ CampaignID, First, Last, RetryAt int64 }

// chunks_open is the index of this scan.
const readyChunks = `SELECT c.campaign_id, c.first, c.last, c.retry_at FROM chunks c JOIN campaigns k ON k.id = c.campaign_id
	WHERE c.done = 0 AND k.state = ? AND c.owner = '' AND c.retry_at <= ? AND c.published_at < ?`

// paceGrace is how far a paced announcement may be ahead after it had to wait:
// the time between two looks. A longer wait, a pause or a time without a
// scheduler, is not made up for.
const paceGrace = time.Second

// pacedChunks gives of each paced announcement the chunks whose time has come.
func (s *Store) pacedChunks(ctx context.Context, tx bun.Tx, now time.Time) (ready []readyChunk, err error) {
	var paced []struct{ ID, Pace, NextAt int64 }
	if err := tx.NewRaw("SELECT id, pace, next_at FROM campaigns WHERE state = ? AND pace > 0 AND next_at <= ?"+s.pick(" FOR UPDATE", ""),
		posthaste.Sending, micros(now)).Scan(ctx, &paced); err != nil {
		return nil, err
	}
	for _, k := range paced {
		var rows []readyChunk
		if err := tx.NewRaw(readyChunks+" AND k.id = ? ORDER BY c.first LIMIT ?",
			posthaste.Sending, micros(now), micros(now.Add(-lostMessage)), k.ID, pacedMost).Scan(ctx, &rows); err != nil {
			return nil, err
		}
		next := max(k.NextAt, micros(now.Add(-paceGrace)))
		for _, r := range rows {
			if next > micros(now) {
				break
			}
			ready = append(ready, r)
			next += (r.Last - r.First + 1) * time.Hour.Microseconds() / k.Pace
		}
		if _, err := exec(ctx, tx, "UPDATE campaigns SET next_at = ? WHERE id = ?", next, k.ID); err != nil {
			return nil, err
		}
	}
	return ready, nil
}

// pacedMost is the most chunks of one announcement at one look.
const pacedMost = 100

// tellSent queues the events of campaigns that have been sent.
func tellSent(ctx context.Context, tx bun.Tx, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	told, err := toldEvents(ctx, tx)
	if err != nil || !told[posthaste.CampaignWasSent] && !told[posthaste.AnnouncementWasSent] {
		return err
	}
	var rows []campaignRow
	if err := tx.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE id IN (?)", bun.List(ids)).Scan(ctx, &rows); err != nil {
		return err
	}
	for _, c := range campaigns(rows) {
		event := posthaste.CampaignWasSent
		if c.IsAnnouncement() {
			event = posthaste.AnnouncementWasSent
		}
		var counted []struct {
			State posthaste.DeliveryState
			Count int64
		}
		if err := tx.NewRaw("SELECT state, count(*) AS count FROM deliveries WHERE campaign_id = ? GROUP BY state", c.ID).Scan(ctx, &counted); err != nil {
			return err
		}
		counts := posthaste.Counts{Audience: c.Audience}
		for _, r := range counted {
			*counts.Column(r.State) = r.Count
		}
		if err := tell(ctx, tx, event, map[string]any{c.Word(): c.ID, "name": c.Name, "counts": counts}); err != nil {
			return err
		}
	}
	return nil
}

// Unqueue takes back that chunks were published, so that they are ready at once.
func (s *Store) Unqueue(ctx context.Context, chunks []posthaste.Chunk) error {
	return s.inTx(ctx, "unqueue chunks", func(ctx context.Context, tx bun.Tx) error {
		for _, c := range chunks {
			if _, err := exec(ctx, tx, "UPDATE chunks SET published_at = 0 WHERE campaign_id = ? AND first = ? AND owner = ''",
				c.CampaignID, c.First); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReleaseLost takes the chunks of workers that were not seen for longer than
// silence (0: of every worker). What their windows covered and has no outcome
// becomes uncertain: it may have been handed over. It returns how many did. On
// SQLite, where the workers are in this very process, silence tells nothing.
func (s *Store) ReleaseLost(ctx context.Context, silence time.Duration) (uncertain int64, err error) {
	if s.Single() && silence > 0 {
		return 0, nil
	}
	err = s.inTx(ctx, "release lost chunks", func(ctx context.Context, tx bun.Tx) error {
		var lost []struct {
			CampaignID, First, Last int64
			Owner                   string
			WindowFirst, WindowLast int64
		}
		if err := tx.NewRaw(`SELECT c.campaign_id, c.first, c.last, c.owner, c.window_first, c.window_last FROM chunks c
			WHERE c.done = 0 AND c.owner <> '' AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = c.owner AND w.seen_at > ? - ?)`+
			s.pick(" FOR UPDATE OF c", ""), s.now(), silence.Microseconds()).Scan(ctx, &lost); err != nil {
			return err
		}
		for _, r := range lost {
			if r.WindowFirst > 0 {
				n, err := exec(ctx, tx, `UPDATE deliveries SET state = ?, attempts = attempts + 1, changed_at = ?, reply = ?
					WHERE campaign_id = ? AND number BETWEEN ? AND ? AND state = ?`, posthaste.Uncertain, micros(time.Now()),
					"the worker was lost while it may have been sending this", r.CampaignID, r.WindowFirst, r.WindowLast, posthaste.Queued)
				if err != nil {
					return err
				}
				uncertain += n
				if err := s.appendAudit(ctx, tx, did(ctx, "campaign.worker_lost", object("campaign", r.CampaignID), "uncertain", strconv.FormatInt(n, 10))); err != nil {
					return err
				}
			}
			if err := closeChunk(ctx, tx, posthaste.Chunk{CampaignID: r.CampaignID, First: r.First, Last: r.Last}, r.Owner); err != nil {
				return err
			}
		}
		_, err := exec(ctx, tx, "DELETE FROM workers WHERE seen_at <= ? - ?", s.now(), silence.Microseconds())
		return err
	})
	return uncertain, err
}

// Settle ends a worker that is surely gone and of which it is known what it had
// done: the outcomes, by chunk, are recorded as by Record, and all else that its
// open windows covered is queued again.
func (s *Store) Settle(ctx context.Context, worker string, outcomes map[posthaste.Chunk][]posthaste.Outcome) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.inTx(ctx, "settle worker", func(ctx context.Context, tx bun.Tx) error {
		var owned []struct{ CampaignID, First, Last int64 }
		if err := tx.NewRaw("SELECT campaign_id, first, last FROM chunks WHERE done = 0 AND owner = ?"+s.pick(" FOR UPDATE", ""),
			worker).Scan(ctx, &owned); err != nil {
			return err
		}
		for c, known := range outcomes {
			if err := s.recordOutcomes(ctx, tx, c, worker, known); err != nil {
				return err
			}
		}
		for _, r := range owned {
			c := posthaste.Chunk{CampaignID: r.CampaignID, First: r.First, Last: r.Last}
			if err := closeChunk(ctx, tx, c, worker); err != nil {
				return err
			}
		}
		_, err := exec(ctx, tx, "DELETE FROM workers WHERE id = ?", worker)
		return err
	})
}

// Finish sets the campaigns of which every chunk is done to sent and gives
// their ids; of cancelled ones it cancels what a worker let go of since.
func (s *Store) Finish(ctx context.Context) ([]int64, error) {
	var ids []int64
	err := s.inTx(ctx, "finish campaigns", func(ctx context.Context, tx bun.Tx) error {
		now := micros(time.Now())
		const nothingOpen = "state = ? AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.campaign_id = campaigns.id AND c.done = 0)"
		// Locked first: a Resolve that reopens one is waited for, and the next
		// statement sees what it did.
		var done []int64
		if err := tx.NewRaw("SELECT id FROM campaigns WHERE "+nothingOpen+s.pick(" FOR UPDATE", ""), posthaste.Sending).Scan(ctx, &done); err != nil {
			return err
		}
		if len(done) > 0 {
			if err := tx.NewRaw("UPDATE campaigns SET state = ?, version = version + 1, updated_at = ?, ended_at = ? WHERE id IN (?) AND "+nothingOpen+" RETURNING id",
				posthaste.Sent, now, now, bun.List(done), posthaste.Sending).Scan(ctx, &ids); err != nil {
				return err
			}
			if err := tellSent(ctx, tx, ids); err != nil {
				return err
			}
			entries := make([]posthaste.AuditEntry, len(ids))
			for i, id := range ids {
				entries[i] = did(ctx, "campaign.finish", object("campaign", id))
			}
			if err := s.appendAudit(ctx, tx, entries...); err != nil {
				return err
			}
		}
		var cancelled []int64
		if err := tx.NewRaw(`SELECT DISTINCT c.campaign_id FROM chunks c JOIN campaigns k ON k.id = c.campaign_id
			WHERE c.done = 0 AND c.owner = '' AND k.state = ?`, posthaste.CampaignCancelled).Scan(ctx, &cancelled); err != nil {
			return err
		}
		for _, id := range cancelled {
			if err := cancelOpen(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}
