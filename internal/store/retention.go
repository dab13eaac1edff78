package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// forgetting is one rule of retention: what it does with what is older than an
// instant, ?0, in microseconds.
type forgetting []string

// forgettings are the rules that are statements alone. Rows that are counted
// elsewhere stay, of nobody.
func (s *Store) forgettings() map[string]forgetting {
	return map[string]forgetting{
		"consents": {`DELETE FROM consents WHERE at < ?0 AND EXISTS (SELECT 1 FROM consent_states c WHERE c.recipient_id = consents.recipient_id AND c.purpose = consents.purpose
			AND c.topic_id = consents.topic_id AND c.decision = 'withdrawn') AND NOT EXISTS (SELECT 1 FROM consents n WHERE n.recipient_id = consents.recipient_id
			AND n.purpose = consents.purpose AND n.topic_id = consents.topic_id AND n.at >= ?0)`},
		"sign-ups": {"DELETE FROM sign_ups WHERE confirmed_at > 0 AND confirmed_at < ?0 AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.recipient_id = sign_ups.recipient_id AND c.sign_up_id = sign_ups.id)"},
		"requests": {"DELETE FROM requests WHERE state <> 'open' AND created_at < ?0"},
		"replies": {
			"UPDATE deliveries SET reply = '' WHERE reply <> '' AND changed_at < ?0 AND state NOT IN ('queued', 'deferred')",
			"UPDATE notices SET reply = '' WHERE reply <> '' AND changed_at < ?0 AND state NOT IN ('queued', 'claimed', 'deferred')",
			"UPDATE notice_attempts SET reply = '' WHERE reply <> '' AND at < ?0",
		},
		"ledger": {
			"UPDATE deliveries SET recipient_id = -number, reply = '' WHERE recipient_id > 0 AND changed_at < ?0 AND state NOT IN ('queued', 'deferred')",
			`UPDATE notices SET recipient_id = 0, name = '', locale = '', external_id = '', metadata = '{}', reply = '' WHERE recipient_id > 0 AND changed_at < ?0
				AND state NOT IN ('queued', 'claimed', 'deferred')`,
		},
		"calls":            {"UPDATE notice_calls SET answer = '', idempotency = '' WHERE (answer <> '' OR idempotency <> '') AND forgotten = 1 AND created_at < ?0"},
		"webhook-messages": {"DELETE FROM webhook_messages WHERE state <> 'waiting' AND created_at < ?0"},
	}
}

// Forget carries out one rule of retention on what is older than an instant, and
// gives how many rows it was about. Invalid when there is no such rule.
func (s *Store) Forget(ctx context.Context, rule string, before time.Time) (rows int64, err error) {
	switch rule {
	case "unconfirmed":
		return s.inSteps(func() (int64, error) { return s.PurgeSignUps(ctx, before, forgetBatch) })
	case "hits":
		return s.foldHits(ctx, before)
	case "audit":
		return s.pruneAudit(ctx, before)
	case "usage":
		err = s.inTx(ctx, "forget usage", func(ctx context.Context, tx bun.Tx) (err error) {
			rows, err = exec(ctx, tx, "DELETE FROM api_usage WHERE day < ?", before.UTC().Format(time.DateOnly))
			return err
		})
		return rows, err
	}
	statements, known := s.forgettings()[rule]
	if !known {
		return 0, posthaste.Refuse("rule", fmt.Sprintf("%q is no rule of retention", rule))
	}
	for _, statement := range statements {
		err := s.inTx(ctx, "forget "+rule, func(ctx context.Context, tx bun.Tx) error {
			n, err := exec(ctx, tx, statement, micros(before))
			rows += n
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// forgetBatch is how many rows of a kind that needs more than a statement go at once.
const forgetBatch = 500

// inSteps repeats what does a bounded part of something until nothing is left.
func (s *Store) inSteps(do func() (int64, error)) (all int64, err error) {
	for {
		n, err := do()
		all += n
		if err != nil || n == 0 {
			return all, err
		}
	}
}

// foldHits adds hits to the totals of their campaigns and removes them. One of
// somebody who came back since waits until all of theirs are old, so that
// nobody is counted twice as long as they do not come back after that.
func (s *Store) foldHits(ctx context.Context, before time.Time) (folded int64, err error) {
	const old = ` FROM hits h WHERE h.at < ?0 AND NOT EXISTS (SELECT 1 FROM hits n WHERE n.campaign_id = h.campaign_id AND n.kind = h.kind AND n.number = h.number AND n.at >= ?0)`
	const total = `INSERT INTO hit_totals (campaign_id, kind, link, hits, people) SELECT h.campaign_id, h.kind, %s, count(*), count(DISTINCT h.number)` + old +
		`%s GROUP BY 1, 2, 3 ON CONFLICT (campaign_id, kind, link) DO UPDATE SET hits = hit_totals.hits + excluded.hits, people = hit_totals.people + excluded.people`
	err = s.inTx(ctx, "fold hits", func(ctx context.Context, tx bun.Tx) error {
		// Nothing is recorded meanwhile that only some of the statements would see.
		if _, err := exec(ctx, tx, s.pick("LOCK TABLE hits IN SHARE ROW EXCLUSIVE MODE", "SELECT 1")); err != nil {
			return err
		}
		for _, statement := range []string{fmt.Sprintf(total, "0", ""), fmt.Sprintf(total, "h.link", " AND h.link > 0")} {
			if _, err := exec(ctx, tx, statement, micros(before)); err != nil {
				return err
			}
		}
		folded, err = exec(ctx, tx, "DELETE FROM hits WHERE id IN (SELECT h.id"+old+")", micros(before))
		return err
	})
	return folded, err
}
