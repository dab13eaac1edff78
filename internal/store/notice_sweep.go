package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// lostNotice is after how long a notice that was published and not claimed is
// published again, although messages wait in the queue; lostShort is that of one
// that has less than twice lostNotice to live.
const (
	lostNotice = 2 * time.Minute
	lostShort  = 10 * time.Second
)

// noticeCommit is how long a process may take from the commit of a call to the
// publishing of its notices: what is older is not on its way when the queue is empty.
const noticeCommit = time.Second

// QueueNotices makes due retries queued and gives up to limit notices whose
// messages are to be published now, oldest first, or else UnqueueNotices. With
// the queue empty that is every queued one of more than a second, else those of
// which the message seems lost. Publishing one twice does no harm.
func (s *Store) QueueNotices(ctx context.Context, now time.Time, empty bool, limit int) ([]int64, error) {
	lost, short := lostNotice, lostShort
	if empty {
		lost, short = noticeCommit, noticeCommit
	}
	var ids []int64
	err := s.inTx(ctx, "queue notices", func(ctx context.Context, tx bun.Tx) error {
		// notices_open is the index of this scan.
		if err := tx.NewRaw(`SELECT id FROM notices WHERE state IN ('queued', 'claimed', 'deferred') AND valid_until > ?0
			AND (state = 'queued' AND (published_at < ?1 OR published_at < ?3 AND valid_until < ?4) OR state = 'deferred' AND due_at <= ?0) ORDER BY id LIMIT ?2`+s.pick(" FOR UPDATE SKIP LOCKED", ""),
			micros(now), micros(now.Add(-lost)), limit, micros(now.Add(-short)), micros(now.Add(2*lostNotice))).Scan(ctx, &ids); err != nil || len(ids) == 0 {
			return err
		}
		_, err := exec(ctx, tx, "UPDATE notices SET state = ?, published_at = ? WHERE id IN (?)", posthaste.NoticeQueued, micros(now), bun.List(ids))
		return err
	})
	return ids, err
}

// UnqueueNotices takes back that messages were published, so that QueueNotices gives them at once.
func (s *Store) UnqueueNotices(ctx context.Context, ids []int64) error {
	return s.inTx(ctx, "unqueue notices", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, "UPDATE notices SET published_at = 0 WHERE id IN (?) AND state = ?", bun.List(ids), posthaste.NoticeQueued)
		return err
	})
}

// ExpireNotices ends up to limit of those whose time ran out before the next hop
// took them, and gives how many. One that a worker has in hand is its worker's to end.
func (s *Store) ExpireNotices(ctx context.Context, now time.Time, limit int) (expired int64, err error) {
	err = s.inTx(ctx, "expire notices", func(ctx context.Context, tx bun.Tx) error {
		var ids []int64
		// notices_open is the index of this scan.
		if err := tx.NewRaw(`SELECT id FROM notices WHERE state IN ('queued', 'claimed', 'deferred') AND state <> 'claimed' AND valid_until <= ?
			ORDER BY id LIMIT ?`+s.pick(" FOR UPDATE SKIP LOCKED", ""), micros(now), limit).Scan(ctx, &ids); err != nil || len(ids) == 0 {
			return err
		}
		var rows []noticeRow
		if err := tx.NewRaw(`UPDATE notices SET state = ?, data = '{}', changed_at = ? WHERE id IN (?)
			RETURNING id, call_id, external_id, metadata, state, attempts, stage, code, enhanced, reply,
			(SELECT key FROM notice_types t WHERE t.id = notices.type_id) AS type`, posthaste.NoticeExpired, micros(now), bun.List(ids)).Scan(ctx, &rows); err != nil {
			return err
		}
		expired = int64(len(rows))
		told, err := toldEvents(ctx, tx)
		if err != nil || !told[posthaste.NoticeHasExpired] {
			return err
		}
		for _, r := range rows {
			if err := tellNotice(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return expired, err
}

// ReleaseLostNotices queues again what workers had in hand that were not seen
// for longer than silence (0: of every worker), and gives how many. Such a
// notice may have been handed over: it goes again with the same Message-ID. On
// SQLite, where the workers are in this very process, silence tells nothing.
func (s *Store) ReleaseLostNotices(ctx context.Context, silence time.Duration) (released int64, err error) {
	if s.Single() && silence > 0 {
		return 0, nil
	}
	err = s.inTx(ctx, "release lost notices", func(ctx context.Context, tx bun.Tx) error {
		now := time.Now()
		var rows []struct {
			ID       int64
			Attempts int
		}
		if err := tx.NewRaw(`SELECT n.id, n.attempts FROM notices n WHERE n.state IN ('queued', 'claimed', 'deferred') AND n.state = 'claimed'
			AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = n.owner AND w.seen_at > ? - ?)`+s.pick(" FOR UPDATE OF n SKIP LOCKED", ""),
			s.now(), silence.Microseconds()).Scan(ctx, &rows); err != nil || len(rows) == 0 {
			return err
		}
		ids, attempts := make([]int64, len(rows)), make([]bun.TupleValues, len(rows))
		for i, r := range rows {
			ids[i] = r.ID
			attempts[i] = bun.Tuple([]any{r.ID, r.Attempts + 1, string(posthaste.NoticeQueued), "", 0, "", "the worker was lost while it may have been sending this", micros(now)})
		}
		if _, err := exec(ctx, tx, "INSERT INTO notice_attempts (notice_id, number, state, stage, code, enhanced, reply, at) VALUES ?", bun.List(attempts)); err != nil {
			return err
		}
		released, err = exec(ctx, tx, "UPDATE notices SET state = ?, attempts = attempts + 1, owner = '', published_at = 0, changed_at = ? WHERE id IN (?)",
			posthaste.NoticeQueued, micros(now), bun.List(ids))
		return err
	})
	return released, err
}

// ForgetNotices looks at up to limit calls after an id, oldest first, and removes
// the data and files of those of which every notice is final: nothing needs them
// any more. It gives after which id to go on; 0 from the start.
func (s *Store) ForgetNotices(ctx context.Context, after int64, limit int) (next int64, err error) {
	err = s.inTx(ctx, "forget notices", func(ctx context.Context, tx bun.Tx) error {
		var rows []struct {
			ID   int64
			Open bool
		}
		// notice_calls_held is the index of the inner scan, notices_by_call of the other.
		if err := tx.NewRaw(`SELECT c.id, EXISTS (SELECT 1 FROM notices n WHERE n.call_id = c.id AND n.state IN ('queued', 'claimed', 'deferred')) AS open
			FROM (SELECT id FROM notice_calls WHERE forgotten = 0 AND id > ? ORDER BY id LIMIT ?) c ORDER BY c.id`, after, limit).Scan(ctx, &rows); err != nil {
			return err
		}
		var ids []int64
		for _, r := range rows {
			if !r.Open {
				ids = append(ids, r.ID)
			}
		}
		if next = 0; len(rows) == limit {
			next = rows[len(rows)-1].ID
		}
		if len(ids) == 0 {
			return nil
		}
		if _, err := exec(ctx, tx, "DELETE FROM notice_files WHERE call_id IN (?)", bun.List(ids)); err != nil {
			return err
		}
		_, err := exec(ctx, tx, "UPDATE notice_calls SET data = '{}', forgotten = 1 WHERE id IN (?)", bun.List(ids))
		return err
	})
	return next, err
}
