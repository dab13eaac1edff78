package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

const (
	// hitsPerMail bounds what one mail's beacons can fill the table with; past it
	// nothing more of it is counted.
	hitsPerMail = 200
	// momentKept is how long it is known to the second when a click was.
	momentKept = time.Minute
	// hitsLock is the key of the lock that PostgreSQL has for whoever changes counts.
	hitsLock = 0x706f7374_68697473
)

// mailKey is one mail of a campaign.
type mailKey struct{ campaign, number int64 }

// beaconed is what is known of a campaign whose beacons tell.
type beaconed struct {
	links int
	ended bool // it was sent so long ago that hits are of nobody any more
}

// RecordHits writes the hits of those who consent to that kind of counting at
// this moment, and the counts that they change, in one transaction; the others are
// dropped. A hit whose ID is known already is not written twice. A hit of nobody,
// whose campaign counts totals, needs no consent; one of a campaign that was sent
// more than posthaste.HitsKept ago becomes one.
func (s *Store) RecordHits(ctx context.Context, hits []posthaste.Hit, judge posthaste.Judge) error {
	if len(hits) == 0 {
		return nil
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.inTx(ctx, "record hits", func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockHits(ctx, tx); err != nil {
			return err
		}
		if err := forgetMoments(ctx, tx, hits); err != nil {
			return err
		}
		campaigns, err := findBeaconed(ctx, tx, hits)
		if err != nil {
			return err
		}
		fresh, err := s.countable(ctx, tx, hits, campaigns)
		if err != nil || len(fresh) == 0 {
			return err
		}
		stored, err := s.storedWith(ctx, tx, fresh)
		if err != nil {
			return err
		}
		if fresh, err = s.unknown(ctx, tx, fresh, stored); err != nil {
			return err
		}
		change := judging{judge: judge, campaigns: campaigns, counts: hitCounts{}}
		change.record(stored, fresh)
		return s.writeHits(ctx, tx, change)
	})
}

// lockHits has one transaction at a time change hits and counts: each rests on
// what others stored of the same mails. SQLite has one writer anyway.
func (s *Store) lockHits(ctx context.Context, tx bun.Tx) error {
	_, err := exec(ctx, tx, s.pick("SELECT pg_advisory_xact_lock(?)", "SELECT ?"), int64(hitsLock))
	return err
}

// forgetMoments forgets moments that are too old to be of one burst with any of the
// hits. That is not told by the clock: hits may have waited.
func forgetMoments(ctx context.Context, tx bun.Tx, hits []posthaste.Hit) error {
	oldest := slices.MinFunc(hits, func(a, b posthaste.Hit) int { return a.At.Compare(b.At) }).At
	_, err := exec(ctx, tx, "DELETE FROM hit_moments WHERE at < ?", micros(oldest.Add(-momentKept)))
	return err
}

// findBeaconed gives what there is to know of the campaigns of hits, as far as
// they have begun to send.
func findBeaconed(ctx context.Context, tx bun.Tx, hits []posthaste.Hit) (map[int64]beaconed, error) {
	var ids []int64
	for _, h := range hits {
		if !slices.Contains(ids, h.CampaignID) {
			ids = append(ids, h.CampaignID)
		}
	}
	var rows []struct {
		ID, FrozenAt int64
		Links        int
	}
	if err := tx.NewRaw("SELECT k.id, k.frozen_at, (SELECT count(*) FROM links l WHERE l.campaign_id = k.id) AS links FROM campaigns k WHERE k.id IN (?) AND k.frozen_at > 0",
		bun.List(ids)).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	ended := micros(time.Now().Add(-posthaste.HitsKept))
	campaigns := make(map[int64]beaconed, len(rows))
	for _, r := range rows {
		campaigns[r.ID] = beaconed{links: r.Links, ended: r.FrozenAt < ended}
	}
	return campaigns, nil
}

// countable leaves what may be kept. What may not name anybody does not.
func (s *Store) countable(ctx context.Context, tx bun.Tx, hits []posthaste.Hit, campaigns map[int64]beaconed) (fresh []posthaste.Hit, err error) {
	var recipients []int64
	for _, h := range hits {
		recipients = append(recipients, h.RecipientID)
	}
	consents := tx.StmtContext(ctx, s.hot.hits.given) //nolint:sqlclosecheck // it ends with the transaction
	given, err := scanGiven(consents.QueryContext(ctx, s.ids(recipients)))
	if err != nil {
		return nil, err
	}
	for _, h := range hits {
		k, found := campaigns[h.CampaignID]
		if !found {
			continue
		}
		if h.Number != 0 && !given[consentKey{RecipientID: h.RecipientID, Purpose: h.Kind.Consent()}] {
			continue
		}
		if h.Number == 0 || k.ended {
			h.Number, h.RecipientID, h.Network = 0, 0, posthaste.Network{}
		}
		fresh = append(fresh, h)
	}
	return fresh, nil
}

// unknown leaves what is not stored yet, each once.
func (s *Store) unknown(ctx context.Context, tx bun.Tx, hits []posthaste.Hit, stored map[mailKey][]storedHit) (news []posthaste.Hit, err error) {
	type hitKey struct {
		mailKey
		id int64
	}
	known := map[hitKey]bool{}
	for key, of := range stored {
		for _, h := range of {
			known[hitKey{key, h.ID}] = true
		}
	}
	ofNobody := map[int64][]int64{}
	for _, h := range hits {
		if h.Number == 0 {
			ofNobody[h.CampaignID] = append(ofNobody[h.CampaignID], h.ID)
		}
	}
	for campaign, ids := range ofNobody {
		there := tx.StmtContext(ctx, s.hot.hits.known) //nolint:sqlclosecheck // it ends with the transaction
		found, err := scanIDs(there.QueryContext(ctx, s.ids(ids), campaign))
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			known[hitKey{mailKey{campaign, 0}, id}] = true
		}
	}
	for _, h := range hits {
		key := hitKey{mailKey{h.CampaignID, h.Number}, h.ID}
		if !known[key] {
			news = append(news, h)
		}
		known[key] = true
	}
	return news, nil
}

// PostgreSQL keeps their plans, so they must be good for a table of any size: what
// has a LIMIT cannot be turned into a join that reads one whole. No mail has as
// many hits as the last one's limit.
const (
	hitRow        = `id, campaign_id, number, recipient_id, kind, link, network, region, agent, place, burst2, burst10, class, rule, rules, at`
	hitColumns    = hitRow + `, coalesce((SELECT m.at FROM hit_moments m WHERE m.id = h.id), 0)`
	knownPostgres = `SELECT h.id FROM unnest(?1::bigint[]) AS i (value) JOIN LATERAL (SELECT id FROM hits WHERE campaign_id = ?2 AND number = 0 AND id = i.value LIMIT 1) h ON true`
	knownSQLite   = `SELECT id FROM hits WHERE campaign_id = ?2 AND number = 0 AND id IN (SELECT value FROM json_each(?1))`
	givenPostgres = `SELECT c.recipient_id, c.purpose FROM unnest(?1::bigint[]) AS i (value) JOIN LATERAL (SELECT recipient_id, purpose FROM consent_states
		WHERE recipient_id = i.value AND purpose IN ('opens', 'clicks') AND topic_id = 0 AND decision = 'given' LIMIT 2) c ON true`
	givenSQLite = `SELECT recipient_id, purpose FROM consent_states WHERE recipient_id IN (SELECT value FROM json_each(?1)) AND purpose IN ('opens', 'clicks')
		AND topic_id = 0 AND decision = 'given'`
	mailsPostgres = `SELECT ` + hitColumns + ` FROM unnest(?1::bigint[]) AS i (value)
		JOIN LATERAL (SELECT ` + hitRow + ` FROM hits WHERE campaign_id = ?2 AND number = i.value LIMIT 1000) h ON true`
	mailsSQLite = `SELECT ` + hitColumns + ` FROM hits h WHERE h.campaign_id = ?2 AND h.number IN (SELECT value FROM json_each(?1))`
)

func scanIDs(rows *sql.Rows, err error) (ids []int64, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func scanGiven(rows *sql.Rows, err error) (map[consentKey]bool, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	given := map[consentKey]bool{}
	for rows.Next() {
		var key consentKey
		if err := rows.Scan(&key.RecipientID, &key.Purpose); err != nil {
			return nil, err
		}
		given[key] = true
	}
	return given, rows.Err()
}

// storedHit is a hit with the moment at which it was, as long as that is known.
type storedHit struct {
	posthaste.Hit
	moment time.Time
}

// storedWith gives what is stored of the mails that hits are of.
func (s *Store) storedWith(ctx context.Context, tx bun.Tx, hits []posthaste.Hit) (map[mailKey][]storedHit, error) {
	numbers := map[int64][]int64{}
	seen := map[mailKey]bool{}
	for _, h := range hits {
		if key := (mailKey{h.CampaignID, h.Number}); h.Number != 0 && !seen[key] {
			seen[key] = true
			numbers[h.CampaignID] = append(numbers[h.CampaignID], h.Number)
		}
	}
	stored := make(map[mailKey][]storedHit, len(seen))
	for campaign, of := range numbers {
		slices.Sort(of)                                // neighbours are on one page
		mails := tx.StmtContext(ctx, s.hot.hits.mails) //nolint:sqlclosecheck // it ends with the transaction
		found, err := scanHits(mails.QueryContext(ctx, s.ids(of), campaign))
		if err != nil {
			return nil, err
		}
		for _, h := range found {
			key := mailKey{h.CampaignID, h.Number}
			stored[key] = append(stored[key], h)
		}
	}
	return stored, nil
}

// scanHits gives hits in the order of their ids.
func scanHits(rows *sql.Rows, err error) (hits []storedHit, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h storedHit
		var network string
		var at, moment int64
		if err := rows.Scan(&h.ID, &h.CampaignID, &h.Number, &h.RecipientID, &h.Kind, &h.Link, &network, &h.Region, &h.Agent, &h.Place, &h.Burst.In2s, &h.Burst.In10s,
			&h.Verdict.Class, &h.Verdict.Rule, &h.Verdict.Rules, &at, &moment); err != nil {
			return nil, err
		}
		h.Network, h.At, h.moment = posthaste.ParseNetwork(network), instant(at), instant(moment)
		hits = append(hits, h)
	}
	slices.SortFunc(hits, func(a, b storedHit) int { return cmp.Compare(a.ID, b.ID) })
	return hits, rows.Err()
}

// ForgetMoments forgets when clicks were that were before an instant, but for the
// minute. RecordHits does so as hits come; this is for when none come.
func (s *Store) ForgetMoments(ctx context.Context, before time.Time) error {
	return s.inTx(ctx, "forget moments", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, "DELETE FROM hit_moments WHERE at < ?", micros(before))
		return err
	})
}
