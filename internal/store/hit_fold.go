package store

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// foldBatch is how many hits are removed in one transaction.
const foldBatch = 5000

// foldHits removes the single hits of campaigns that were frozen before an instant.
// What they count stays: nothing of theirs is counted as a person's any more, so
// that nobody is counted twice. See posthaste.HitsKept.
func (s *Store) foldHits(ctx context.Context, before time.Time) (folded int64, err error) {
	var campaigns []int64
	// hit_counts_by_rules is the index of this scan.
	if err := s.db.NewRaw("SELECT DISTINCT c.campaign_id FROM hit_counts c JOIN campaigns k ON k.id = c.campaign_id WHERE c.facet = 'rules' AND c.hits > 0 AND k.frozen_at < ?",
		micros(before)).Scan(ctx, &campaigns); err != nil {
		return 0, translate("find hits to fold", err)
	}
	for _, campaign := range campaigns {
		n, err := s.inSteps(func() (int64, error) { return s.foldSome(ctx, campaign) })
		folded += n
		if err != nil {
			return folded, err
		}
	}
	return folded, nil
}

// foldSome removes some hits of a campaign. When there are none, none are said to be there.
func (s *Store) foldSome(ctx context.Context, campaign int64) (folded int64, err error) {
	err = s.inTx(ctx, "fold hits", func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockHits(ctx, tx); err != nil {
			return err
		}
		var rows []struct {
			Kind  posthaste.HitKind
			Rules int
		}
		// The primary key is the index of both scans.
		if err := tx.NewRaw(`DELETE FROM hits WHERE (campaign_id, number, id) IN (SELECT campaign_id, number, id FROM hits WHERE campaign_id = ? ORDER BY number, id LIMIT ?)
			RETURNING kind, rules`, campaign, foldBatch).Scan(ctx, &rows); err != nil {
			return err
		}
		folded = int64(len(rows))
		if folded == 0 {
			_, err := exec(ctx, tx, "UPDATE hit_counts SET hits = 0 WHERE campaign_id = ? AND facet = 'rules'", campaign)
			return err
		}
		counts := hitCounts{}
		for _, r := range rows {
			counts.add(countKey{campaign, r.Kind, byRules, strconv.Itoa(r.Rules), byMachines}, -1, 0)
		}
		return counts.write(ctx, tx)
	})
	return folded, err
}
