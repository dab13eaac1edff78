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
func (s *Store) foldHits(ctx context.Context, before time.Time) (int64, error) {
	return s.inSteps(func() (folded int64, err error) {
		err = s.inTx(ctx, "fold hits", func(ctx context.Context, tx bun.Tx) error {
			if err := s.lockHits(ctx, tx); err != nil {
				return err
			}
			var rows []struct {
				CampaignID int64
				Kind       posthaste.HitKind
				Rules      int
			}
			// The primary key is the index of both scans.
			if err := tx.NewRaw(`DELETE FROM hits WHERE (campaign_id, number, id) IN (SELECT campaign_id, number, id FROM hits WHERE campaign_id = (SELECT c.campaign_id FROM hit_counts c
				JOIN campaigns k ON k.id = c.campaign_id WHERE c.facet = ? AND c.hits > 0 AND k.frozen_at < ? ORDER BY c.campaign_id LIMIT 1) ORDER BY number, id LIMIT ?)
				RETURNING campaign_id, kind, rules`, byRules, micros(before), foldBatch).Scan(ctx, &rows); err != nil {
				return err
			}
			counts := hitCounts{}
			for _, r := range rows {
				counts.add(countKey{r.CampaignID, r.Kind, byRules, strconv.Itoa(r.Rules), byMachines}, -1, 0)
			}
			folded = int64(len(rows))
			return counts.write(ctx, tx)
		})
		return folded, err
	})
}
