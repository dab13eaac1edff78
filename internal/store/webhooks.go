package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type webhookRow struct {
	ID                                          int64
	URL                                         string `bun:"url"`
	Events                                      string
	Generation, OldUntil, DisabledAt, CreatedAt int64
}

const webhookColumns = "id, url, events, generation, old_until, disabled_at, created_at"

func (r webhookRow) webhook() posthaste.Webhook {
	w := posthaste.Webhook{ID: r.ID, URL: r.URL, Generation: r.Generation, OldUntil: instant(r.OldUntil), DisabledAt: instant(r.DisabledAt), CreatedAt: instant(r.CreatedAt)}
	for name := range strings.SplitSeq(strings.Trim(r.Events, ","), ",") {
		w.Events = append(w.Events, posthaste.EventName(name))
	}
	return w
}

// eventsText has a comma on each side of every name, so that one can be looked for.
func eventsText(events []posthaste.EventName) string {
	var b strings.Builder
	b.WriteByte(',')
	for _, e := range events {
		b.WriteString(string(e) + ",")
	}
	return b.String()
}

// AddWebhook stores a webhook and gives it its id.
func (s *Store) AddWebhook(ctx context.Context, w posthaste.Webhook) (posthaste.Webhook, error) {
	var row webhookRow
	err := s.inTx(ctx, "add webhook", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw("INSERT INTO webhooks (url, events, generation, old_until, disabled_at, created_at) VALUES (?, ?, 1, 0, 0, ?) RETURNING "+webhookColumns,
			w.URL, eventsText(w.Events), micros(time.Now())).Scan(ctx, &row); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "webhook.add", webhookObject(row.ID)))
	})
	return row.webhook(), err
}

// SaveWebhook changes where a webhook is, what it is told, and whether it is
// disabled; NotFound when there is none of that id.
func (s *Store) SaveWebhook(ctx context.Context, w posthaste.Webhook) (posthaste.Webhook, error) {
	return s.changeWebhook(ctx, w.ID, "webhook.change", "url = ?, events = ?, disabled_at = ?", w.URL, eventsText(w.Events), micros(w.DisabledAt))
}

// RotateWebhook gives a webhook a new secret; the old one signs too until an
// instant. Conflict while an older one still does.
func (s *Store) RotateWebhook(ctx context.Context, id int64, until time.Time) (posthaste.Webhook, error) {
	return s.changeWebhook(ctx, id, "webhook.rotate", "generation = generation + 1, old_until = CASE WHEN old_until > ? THEN -1 ELSE ? END",
		micros(time.Now()), micros(until))
}

func (s *Store) changeWebhook(ctx context.Context, id int64, action, set string, args ...any) (posthaste.Webhook, error) {
	var row webhookRow
	err := s.inTx(ctx, "change webhook", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw("UPDATE webhooks SET "+set+" WHERE id = ? RETURNING "+webhookColumns, append(args, id)...).Scan(ctx, &row); err != nil {
			return err
		}
		if row.OldUntil < 0 {
			return conflict("the secret before this one still signs, for at most a day; a third one would end it sooner than its holder was told")
		}
		return s.appendAudit(ctx, tx, did(ctx, action, webhookObject(id)))
	})
	return row.webhook(), err
}

func webhookObject(id int64) string { return object("webhook", id) }

// DeleteWebhook removes a webhook with all its messages; NotFound when there is none.
func (s *Store) DeleteWebhook(ctx context.Context, id int64) error {
	return s.inTx(ctx, "delete webhook", func(ctx context.Context, tx bun.Tx) error {
		n, err := exec(ctx, tx, "DELETE FROM webhooks WHERE id = ?", id)
		if err != nil {
			return err
		}
		if n == 0 {
			return notFound("there is no such webhook")
		}
		if _, err := exec(ctx, tx, "DELETE FROM webhook_messages WHERE webhook_id = ?", id); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "webhook.delete", webhookObject(id)))
	})
}

// ListWebhooks gives all webhooks by id; an operator has a few.
func (s *Store) ListWebhooks(ctx context.Context) ([]posthaste.Webhook, error) {
	var rows []webhookRow
	if err := s.db.NewRaw("SELECT "+webhookColumns+" FROM webhooks ORDER BY id").Scan(ctx, &rows); err != nil {
		return nil, translate("list webhooks", err)
	}
	webhooks := make([]posthaste.Webhook, len(rows))
	for i, r := range rows {
		webhooks[i] = r.webhook()
	}
	return webhooks, nil
}

// toldEvents gives the events that some webhook is told of.
func toldEvents(ctx context.Context, tx bun.Tx) (map[posthaste.EventName]bool, error) {
	var lists []string
	if err := tx.NewRaw("SELECT events FROM webhooks WHERE disabled_at = 0").Scan(ctx, &lists); err != nil {
		return nil, err
	}
	told := map[posthaste.EventName]bool{}
	for _, list := range lists {
		for _, e := range (webhookRow{Events: list}).webhook().Events {
			told[e] = true
		}
	}
	return told, nil
}

// tell queues a message for each webhook that is told of the event, in the
// transaction of what it tells of.
func tell(ctx context.Context, tx bun.Tx, event posthaste.EventName, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	now := micros(time.Now())
	_, err = exec(ctx, tx, `INSERT INTO webhook_messages (webhook_id, message_id, event, data, state, attempts, created_at, sent_since, due_at, status, fault)
		SELECT id, ?0, ?1, ?2, ?3, 0, ?4, ?4, ?4, 0, '' FROM webhooks WHERE disabled_at = 0 AND events LIKE ?5`,
		"msg_"+rand.Text(), event, string(body), posthaste.WebhookWaiting, now, "%,"+string(event)+",%")
	return err
}

type webhookMessageRow struct {
	ID, WebhookID               int64
	MessageID                   string
	Event                       posthaste.EventName
	Data                        string
	State                       posthaste.WebhookState
	Attempts                    int
	CreatedAt, SentSince, DueAt int64
	Status                      int
	Fault                       string
}

const messageColumns = "id, webhook_id, message_id, event, data, state, attempts, created_at, sent_since, due_at, status, fault"

func (r webhookMessageRow) message(w posthaste.Webhook) posthaste.WebhookMessage {
	return posthaste.WebhookMessage{ID: r.ID, Webhook: w, MessageID: r.MessageID, Event: r.Event, Data: json.RawMessage(r.Data), State: r.State, Attempts: r.Attempts,
		CreatedAt: instant(r.CreatedAt), SentSince: instant(r.SentSince), DueAt: instant(r.DueAt), Status: r.Status, Fault: r.Fault}
}

// TakeWebhookMessages gives up to limit messages that are due, those of each
// webhook that is not disabled in turn, and makes them due again at an instant:
// one that is taken by a process that dies comes again.
func (s *Store) TakeWebhookMessages(ctx context.Context, now, again time.Time, limit int) (messages []posthaste.WebhookMessage, err error) {
	webhooks, err := s.ListWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	webhooks = slices.DeleteFunc(webhooks, func(w posthaste.Webhook) bool { return !w.DisabledAt.IsZero() })
	if len(webhooks) == 0 {
		return nil, nil
	}
	err = s.inTx(ctx, "take webhook messages", func(ctx context.Context, tx bun.Tx) error {
		due := make([][]webhookMessageRow, len(webhooks))
		for i, w := range webhooks {
			// webhook_messages_waiting is the index of this scan.
			if err := tx.NewRaw("SELECT "+messageColumns+" FROM webhook_messages WHERE webhook_id = ? AND state = 'waiting' AND due_at <= ? ORDER BY due_at, id LIMIT ?"+
				s.pick(" FOR UPDATE SKIP LOCKED", ""), w.ID, micros(now), limit).Scan(ctx, &due[i]); err != nil {
				return err
			}
		}
		var ids []int64
		for turn := 0; len(messages) < limit; turn++ {
			before := len(messages)
			for i, w := range webhooks {
				if turn < len(due[i]) && len(messages) < limit {
					messages = append(messages, due[i][turn].message(w))
					ids = append(ids, due[i][turn].ID)
				}
			}
			if len(messages) == before {
				break
			}
		}
		if len(ids) == 0 {
			return nil
		}
		_, err := exec(ctx, tx, "UPDATE webhook_messages SET due_at = ? WHERE id IN (?)", micros(again), bun.List(ids))
		return err
	})
	return messages, err
}

// keepDelivered is for how long a delivered message can be looked at.
const keepDelivered = 72 * time.Hour

// RecordWebhook writes what became of messages, all or none; ids that are gone
// are passed over. Doing it again changes nothing but the count of attempts.
func (s *Store) RecordWebhook(ctx context.Context, outcomes []posthaste.WebhookOutcome) error {
	return s.inTx(ctx, "record webhook messages", func(ctx context.Context, tx bun.Tx) error {
		for _, o := range outcomes {
			if _, err := exec(ctx, tx, "UPDATE webhook_messages SET state = ?, due_at = ?, status = ?, fault = ?, attempts = attempts + 1 WHERE id = ? AND state = 'waiting'",
				o.State, micros(o.DueAt), o.Status, o.Fault, o.ID); err != nil {
				return err
			}
		}
		_, err := exec(ctx, tx, "DELETE FROM webhook_messages WHERE state = 'delivered' AND created_at < ?", micros(time.Now().Add(-keepDelivered)))
		return err
	})
}

// ListWebhookMessages gives up to limit messages of a webhook older than the id
// before, newest first; 0 starts with the newest. With a state, only those in it.
func (s *Store) ListWebhookMessages(ctx context.Context, webhookID int64, state posthaste.WebhookState, before int64, limit int) ([]posthaste.WebhookMessage, error) {
	var rows []webhookMessageRow
	if err := s.db.NewRaw("SELECT "+messageColumns+` FROM webhook_messages WHERE webhook_id = ?0 AND (?1 = 0 OR id < ?1) AND (?2 = '' OR state = ?2)
		ORDER BY id DESC LIMIT ?3`, webhookID, before, state, limit).Scan(ctx, &rows); err != nil {
		return nil, translate("list webhook messages", err)
	}
	messages := make([]posthaste.WebhookMessage, len(rows))
	for i, r := range rows {
		messages[i] = r.message(posthaste.Webhook{ID: r.WebhookID})
	}
	return messages, nil
}

// ReplayWebhook has the dead messages of a webhook sent again, or one of them
// with an id other than 0, and gives how many.
func (s *Store) ReplayWebhook(ctx context.Context, webhookID, messageID int64) (replayed int64, err error) {
	err = s.inTx(ctx, "replay webhook messages", func(ctx context.Context, tx bun.Tx) (err error) {
		if replayed, err = exec(ctx, tx, `UPDATE webhook_messages SET state = 'waiting', attempts = 0, sent_since = ?0, due_at = ?0
			WHERE webhook_id = ?1 AND state = 'dead' AND (?2 = 0 OR id = ?2)`, micros(time.Now()), webhookID, messageID); err != nil || replayed == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "webhook.replay", webhookObject(webhookID)))
	})
	return replayed, err
}
