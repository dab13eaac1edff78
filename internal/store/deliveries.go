package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type deliveryRow struct {
	CampaignID, Number, RecipientID int64
	Email                           string
	State                           posthaste.DeliveryState
	Attempts, RetryAt               int64
	Stage                           posthaste.Stage
	Code                            int64
	Enhanced, Reply                 string
	ChangedAt                       int64
}

func (r deliveryRow) delivery() posthaste.Delivery {
	return posthaste.Delivery{CampaignID: r.CampaignID, Number: r.Number, RecipientID: r.RecipientID, Email: r.Email, State: r.State,
		Attempts: int(r.Attempts), RetryAt: instant(r.RetryAt), ChangedAt: instant(r.ChangedAt),
		Reply: posthaste.Reply{Stage: r.Stage, Code: int(r.Code), Enhanced: r.Enhanced, Text: r.Reply}}
}

const deliveryColumns = "campaign_id, number, recipient_id, email, state, attempts, retry_at, stage, code, enhanced, reply, changed_at"

// deliveriesOf derives the state as people see it: a queued delivery in an open window is claimed.
const deliveriesOf = `SELECT d.campaign_id, d.number, d.recipient_id, coalesce(r.email, '') AS email,
		CASE WHEN d.state = 'queued' AND EXISTS (SELECT 1 FROM chunks c WHERE c.campaign_id = d.campaign_id AND c.done = 0
			AND d.number BETWEEN c.window_first AND c.window_last) THEN 'claimed' ELSE d.state END AS state,
		d.attempts, d.retry_at, d.stage, d.code, d.enhanced, d.reply, d.changed_at
	FROM deliveries d LEFT JOIN recipients r ON r.id = d.recipient_id WHERE d.campaign_id = ?0 `

// ListDeliveries gives up to limit deliveries of a campaign after a number, in
// order; with a state, only those in it.
func (s *Store) ListDeliveries(ctx context.Context, campaignID int64, state posthaste.DeliveryState, after int64, limit int) ([]posthaste.Delivery, error) {
	var rows []deliveryRow
	query := deliveriesOf + "AND d.number > ?1 ORDER BY d.number LIMIT ?3"
	if state != "" {
		query = "SELECT " + deliveryColumns + " FROM (" + deliveriesOf + "AND d.number > ?1) AS d WHERE state = ?2 ORDER BY number LIMIT ?3"
	}
	err := s.db.NewRaw(query, campaignID, after, string(state), limit).Scan(ctx, &rows)
	found := make([]posthaste.Delivery, len(rows))
	for i, r := range rows {
		found[i] = r.delivery()
	}
	return found, translate("list deliveries", err)
}

// ledgerRow is how many deliveries of a campaign are alike.
type ledgerRow struct {
	State              posthaste.DeliveryState // or "audience", of the whole
	Measured, OptedOut int64
	N                  int64
}

// CountDeliveries gives a campaign's ledger as of one moment: each delivery is counted once.
func (s *Store) CountDeliveries(ctx context.Context, campaignID int64) (posthaste.Counts, error) {
	rows, err := s.readLedger(ctx, campaignID)
	return countsOf(rows), err
}

// readLedger reads the deliveries of a campaign, all in one pass; NotFound when there is none.
func (s *Store) readLedger(ctx context.Context, campaignID int64) ([]ledgerRow, error) {
	var rows []ledgerRow
	err := s.db.NewRaw(`SELECT 'audience' AS state, 0 AS measured, 0 AS opted_out, audience AS n FROM campaigns WHERE id = ?0
		UNION ALL SELECT state, measured, opted_out, count(*) FROM deliveries WHERE campaign_id = ?0 GROUP BY state, measured, opted_out
		UNION ALL SELECT 'claimed', 0, 0, count(*) FROM chunks c JOIN deliveries d ON d.campaign_id = c.campaign_id
			AND d.number BETWEEN c.window_first AND c.window_last
			WHERE c.campaign_id = ?0 AND c.done = 0 AND d.state = 'queued'`, campaignID).Scan(ctx, &rows)
	if err != nil {
		return nil, translate("count deliveries", err)
	}
	if !slices.ContainsFunc(rows, func(r ledgerRow) bool { return r.State == "audience" }) {
		return nil, notFound("there is no campaign %d", campaignID)
	}
	return rows, nil
}

func countsOf(rows []ledgerRow) (c posthaste.Counts) {
	for _, r := range rows {
		*c.Column(r.State) += r.N
	}
	c.Queued -= c.Claimed
	return c
}

// Resolve decides an uncertain delivery by a person: Accepted or Failed end it,
// Queued sends it again. Conflict when it is not uncertain, or when it is to be
// sent again and its campaign was cancelled.
func (s *Store) Resolve(ctx context.Context, campaignID, number int64, to posthaste.DeliveryState) (posthaste.Delivery, error) {
	var row deliveryRow
	err := s.inTx(ctx, "resolve delivery", func(ctx context.Context, tx bun.Tx) error {
		campaign, err := s.lockCampaign(ctx, tx, campaignID)
		if err != nil {
			return err
		}
		if to == posthaste.Queued && campaign.State == posthaste.CampaignCancelled {
			return conflict("the campaign was cancelled; it sends nothing any more")
		}
		n, err := exec(ctx, tx, "UPDATE deliveries SET state = ?, changed_at = ? WHERE campaign_id = ? AND number = ? AND state = ?",
			to, micros(time.Now()), campaignID, number, posthaste.Uncertain)
		if err != nil {
			return err
		}
		if n == 0 {
			return conflict("delivery %d of campaign %d is not uncertain", number, campaignID)
		}
		if to == posthaste.Queued {
			if err := reopenChunk(ctx, tx, campaign, number); err != nil {
				return err
			}
		}
		if err := s.appendAudit(ctx, tx, did(ctx, "delivery.resolve", fmt.Sprintf("%s/%d/%d", campaign.Word(), campaignID, number), "to", string(to))); err != nil {
			return err
		}
		return tx.NewRaw(deliveriesOf+"AND d.number = ?1", campaignID, number).Scan(ctx, &row)
	})
	return row.delivery(), err
}

// reopenChunk queues the chunk of a delivery again, and with it a campaign that had been sent.
func reopenChunk(ctx context.Context, tx bun.Tx, c posthaste.Campaign, number int64) error {
	if _, err := exec(ctx, tx, `UPDATE chunks SET done = 0, retry_at = 0, published_at = 0
		WHERE campaign_id = ? AND ? BETWEEN first AND last`, c.ID, number); err != nil {
		return err
	}
	if c.State != posthaste.Sent {
		return nil
	}
	now := micros(time.Now())
	_, err := exec(ctx, tx, "UPDATE campaigns SET state = ?, sending_since = ?, ended_at = 0, version = version + 1, updated_at = ? WHERE id = ?",
		posthaste.Sending, now, now, c.ID)
	return err
}
