package store

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// ListConsents gives a recipient's whole ledger, oldest first.
func (s *Store) ListConsents(ctx context.Context, recipientID int64) ([]posthaste.Consent, error) {
	ledger, err := listConsents(ctx, s.db, recipientID)
	return ledger, translate("list consents", err)
}

func listConsents(ctx context.Context, db bun.IDB, recipientID int64) ([]posthaste.Consent, error) {
	var rows []struct {
		ID               int64
		Purpose          posthaste.Purpose
		TopicID          int64
		Decision         posthaste.Decision
		Channel          posthaste.Channel
		Source, Wording  string
		Language, Policy string
		SignUpID         int64
		Actor, Network   string
		At               int64
	}
	err := db.NewRaw(`SELECT c.id, c.purpose, c.topic_id, c.decision, c.channel, coalesce(e.source, '') AS source,
		coalesce(e.wording, '') AS wording, coalesce(e.language, '') AS language, coalesce(e.policy, '') AS policy, c.sign_up_id, c.actor, c.network, c.at
		FROM consents c LEFT JOIN evidence e ON e.id = c.evidence_id WHERE c.recipient_id = ? ORDER BY c.id`, recipientID).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	ledger := make([]posthaste.Consent, len(rows))
	for i, r := range rows {
		ledger[i] = posthaste.Consent{ID: r.ID, RecipientID: recipientID, Purpose: r.Purpose, TopicID: r.TopicID,
			Decision: r.Decision, Channel: r.Channel, Source: r.Source, Wording: r.Wording,
			Language: r.Language, Policy: r.Policy, SignUpID: r.SignUpID, Actor: r.Actor,
			Network: posthaste.ParseNetwork(r.Network), At: instant(r.At)}
	}
	return ledger, nil
}

// RecordConsents appends to the ledger, all or nothing. A decision that already
// holds is not repeated. An operator cannot give a topic, or an optional notice
// type, back to a recipient who opted out of it: that is a Conflict; the recipient's own channels can,
// and lift that opt-out with it.
func (s *Store) RecordConsents(ctx context.Context, entries []posthaste.Consent) error {
	return s.inTx(ctx, "record consents", func(ctx context.Context, tx bun.Tx) error {
		for _, c := range entries {
			if (c.Purpose == posthaste.ForTopic || c.Purpose == posthaste.ForNotice) && c.Decision == posthaste.Given {
				if err := s.reopen(ctx, tx, c); err != nil {
					return err
				}
			}
		}
		changed, err := appendConsents(ctx, tx, entries)
		if err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, consentEntries(ctx, changed)...)
	})
}

// consentEntries are those of decisions that changed something.
func consentEntries(ctx context.Context, changed []posthaste.Consent) []posthaste.AuditEntry {
	entries := make([]posthaste.AuditEntry, len(changed))
	for i, c := range changed {
		verb := "consent.withdraw"
		if c.Decision == posthaste.Given {
			verb = "consent.give"
		}
		entries[i] = did(ctx, verb, object("recipient", c.RecipientID), "purpose", string(c.Purpose),
			"topic_id", strconv.FormatInt(c.TopicID, 10), "channel", string(c.Channel))
	}
	return entries
}

// reopen lifts the recipient's own opt-out of one topic, if the recipient asks for it.
func (s *Store) reopen(ctx context.Context, tx bun.Tx, c posthaste.Consent) error {
	const optOut = `address_hash = (SELECT address_hash FROM recipients WHERE id = ?) AND topic_id = ? AND reason = ?`
	if c.Channel == posthaste.ByPreferences {
		_, err := exec(ctx, tx, "DELETE FROM suppressions WHERE "+optOut, c.RecipientID, c.TopicID, posthaste.OptedOut)
		return err
	}
	var stopped int64
	err := tx.NewRaw(`SELECT (SELECT count(*) FROM suppressions WHERE `+optOut+`) + (SELECT count(*) FROM consent_states
		WHERE recipient_id = ? AND purpose = ? AND topic_id = ? AND decision = ?)`, c.RecipientID, c.TopicID, posthaste.OptedOut,
		c.RecipientID, c.Purpose, c.TopicID, posthaste.Withdrawn).Scan(ctx, &stopped)
	if err == nil && stopped > 0 {
		return conflict("the recipient opted out of this topic; only the recipient can opt in again")
	}
	return err
}

// consentKey is what has one state.
type consentKey struct {
	RecipientID int64
	Purpose     posthaste.Purpose
	TopicID     int64
}

// consentBatch is the most entries of one statement.
const consentBatch = 500

// appendConsents writes the ledger and its current state together, in the
// order of the entries, and gives those that changed something.
func appendConsents(ctx context.Context, tx bun.Tx, entries []posthaste.Consent) (changed []posthaste.Consent, err error) {
	return appendEach(ctx, tx, entries, false)
}

// renewConsents is appendConsents, also of what holds already: the words and the
// time are new.
func renewConsents(ctx context.Context, tx bun.Tx, entries []posthaste.Consent) (changed []posthaste.Consent, err error) {
	return appendEach(ctx, tx, entries, true)
}

func appendEach(ctx context.Context, tx bun.Tx, entries []posthaste.Consent, renew bool) (changed []posthaste.Consent, err error) {
	from := 0
	batch := make(map[consentKey]bool, min(len(entries), consentBatch))
	for i, c := range entries {
		if key := keyOf(c); batch[key] || len(batch) == consentBatch {
			part, err := appendDistinct(ctx, tx, entries[from:i], renew)
			if err != nil {
				return nil, err
			}
			changed = append(changed, part...)
			from = i
			clear(batch)
		}
		batch[keyOf(c)] = true
	}
	part, err := appendDistinct(ctx, tx, entries[from:], renew)
	return append(changed, part...), err
}

func keyOf(c posthaste.Consent) consentKey { return consentKey{c.RecipientID, c.Purpose, c.TopicID} }

// appendDistinct appends entries of which no two are about the same state.
func appendDistinct(ctx context.Context, tx bun.Tx, entries []posthaste.Consent, renew bool) (changed []posthaste.Consent, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	states := make([]bun.TupleValues, len(entries))
	for i, c := range entries {
		states[i] = bun.Tuple([]any{c.RecipientID, string(c.Purpose), c.TopicID, string(c.Decision)})
	}
	var rows []consentKey
	if err := tx.NewRaw(`WITH v (recipient_id, purpose, topic_id, decision) AS (VALUES ?)
		INSERT INTO consent_states (recipient_id, purpose, topic_id, decision)
		SELECT v.recipient_id, v.purpose, v.topic_id, v.decision FROM v JOIN recipients r ON r.id = v.recipient_id WHERE true
		ON CONFLICT (recipient_id, purpose, topic_id) DO UPDATE SET decision = excluded.decision
		WHERE consent_states.decision <> excluded.decision OR ? RETURNING recipient_id, purpose, topic_id`,
		bun.List(states), renew).Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return nil, err
	}
	news := make(map[consentKey]bool, len(rows))
	for _, key := range rows {
		news[key] = true
	}
	if err := noStrangers(ctx, tx, rows); err != nil {
		return nil, err
	}
	evidence := map[posthaste.Evidence]int64{}
	now := micros(time.Now())
	var ledger []bun.TupleValues
	for _, c := range entries {
		if !news[keyOf(c)] {
			continue
		}
		changed = append(changed, c)
		e := posthaste.Evidence{Source: c.Source, Wording: c.Wording, Language: c.Language, Policy: c.Policy}
		id, known := evidence[e]
		if !known {
			if id, err = putEvidence(ctx, tx, e); err != nil {
				return nil, err
			}
			evidence[e] = id
		}
		ledger = append(ledger, bun.Tuple([]any{c.RecipientID, string(c.Purpose), c.TopicID, string(c.Decision), string(c.Channel), id, c.SignUpID, c.Actor, c.Network.String(), now}))
	}
	_, err = exec(ctx, tx, `INSERT INTO consents (recipient_id, purpose, topic_id, decision, channel, evidence_id, sign_up_id, actor, network, at) VALUES ?`, bun.List(ledger))
	return changed, err
}

// noStrangers makes those who decided something known for more than a sign-up.
func noStrangers(ctx context.Context, tx bun.Tx, decided []consentKey) error {
	ids := make([]int64, len(decided))
	for i, key := range decided {
		ids[i] = key.RecipientID
	}
	_, err := exec(ctx, tx, "UPDATE recipients SET stranger = 0 WHERE id IN (?) AND stranger = 1", bun.List(ids))
	return err
}

// FindPreferences gives what a recipient has chosen, or NotFound.
func (s *Store) FindPreferences(ctx context.Context, recipientID int64) (posthaste.Preferences, error) {
	var p posthaste.Preferences
	var rows []struct {
		Purpose posthaste.Purpose
		TopicID int64
	}
	recipient, err := s.FindRecipient(ctx, recipientID)
	if err != nil {
		return p, err
	}
	p.Recipient = recipient
	if err := s.db.NewRaw(`SELECT c.purpose, c.topic_id FROM consent_states c JOIN recipients r ON r.id = c.recipient_id
		WHERE r.id = ? AND c.decision = ? AND NOT EXISTS (SELECT 1 FROM suppressions x WHERE c.purpose = 'topic'
			AND x.address_hash = r.address_hash AND x.topic_id = c.topic_id AND x.reason = ?)`,
		recipientID, posthaste.Given, posthaste.OptedOut).Scan(ctx, &rows); err != nil {
		return p, translate("find preferences", err)
	}
	for _, r := range rows {
		switch r.Purpose {
		case posthaste.ForTopic:
			p.Topics = append(p.Topics, r.TopicID)
		case posthaste.ForOpens:
			p.Opens = true
		case posthaste.ForClicks:
			p.Clicks = true
		}
	}
	var stopped int64
	// notices_by_recipient and deliveries (recipient_id, campaign_id) are the indexes of the inner scans.
	if err := s.db.NewRaw(`SELECT t.id AS type_id, v.name, EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id = -t.id) AS off
		FROM recipients r JOIN notice_types t ON EXISTS (SELECT 1 FROM notices n WHERE n.recipient_id = r.id AND n.type_id = t.id)
			OR EXISTS (SELECT 1 FROM deliveries d JOIN campaigns k ON k.id = d.campaign_id WHERE d.recipient_id = r.id AND k.topic_id = -t.id)
			OR EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id = -t.id)
		JOIN notice_type_versions v ON v.type_id = t.id AND v.version = t.version
		WHERE r.id = ? AND v.kind = ? ORDER BY v.name, t.id`, recipientID, posthaste.Optional).Scan(ctx, &p.Notices); err != nil {
		return p, translate("find preferences", err)
	}
	err = s.db.NewRaw(`SELECT count(*) FROM suppressions x JOIN recipients r ON r.address_hash = x.address_hash
		WHERE r.id = ? AND x.topic_id = 0 AND x.reason = ?`, recipientID, posthaste.OptedOut).Scan(ctx, &stopped)
	p.StopAll = stopped > 0
	return p, translate("find preferences", err)
}
