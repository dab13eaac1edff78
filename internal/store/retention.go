package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// forgetting is a part of a rule of retention: what it does with what is older
// than an instant, ?0, in microseconds. It goes through its table in the order of
// a key that an index has, so that each transaction is about few rows.
type forgetting struct {
	table string
	key   string // a column of integers above 0
	among string // the rows that it goes through: which the index is for, if not for all
	do    string
	where string // further, for the rows that it does it to
}

// forgettings are the rules that are statements alone. Rows that are counted
// elsewhere stay, of nobody. Where every outcome is written to a row no index
// tells which are old, since it would be written too: all are gone through.
func (s *Store) forgettings() map[string][]forgetting {
	const sent, told = "changed_at < ?0 AND state NOT IN ('queued', 'deferred')", "changed_at < ?0 AND state NOT IN ('queued', 'claimed', 'deferred')"
	return map[string][]forgetting{
		// The primary key on PostgreSQL, consents_by_recipient on SQLite.
		"consents": {{"consents", "recipient_id", "true", "DELETE FROM consents",
			`at < ?0 AND EXISTS (SELECT 1 FROM consent_states c WHERE c.recipient_id = consents.recipient_id AND c.purpose = consents.purpose
			AND c.topic_id = consents.topic_id AND c.decision = 'withdrawn') AND NOT EXISTS (SELECT 1 FROM consents n WHERE n.recipient_id = consents.recipient_id
			AND n.purpose = consents.purpose AND n.topic_id = consents.topic_id AND n.at >= ?0)`}},
		// sign_ups_confirmed
		"sign-ups": {{"sign_ups", "confirmed_at", "confirmed_at > 0 AND confirmed_at < ?0", "DELETE FROM sign_ups",
			"NOT EXISTS (SELECT 1 FROM consents c WHERE c.recipient_id = sign_ups.recipient_id AND c.sign_up_id = sign_ups.id)"}},
		// requests_ended
		"requests": {{"requests", "created_at", "state <> 'open' AND created_at < ?0", "DELETE FROM requests", "true"}},
		// The primary key of each, and of deliveries one campaign at a time.
		"replies": {
			{"deliveries", "number", "campaign_id = ?3", "UPDATE deliveries SET reply = ''", "reply <> '' AND " + sent},
			{"notices", "id", "true", "UPDATE notices SET reply = ''", "reply <> '' AND " + told},
			{"notice_attempts", "notice_id", "true", "UPDATE notice_attempts SET reply = ''", "reply <> '' AND at < ?0"},
		},
		"ledger": {
			{"deliveries", "number", "campaign_id = ?3", "UPDATE deliveries SET recipient_id = -number, reply = ''", "recipient_id > 0 AND " + sent},
			{"notices", "id", "true", "UPDATE notices SET recipient_id = 0, name = '', locale = '', external_id = '', metadata = '{}', reply = ''", "recipient_id > 0 AND " + told},
		},
		// notice_calls_answered
		"calls": {{"notice_calls", "created_at", "forgotten = 1 AND (answer <> '' OR idempotency <> '') AND created_at < ?0",
			"UPDATE notice_calls SET answer = '', idempotency = ''", "true"}},
		// webhook_messages_delivered, webhook_messages_dead_since
		"webhook-messages": {
			{"webhook_messages", "created_at", "state = 'delivered' AND created_at < ?0", "DELETE FROM webhook_messages", "true"},
			{"webhook_messages", "created_at", "state = 'dead' AND created_at < ?0", "DELETE FROM webhook_messages", "true"},
		},
	}
}

// ends gives the last key of the next rows behind the key ?1, and how many they
// are: ?2 at most. ?3 is the campaign, if it goes by campaigns.
func (f forgetting) ends() string {
	return fmt.Sprintf("SELECT coalesce(max(k), 0) AS last, count(*) AS rows FROM (SELECT %s AS k FROM %s WHERE %s AND %s > ?1 ORDER BY 1 LIMIT ?2) part", f.key, f.table, f.among, f.key)
}

// statement does it to the rows behind the key ?1, up to the key ?2.
func (f forgetting) statement() string {
	return fmt.Sprintf("%s WHERE %s AND %s > ?1 AND %s <= ?2 AND %s", f.do, f.among, f.key, f.key, f.where)
}

// Forget carries out one rule of retention on what is older than an instant, and
// gives how many rows it was about, in transactions of some rows each; when one
// fails, or ctx ends, those before it stay. Invalid when there is no such rule.
func (s *Store) Forget(ctx context.Context, rule string, before time.Time) (rows int64, err error) {
	switch rule {
	case "unconfirmed":
		return s.inSteps(func() (int64, error) { return s.PurgeSignUps(ctx, before, purgeBatch) })
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
	if s.forgettings()[rule] == nil {
		return 0, posthaste.Refuse("rule", fmt.Sprintf("%q is no rule of retention", rule))
	}
	for n, err := range s.forgotten(ctx, rule, before, forgetBatch) {
		rows += n
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

const (
	// purgeBatch is how many rows of a kind that needs more than a statement go at once.
	purgeBatch = 500
	// forgetBatch is how many rows a transaction of the others goes through, about:
	// those with the same key are not parted.
	forgetBatch = 5000
)

// forgotten carries out a rule batch by batch, each in a transaction of its own,
// and gives how many rows each was about. The first error ends it, such as that
// ctx ended; what was forgotten by then stays forgotten.
func (s *Store) forgotten(ctx context.Context, rule string, before time.Time, size int) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		var campaigns []int64
		if err := s.db.NewRaw("SELECT id FROM campaigns ORDER BY id").Scan(ctx, &campaigns); err != nil {
			yield(0, translate("forget "+rule, err))
			return
		}
		for _, f := range s.forgettings()[rule] {
			parts := []int64{0}
			if f.table == "deliveries" {
				parts = campaigns
			}
			for _, campaign := range parts {
				for after, more := int64(0), true; more; {
					var n int64
					var err error
					n, after, more, err = s.forgetPart(ctx, f, before, after, size, campaign)
					if !yield(n, translate("forget "+rule, err)) || err != nil {
						return
					}
				}
			}
		}
	}
}

// forgetPart goes through up to size rows behind a key. It gives how many of them
// it was about, the last key, and whether there may be more behind it.
func (s *Store) forgetPart(ctx context.Context, f forgetting, before time.Time, after int64, size int, campaign int64) (n, last int64, more bool, err error) {
	var part struct{ Last, Rows int64 }
	if err := s.db.NewRaw(f.ends(), micros(before), after, size, campaign).Scan(ctx, &part); err != nil || part.Rows == 0 {
		return 0, after, false, err
	}
	err = s.inTx(ctx, "forget "+f.table, func(ctx context.Context, tx bun.Tx) error {
		n, err = exec(ctx, tx, f.statement(), micros(before), after, part.Last, campaign)
		return err
	})
	return n, part.Last, part.Rows == int64(size), err
}

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
