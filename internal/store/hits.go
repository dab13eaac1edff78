package store

import (
	"context"

	"github.com/uptrace/bun"

	"posthaste"
)

// RecordHits writes the hits of those who consent to that kind of counting at
// this moment, in one transaction; the others are dropped. A hit whose ID is
// known already is not written twice.
func (s *Store) RecordHits(ctx context.Context, hits []posthaste.Hit) error {
	if len(hits) == 0 {
		return nil
	}
	rows := make([]bun.TupleValues, len(hits))
	for i, h := range hits {
		rows[i] = bun.Tuple([]any{h.ID, string(h.Kind), h.CampaignID, h.Number, h.RecipientID, h.Link, h.Network.String(), micros(h.At), string(h.Kind.Consent())})
	}
	return s.inTx(ctx, "record hits", func(ctx context.Context, tx bun.Tx) error {
		_, err := exec(ctx, tx, `WITH h (id, kind, campaign_id, number, recipient_id, link, network, at, purpose) AS (VALUES ?)
		INSERT INTO hits (id, kind, campaign_id, number, recipient_id, link, network, at)
		SELECT h.id, h.kind, h.campaign_id, h.number, h.recipient_id, h.link, h.network, h.at FROM h
		JOIN consent_states c ON c.recipient_id = h.recipient_id AND c.purpose = h.purpose AND c.topic_id = 0 AND c.decision = 'given'
		ON CONFLICT (id) DO NOTHING`, bun.List(rows))
		return err
	})
}

// CountHits gives what consent allows to be known of a campaign.
func (s *Store) CountHits(ctx context.Context, campaignID int64) (posthaste.Hits, error) {
	var h posthaste.Hits
	err := s.db.NewRaw(`SELECT
		(SELECT count(*) FROM deliveries d WHERE d.campaign_id = ?0 AND d.state = 'accepted' AND EXISTS (SELECT 1 FROM consent_states c
			WHERE c.recipient_id = d.recipient_id AND c.purpose IN ('opens', 'clicks') AND c.topic_id = 0 AND c.decision = 'given')) AS measurable,
		(SELECT count(DISTINCT number) FROM hits WHERE campaign_id = ?0 AND kind = 'open')
			+ coalesce((SELECT people FROM hit_totals WHERE campaign_id = ?0 AND kind = 'open' AND link = 0), 0) AS opened,
		(SELECT count(DISTINCT number) FROM hits WHERE campaign_id = ?0 AND kind = 'click')
			+ coalesce((SELECT people FROM hit_totals WHERE campaign_id = ?0 AND kind = 'click' AND link = 0), 0) AS clicked`, campaignID).Scan(ctx, &h)
	return h, translate("count hits", err)
}
