package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// The statements that add hits: all at once, or one after the other on SQLite,
// which has no round trip to spare.
const (
	addHitColumns  = `INSERT INTO hits (id, campaign_id, number, recipient_id, kind, link, network, region, agent, place, burst2, burst10, class, rule, rules, at) `
	addHitPostgres = addHitColumns + `SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::text[], ?6::bigint[], ?7::text[], ?8::text[],
		?9::text[], ?10::text[], ?11::bigint[], ?12::bigint[], ?13::text[], ?14::text[], ?15::bigint[], ?16::bigint[])`
	addHitSQLite       = addHitColumns + `VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)`
	addMomentsPostgres = `INSERT INTO hit_moments (id, at) SELECT id, at FROM unnest(?1::bigint[], ?2::bigint[]) AS m (id, at) ON CONFLICT DO NOTHING`
	addMomentsSQLite   = `INSERT INTO hit_moments (id, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING`
)

// writeHits writes what a judging changes.
func (s *Store) writeHits(ctx context.Context, tx bun.Tx, j judging) error {
	write := s.writeHitColumns
	if s.Single() {
		write = s.writeHitRows
	}
	slices.SortFunc(j.added, func(a, b posthaste.Hit) int { // neighbours are on one page
		return cmp.Or(cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.Number, b.Number), cmp.Compare(a.ID, b.ID))
	})
	if len(j.added) > 0 {
		if err := write(ctx, tx, j.added); err != nil {
			return err
		}
	}
	if len(j.changed) > 0 {
		rows := make([]bun.TupleValues, len(j.changed))
		for i, h := range j.changed {
			rows[i] = bun.Tuple([]any{h.CampaignID, h.Number, h.ID, h.Region, h.Burst.In2s, h.Burst.In10s, string(h.Verdict.Class), h.Verdict.Rule, h.Verdict.Rules})
		}
		if _, err := exec(ctx, tx, `WITH v (campaign_id, number, id, region, burst2, burst10, class, rule, rules) AS (VALUES ?)
			UPDATE hits SET region = v.region, burst2 = v.burst2, burst10 = v.burst10, class = v.class, rule = v.rule, rules = v.rules FROM v
			WHERE hits.campaign_id = v.campaign_id AND hits.number = v.number AND hits.id = v.id`, bun.List(rows)); err != nil {
			return err
		}
	}
	return j.counts.write(ctx, tx)
}

// momentOf is when a click was that may be part of a burst; the zero time of another hit.
func momentOf(h posthaste.Hit) time.Time {
	if h.Kind == posthaste.Click && h.Number != 0 {
		return h.At
	}
	return time.Time{}
}

func (s *Store) writeHitRows(ctx context.Context, tx bun.Tx, hits []posthaste.Hit) error {
	add := tx.StmtContext(ctx, s.hot.hits.add)        //nolint:sqlclosecheck // it ends with the transaction
	moment := tx.StmtContext(ctx, s.hot.hits.moments) //nolint:sqlclosecheck // as well
	for _, h := range hits {
		if _, err := add.ExecContext(ctx, h.ID, h.CampaignID, h.Number, h.RecipientID, string(h.Kind), h.Link, h.Network.String(), h.Region, h.Agent, h.Place,
			h.Burst.In2s, h.Burst.In10s, string(h.Verdict.Class), h.Verdict.Rule, h.Verdict.Rules, micros(kept(h).At)); err != nil {
			return err
		}
		if at := momentOf(h); !at.IsZero() {
			if _, err := moment.ExecContext(ctx, h.ID, micros(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) writeHitColumns(ctx context.Context, tx bun.Tx, hits []posthaste.Hit) error {
	var ids, campaigns, numbers, recipients, links, burst2, burst10, rules, instants, clicks, moments []int64
	var kinds, networks, regions, agents, places, classes, names []string
	for _, h := range hits {
		ids, campaigns, numbers, recipients = append(ids, h.ID), append(campaigns, h.CampaignID), append(numbers, h.Number), append(recipients, h.RecipientID)
		kinds, links, networks, regions = append(kinds, string(h.Kind)), append(links, int64(h.Link)), append(networks, h.Network.String()), append(regions, h.Region)
		agents, places = append(agents, h.Agent), append(places, h.Place)
		burst2, burst10 = append(burst2, int64(h.Burst.In2s)), append(burst10, int64(h.Burst.In10s))
		classes, names, rules = append(classes, string(h.Verdict.Class)), append(names, h.Verdict.Rule), append(rules, int64(h.Verdict.Rules))
		instants = append(instants, micros(kept(h).At))
		if at := momentOf(h); !at.IsZero() {
			clicks, moments = append(clicks, h.ID), append(moments, micros(at))
		}
	}
	add := tx.StmtContext(ctx, s.hot.hits.add) //nolint:sqlclosecheck // it ends with the transaction
	if _, err := add.ExecContext(ctx, ids, campaigns, numbers, recipients, kinds, links, networks, regions, agents, places,
		burst2, burst10, classes, names, rules, instants); err != nil {
		return err
	}
	if len(clicks) == 0 {
		return nil
	}
	moment := tx.StmtContext(ctx, s.hot.hits.moments) //nolint:sqlclosecheck // it ends with the transaction
	_, err := moment.ExecContext(ctx, clicks, moments)
	return err
}
