package store

import (
	"context"
	"slices"

	"posthaste"
)

// FindWhy gives what tells why a recipient got a mail of a campaign, or did not;
// NotFound when there is no such campaign or recipient.
func (s *Store) FindWhy(ctx context.Context, campaignID, recipientID int64) (w posthaste.Why, err error) {
	if w.Campaign, err = s.FindCampaign(ctx, campaignID); err != nil {
		return w, noSuch(err, "campaign")
	}
	if w.Recipient, err = s.FindRecipient(ctx, recipientID); err != nil {
		return w, noSuch(err, "recipient")
	}
	if w.Campaign.IsAnnouncement() {
		t, err := s.FindNoticeTypeByID(ctx, posthaste.TypeAsTopic(w.Campaign.TopicID))
		if err != nil {
			return w, err
		}
		w.Topic = t.Name
	} else {
		t, err := s.FindTopicByID(ctx, w.Campaign.TopicID)
		if err != nil {
			return w, err
		}
		w.Topic = t.Name
	}
	ledger, err := s.ListConsents(ctx, recipientID)
	if err != nil {
		return w, err
	}
	w.Consents = slices.DeleteFunc(ledger, func(c posthaste.Consent) bool { return c.TopicID != w.Campaign.TopicID || c.TopicID == 0 })
	var silent []suppressionRow
	if err := s.db.NewRaw("SELECT "+suppressionColumns+" FROM suppressions WHERE address_hash = (SELECT address_hash FROM recipients WHERE id = ?) AND topic_id IN (0, ?) ORDER BY id",
		recipientID, w.Campaign.TopicID).Scan(ctx, &silent); err != nil {
		return w, translate("find why", err)
	}
	for _, r := range silent {
		if x := r.suppression(); x.Reason != posthaste.Erased || !w.Campaign.IsAnnouncement() {
			w.Suppressions = append(w.Suppressions, x)
		}
	}
	var rows []deliveryRow
	// deliveries (recipient_id, campaign_id) is the index of this scan.
	if err := s.db.NewRaw(deliveriesOf+"AND d.recipient_id = ?1", campaignID, recipientID).Scan(ctx, &rows); err != nil {
		return w, translate("find why", err)
	}
	if len(rows) > 0 {
		d := rows[0].delivery()
		w.Delivery = &d
	}
	return w, nil
}

// FindWhyNotice gives what suppresses an address for a notice type now.
func (s *Store) FindWhyNotice(ctx context.Context, n posthaste.Notice) ([]posthaste.Suppression, error) {
	var rows []suppressionRow
	if err := s.db.NewRaw("SELECT "+suppressionColumns+` FROM suppressions WHERE address_hash = (SELECT address_hash FROM recipients WHERE id = ?)
		AND topic_id IN (0, ?) AND reason <> 'erased' ORDER BY id`, n.RecipientID, posthaste.TypeAsTopic(n.TypeID)).Scan(ctx, &rows); err != nil {
		return nil, translate("find why", err)
	}
	found := make([]posthaste.Suppression, len(rows))
	for i, r := range rows {
		found[i] = r.suppression()
	}
	return found, nil
}
