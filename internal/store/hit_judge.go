package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// judging is what becomes of the hits of some mails: which are new, which change
// since something new is known, and by how much the counts do.
type judging struct {
	judge     posthaste.Judge
	campaigns map[int64]beaconed
	counts    hitCounts
	added     []posthaste.Hit // with the moment as At
	changed   []posthaste.Hit
}

// record adds fresh hits to what is stored of their mails.
func (j *judging) record(stored map[mailKey][]storedHit, fresh []posthaste.Hit) {
	news := map[mailKey][]posthaste.Hit{}
	var keys []mailKey
	for _, h := range fresh {
		key := mailKey{h.CampaignID, h.Number}
		if h.Number == 0 {
			h = j.judged(h)
			j.added = append(j.added, h)
			j.counts.tally([]posthaste.Hit{kept(h)}, 1)
			continue
		}
		if len(news[key]) == 0 {
			keys = append(keys, key)
		}
		if len(stored[key])+len(news[key]) < hitsPerMail {
			news[key] = append(news[key], h)
		}
	}
	for _, key := range keys {
		j.mail(stored[key], news[key])
	}
}

// mail judges the hits of one mail: the new ones, and those of the same burst.
func (j *judging) mail(stored []storedHit, fresh []posthaste.Hit) {
	before := make([]posthaste.Hit, len(stored))
	after := make([]posthaste.Hit, 0, len(stored)+len(fresh))
	var clicks []posthaste.Hit // whose moment is known
	for i, h := range stored {
		before[i] = h.Hit
		if h.Kind == posthaste.Click && !h.moment.IsZero() {
			h.At = h.moment
			clicks = append(clicks, h.Hit)
		}
	}
	for _, h := range fresh {
		if h.Kind == posthaste.Click {
			clicks = append(clicks, h)
		}
	}
	for _, h := range stored {
		now := h.Hit
		if h.Kind == posthaste.Click && !h.moment.IsZero() {
			now.Burst = more(h.Burst, posthaste.BurstOf(h.moment, clicks))
		}
		if now.Burst != h.Burst || h.Verdict.Rules != j.judge.Version() {
			now = j.judged(now)
		}
		if now != h.Hit {
			j.changed = append(j.changed, now)
		}
		after = append(after, now)
	}
	for _, h := range fresh {
		if h.Kind == posthaste.Click {
			h.Burst = posthaste.BurstOf(h.At, clicks)
		}
		h = j.judged(h)
		j.added = append(j.added, h)
		after = append(after, kept(h))
	}
	slices.SortFunc(after, func(a, b posthaste.Hit) int { return cmp.Compare(a.ID, b.ID) })
	j.counts.tally(before, -1)
	j.counts.tally(after, 1)
}

// judged classes a hit. Where it was is known of people alone, and not of those
// whose provider fetches for them.
func (j *judging) judged(h posthaste.Hit) posthaste.Hit {
	h.Verdict = j.judge.Judge(h, j.campaigns[h.CampaignID].links)
	if h.Verdict.Class != posthaste.ByHuman {
		h.Region = ""
	}
	return h
}

// kept is a hit as it is stored.
func kept(h posthaste.Hit) posthaste.Hit {
	h.At = h.At.Truncate(time.Minute)
	return h
}

// more is the larger of what is known of one click: what others told before may be forgotten.
func more(a, b posthaste.Burst) posthaste.Burst {
	return posthaste.Burst{In2s: max(a.In2s, b.In2s), In10s: max(a.In10s, b.In10s)}
}

// JudgeAgain classes stored hits whose rules are not those of judge, about a
// thousand of one campaign at a time, until none is left or ctx ends, and gives
// how many hits it looked at.
func (s *Store) JudgeAgain(ctx context.Context, judge posthaste.Judge) (int64, error) {
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	return s.inSteps(func() (judged int64, err error) {
		err = s.inTx(ctx, "judge hits again", func(ctx context.Context, tx bun.Tx) error {
			if err := s.lockHits(ctx, tx); err != nil {
				return err
			}
			stored, err := s.outdated(ctx, tx, judge.Version())
			if err != nil || len(stored) == 0 {
				return err
			}
			var hits []posthaste.Hit
			mails := map[mailKey][]storedHit{}
			for _, h := range stored {
				hits = append(hits, h.Hit)
				mails[mailKey{h.CampaignID, h.Number}] = append(mails[mailKey{h.CampaignID, h.Number}], h)
			}
			campaigns, err := findBeaconed(ctx, tx, hits)
			if err != nil {
				return err
			}
			change := judging{judge: judge, campaigns: campaigns, counts: hitCounts{}}
			for key, of := range mails {
				if key.number != 0 {
					change.mail(of, nil)
					continue
				}
				for i := range of { // each is of somebody else, or not
					change.mail(of[i:i+1], nil)
				}
			}
			judged = int64(len(change.changed))
			return s.writeHits(ctx, tx, change)
		})
		return judged, err
	})
}

// judgeBatch is how many mails are judged again in one transaction.
const judgeBatch = 500

// outdated gives the hits of some mails of one campaign that were judged by other rules.
func (s *Store) outdated(ctx context.Context, tx bun.Tx, version int) ([]storedHit, error) {
	var campaign int64
	err := tx.NewRaw("SELECT campaign_id FROM hit_counts WHERE facet = ? AND value <> ? AND hits > 0 ORDER BY campaign_id LIMIT 1",
		byRules, strconv.Itoa(version)).Scan(ctx, &campaign)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbers []int64
	// The primary key is the index of these scans.
	if err := tx.NewRaw("SELECT DISTINCT number FROM hits WHERE campaign_id = ? AND number > 0 AND rules <> ? ORDER BY number LIMIT ?", campaign, version, judgeBatch).Scan(ctx, &numbers); err != nil {
		return nil, err
	}
	if len(numbers) > 0 {
		return scanHits(tx.StmtContext(ctx, s.hot.hits.mails).QueryContext(ctx, s.ids(numbers), campaign))
	}
	return scanHits(tx.QueryContext(ctx, "SELECT "+hitColumns+" FROM hits h WHERE h.campaign_id = ? AND h.number = 0 AND h.rules <> ? LIMIT ?", campaign, version, judgeBatch))
}
