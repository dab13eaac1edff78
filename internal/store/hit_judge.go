package store

import (
	"cmp"
	"context"
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
	var keys []mailKey // of mails that get new ones
	for _, h := range fresh {
		key := mailKey{h.CampaignID, h.Number}
		if h.Number == 0 {
			h = j.judged(h)
			j.added = append(j.added, h)
			j.counts.tally([]posthaste.Hit{kept(h)}, 1)
			continue
		}
		if len(stored[key])+len(news[key]) >= hitsPerMail {
			continue
		}
		if len(news[key]) == 0 {
			keys = append(keys, key)
		}
		news[key] = append(news[key], h)
	}
	for _, key := range keys {
		j.mail(stored[key], news[key])
	}
}

// mail judges the hits of one mail: the new ones, and those of the same burst.
func (j *judging) mail(stored []storedHit, fresh []posthaste.Hit) {
	bursts := burstsOf(stored, fresh)
	before := make([]posthaste.Hit, len(stored))
	after := make([]posthaste.Hit, 0, len(stored)+len(fresh))
	for i, h := range stored {
		before[i] = h.Hit
		now := h.Hit
		now.Burst = more(h.Burst, bursts[h.ID])
		if now.Burst != h.Burst || h.Verdict.Rules != j.judge.Version() {
			now = j.judged(now)
		}
		if now != h.Hit {
			j.changed = append(j.changed, now)
		}
		after = append(after, now)
	}
	for _, h := range fresh {
		h.Burst = bursts[h.ID]
		h = j.judged(h)
		j.added = append(j.added, h)
		after = append(after, kept(h))
	}
	slices.SortFunc(after, func(a, b posthaste.Hit) int { return cmp.Compare(a.ID, b.ID) })
	j.counts.tally(before, -1)
	j.counts.tally(after, 1)
}

// burstsOf gives by their ids what the clicks of one mail are a part of, of those
// whose moment is known.
func burstsOf(stored []storedHit, fresh []posthaste.Hit) map[int64]posthaste.Burst {
	var clicks []posthaste.Hit
	for _, h := range stored {
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
	slices.SortFunc(clicks, func(a, b posthaste.Hit) int { return a.At.Compare(b.At) })
	bursts := make(map[int64]posthaste.Burst, len(clicks))
	for i, burst := range posthaste.Bursts(clicks) {
		bursts[clicks[i].ID] = burst
	}
	return bursts
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

// JudgeAgain classes stored hits whose rules are not those of judge, some of one
// campaign at a time, until none is left or ctx ends, and gives how many changed.
// Those of campaigns that are past posthaste.HitsKept are left to the fold.
func (s *Store) JudgeAgain(ctx context.Context, judge posthaste.Judge) (judged int64, err error) {
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	var campaigns []int64
	// hit_counts_by_rules is the index of this scan.
	if err := s.db.NewRaw(`SELECT DISTINCT c.campaign_id FROM hit_counts c JOIN campaigns k ON k.id = c.campaign_id
		WHERE c.facet = 'rules' AND c.hits > 0 AND c.value <> ? AND k.frozen_at > ? ORDER BY c.campaign_id`,
		strconv.Itoa(judge.Version()), micros(time.Now().Add(-posthaste.HitsKept))).Scan(ctx, &campaigns); err != nil {
		return 0, translate("find hits to judge", err)
	}
	for _, campaign := range campaigns {
		at := place{campaign: campaign}
		for !at.end {
			n, err := s.judgeSome(ctx, judge, &at)
			judged += n
			if err != nil {
				return judged, err
			}
		}
	}
	return judged, nil
}

// judgeBatch is about how many hits are judged again in one transaction.
const judgeBatch = 1000

// place is how far the hits of a campaign are judged: behind this hit of this mail.
type place struct {
	campaign, number, id int64
	end                  bool
}

// judgeSome judges the next hits of a campaign again, of whole mails.
func (s *Store) judgeSome(ctx context.Context, judge posthaste.Judge, at *place) (judged int64, err error) {
	next := *at
	err = s.inTx(ctx, "judge hits again", func(ctx context.Context, tx bun.Tx) error {
		next = *at
		if err := s.lockHits(ctx, tx); err != nil {
			return err
		}
		stored, err := s.outdated(ctx, tx, judge.Version(), &next)
		if err != nil || len(stored) == 0 {
			return err
		}
		campaigns, err := findBeaconed(ctx, tx, []posthaste.Hit{stored[0].Hit})
		if err != nil {
			return err
		}
		change := judging{judge: judge, campaigns: campaigns, counts: hitCounts{}}
		for len(stored) > 0 {
			n := 1 // each of nobody is a mail of its own
			for stored[0].Number != 0 && n < len(stored) && stored[n].Number == stored[0].Number {
				n++
			}
			change.mail(stored[:n], nil)
			stored = stored[n:]
		}
		judged = int64(len(change.changed))
		return s.writeHits(ctx, tx, change)
	})
	if err == nil {
		*at = next
	}
	return judged, err
}

// outdated gives the hits behind a place that are of nobody and were judged by other
// rules, then those of the mails that have some; and moves the place on.
func (s *Store) outdated(ctx context.Context, tx bun.Tx, version int, at *place) ([]storedHit, error) {
	// The primary key is the index of these scans.
	if at.number == 0 {
		stored, err := scanHits(tx.QueryContext(ctx, "SELECT "+hitColumns+" FROM hits h WHERE campaign_id = ? AND number = 0 AND id > ? AND rules <> ? ORDER BY id LIMIT ?",
			at.campaign, at.id, version, judgeBatch))
		if err != nil || len(stored) > 0 {
			if len(stored) > 0 {
				at.id = stored[len(stored)-1].ID
			}
			return stored, err
		}
	}
	var numbers []int64
	if err := tx.NewRaw("SELECT DISTINCT number FROM hits WHERE campaign_id = ? AND number > ? AND rules <> ? ORDER BY number LIMIT ?",
		at.campaign, at.number, version, judgeBatch/3).Scan(ctx, &numbers); err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		at.end = true
		return nil, nil
	}
	at.number = numbers[len(numbers)-1]
	mails := tx.StmtContext(ctx, s.hot.hits.mails) //nolint:sqlclosecheck // it ends with the transaction
	stored, err := scanHits(mails.QueryContext(ctx, s.ids(numbers), at.campaign))
	slices.SortStableFunc(stored, func(a, b storedHit) int { return cmp.Compare(a.Number, b.Number) })
	return stored, err
}
