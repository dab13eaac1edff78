package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"posthaste"
)

// FindReport gives what became of a campaign, as far as it is known now; NotFound
// when there is none. Its parts are read one after the other: while it is being
// sent the hits may be a moment newer than the ledger.
func (s *Store) FindReport(ctx context.Context, campaignID int64) (posthaste.Report, error) {
	k, err := s.FindCampaign(ctx, campaignID)
	if err != nil {
		return posthaste.Report{}, err
	}
	r := posthaste.Report{CampaignID: k.ID, Name: k.Name, State: k.State, SentAt: k.FrozenAt,
		Opens: posthaste.Measure{Mode: k.Tracking.Opens}, Clicks: posthaste.Measure{Mode: k.Tracking.Clicks}}
	ledger, err := s.readLedger(ctx, campaignID)
	if err != nil {
		return r, err
	}
	r.Counts = countsOf(ledger)
	for _, row := range ledger {
		if row.State == posthaste.Accepted {
			r.Opens.Borne += row.N * (row.Measured & 1)
			r.Clicks.Borne += row.N * (row.Measured >> 1)
		}
		r.OptedOut += row.N * row.OptedOut
	}
	links, err := s.ListLinks(ctx, campaignID)
	if err != nil {
		return r, err
	}
	for i, url := range links {
		r.Links = append(r.Links, posthaste.LinkFigure{Number: i + 1, URL: url})
	}
	if err := s.readCounts(ctx, &r); err != nil {
		return r, err
	}
	return r.Told(), nil
}

// readCounts reads what the hits add up to.
func (s *Store) readCounts(ctx context.Context, r *posthaste.Report) error {
	var rows []struct {
		Kind         posthaste.HitKind
		Facet        facet
		Value, Who   string
		Hits, People int64
	}
	// The primary key is the index of this scan.
	if err := s.db.NewRaw("SELECT kind, facet, value, who, hits, people FROM hit_counts WHERE campaign_id = ? AND facet <> ?", r.CampaignID, byRules).Scan(ctx, &rows); err != nil {
		return translate("read counts", err)
	}
	r.Opens.Classes, r.Clicks.Classes = map[posthaste.HitClass]posthaste.Figure{}, map[posthaste.HitClass]posthaste.Figure{}
	hours, regions := map[int64]*posthaste.TimeFigure{}, map[string]*posthaste.RegionFigure{}
	for _, row := range rows {
		f := posthaste.Figure{Hits: row.Hits, Mails: row.People}
		m := &r.Opens
		if row.Kind == posthaste.Click {
			m = &r.Clicks
		}
		machine := row.Who == byMachines
		switch row.Facet {
		case byAll:
			if machine {
				m.Machines = f
			} else {
				m.People = f
			}
		case byClass:
			m.Classes[posthaste.HitClass(row.Value)] = f
		case byHour:
			from, _ := strconv.ParseInt(row.Value, 10, 64) // which it was written from
			addHour(in(hours, from), row.Kind, machine, f)
		case byLink:
			if n, _ := strconv.Atoi(row.Value); n >= 1 && n <= len(r.Links) {
				addLink(&r.Links[n-1], machine, f)
			}
		case byRegion:
			addRegion(in(regions, row.Value), row.Kind, f)
		}
	}
	for from, h := range hours {
		h.From = time.Unix(from, 0).UTC()
		r.Times = append(r.Times, *h)
	}
	slices.SortFunc(r.Times, func(a, b posthaste.TimeFigure) int { return a.From.Compare(b.From) })
	delete(regions, "") // not known
	for name, f := range regions {
		f.Region = name
		r.Regions = append(r.Regions, *f)
	}
	slices.SortFunc(r.Regions, func(a, b posthaste.RegionFigure) int {
		return cmp.Or(cmp.Compare(b.Opens.Mails+b.Clicks.Mails, a.Opens.Mails+a.Clicks.Mails), cmp.Compare(b.Opens.Hits+b.Clicks.Hits, a.Opens.Hits+a.Clicks.Hits), cmp.Compare(a.Region, b.Region))
	})
	return nil
}

// in gives the entry of a map, a new one if there is none.
func in[K comparable, V any](m map[K]*V, key K) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

func addHour(h *posthaste.TimeFigure, kind posthaste.HitKind, machine bool, f posthaste.Figure) {
	switch {
	case machine:
		h.MachineFetches += f.Hits
	case kind == posthaste.Open:
		h.Opens = f
	default:
		h.Clicks = f
	}
}

func addLink(l *posthaste.LinkFigure, machine bool, f posthaste.Figure) {
	if machine {
		l.MachineFetches = f.Hits
		return
	}
	l.People = f
}

func addRegion(r *posthaste.RegionFigure, kind posthaste.HitKind, f posthaste.Figure) {
	if kind == posthaste.Open {
		r.Opens = f
		return
	}
	r.Clicks = f
}

// CountHits gives what consent allows to be known of a campaign, in brief.
func (s *Store) CountHits(ctx context.Context, campaignID int64) (posthaste.Hits, error) {
	var h posthaste.Hits
	err := s.db.NewRaw(`SELECT
		(SELECT count(*) FROM deliveries WHERE campaign_id = ?0 AND state = 'accepted' AND measured > 0) AS measurable,
		coalesce((SELECT people FROM hit_counts WHERE campaign_id = ?0 AND kind = 'open' AND facet = 'all' AND value = '' AND who = 'people'), 0) AS opened,
		coalesce((SELECT people FROM hit_counts WHERE campaign_id = ?0 AND kind = 'click' AND facet = 'all' AND value = '' AND who = 'people'), 0) AS clicked`, campaignID).Scan(ctx, &h)
	return h, translate("count hits", err)
}

// ListDomains gives what became of a campaign's mails by the domain of their
// recipients, most mails first. It reads the whole ledger of the campaign: a second
// for each half million mails, about. Hits older than posthaste.HitsKept, and
// recipients that are erased, are of no domain any more.
func (s *Store) ListDomains(ctx context.Context, campaignID int64) ([]posthaste.DomainFigure, error) {
	var rows []posthaste.DomainFigure
	domain := s.pick("substring(r.canonical from '[^@]*$')", "substr(r.canonical, instr(r.canonical, '@') + 1)")
	// The primary key of hits is the index of the inner scans.
	err := s.db.NewRaw(`SELECT domain, count(*) AS mails, sum(accepted) AS accepted, sum(bounced) AS bounced, sum(accepted * (measured & 1)) AS may_open, sum(accepted * (measured >> 1)) AS may_click,
		sum(opened) AS opened, sum(clicked) AS clicked
		FROM (SELECT coalesce(`+domain+`, '') AS domain, d.measured, CASE WHEN d.state = 'accepted' THEN 1 ELSE 0 END AS accepted, CASE WHEN d.state = 'bounced' THEN 1 ELSE 0 END AS bounced,
			CASE WHEN d.measured > 0 AND EXISTS (SELECT 1 FROM hits h WHERE h.campaign_id = ?0 AND h.number = d.number AND h.kind = 'open' AND h.class IN ('human', 'proxy')) THEN 1 ELSE 0 END AS opened,
			CASE WHEN d.measured > 0 AND EXISTS (SELECT 1 FROM hits h WHERE h.campaign_id = ?0 AND h.number = d.number AND h.kind = 'click' AND h.class IN ('human', 'proxy')) THEN 1 ELSE 0 END AS clicked
			FROM deliveries d LEFT JOIN recipients r ON r.id = d.recipient_id WHERE d.campaign_id = ?0) AS d
		GROUP BY domain ORDER BY mails DESC, domain`, campaignID).Scan(ctx, &rows)
	return posthaste.ToldDomains(rows), translate("list domains", err)
}

// ListTopicReports gives the reports of a topic's campaigns that were sent, newest
// first, without their parts: those older than the id before, at most limit; 0
// starts with the newest. Each costs a scan of its ledger.
func (s *Store) ListTopicReports(ctx context.Context, topicID, before int64, limit int) ([]posthaste.Report, error) {
	var ids []int64
	if err := s.db.NewRaw("SELECT id FROM campaigns WHERE topic_id = ?0 AND frozen_at > 0 AND (?1 = 0 OR id < ?1) ORDER BY id DESC LIMIT ?2", topicID, before, limit).Scan(ctx, &ids); err != nil {
		return nil, translate("list topic reports", err)
	}
	reports := make([]posthaste.Report, len(ids))
	for i, id := range ids {
		r, err := s.FindReport(ctx, id)
		if err != nil {
			return nil, err
		}
		r.Times, r.Links, r.Regions = nil, nil, nil
		reports[i] = r
	}
	return reports, nil
}
