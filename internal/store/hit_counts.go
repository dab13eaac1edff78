package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// facet is what hits are counted by.
type facet string

const (
	byAll    facet = "all"
	byClass  facet = "class"
	byHour   facet = "hour" // value: Unix seconds of its beginning
	byLink   facet = "link"
	byRegion facet = "region"
	byRules  facet = "rules" // stored hits by the version that they were classed with
)

// Who fetched, as far as the counts tell.
const (
	byPeople   = "people"
	byMachines = "machines"
)

// countKey is one row of hit_counts.
type countKey struct {
	campaign int64
	kind     posthaste.HitKind
	facet    facet
	value    string
	who      string
}

// countOf is what is counted: hits, and mails with at least one of them.
type countOf struct{ hits, mails int64 }

// hitCounts are what hits add up to, or by how much that changes. The counts of
// a campaign are the sum over its mails of what tally gives for each, so that they
// can be kept up by what changed alone, and hold when hits are classed again.
type hitCounts map[countKey]countOf

// tally adds, or takes away, what the hits of one mail count. They must be all
// that there are of it, in the order of their ids.
func (counts hitCounts) tally(hits []posthaste.Hit, sign int64) {
	seen := map[countKey]bool{}
	for _, h := range hits {
		if h.Verdict.Class == "" { // not classed yet
			counts.add(countKey{h.CampaignID, h.Kind, byRules, strconv.Itoa(h.Verdict.Rules), byMachines}, sign, 0)
			continue
		}
		who := byMachines
		if h.Verdict.Class.People() {
			who = byPeople
		}
		// A mail counts once for each value; for the hour and the region, where it was first.
		once := func(f facet, value string, first bool) {
			key := countKey{h.CampaignID, h.Kind, f, value, who}
			mark := key
			if first {
				mark.value = ""
			}
			mails := int64(0)
			if h.Number != 0 && !seen[mark] {
				seen[mark], mails = true, sign
			}
			counts.add(key, sign, mails)
		}
		once(byAll, "", false)
		once(byClass, string(h.Verdict.Class), false)
		once(byHour, strconv.FormatInt(h.At.Truncate(time.Hour).Unix(), 10), true)
		if h.Kind == posthaste.Click {
			once(byLink, strconv.Itoa(h.Link), false)
		}
		if who == byPeople {
			once(byRegion, h.Region, true)
		}
		counts.add(countKey{h.CampaignID, h.Kind, byRules, strconv.Itoa(h.Verdict.Rules), byMachines}, sign, 0)
	}
}

func (counts hitCounts) add(key countKey, hits, mails int64) {
	c := counts[key]
	counts[key] = countOf{c.hits + hits, c.mails + mails}
}

// write adds the counts to those that are stored. Whoever calls it holds lockHits.
func (counts hitCounts) write(ctx context.Context, tx bun.Tx) error {
	maps.DeleteFunc(counts, func(_ countKey, c countOf) bool { return c == countOf{} })
	if len(counts) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.campaign, b.campaign), cmp.Compare(a.kind, b.kind), cmp.Compare(a.facet, b.facet), cmp.Compare(a.value, b.value), cmp.Compare(a.who, b.who))
	})
	rows := make([]bun.TupleValues, len(keys))
	for i, k := range keys {
		rows[i] = bun.Tuple([]any{k.campaign, string(k.kind), string(k.facet), k.value, k.who, counts[k].hits, counts[k].mails})
	}
	_, err := exec(ctx, tx, `INSERT INTO hit_counts (campaign_id, kind, facet, value, who, hits, people) VALUES ?
		ON CONFLICT (campaign_id, kind, facet, value, who) DO UPDATE SET hits = hit_counts.hits + excluded.hits, people = hit_counts.people + excluded.people`, bun.List(rows))
	return err
}
