package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// RecordNotices writes outcomes of notices that worker claimed, all or nothing,
// suppresses the addresses that bounced, and audits what went in spite of a
// suppression. One that was taken from the worker meanwhile, since it was taken
// for lost, still takes a final outcome unless another worker has it in hand.
// Recording the same again changes nothing.
func (s *Store) RecordNotices(ctx context.Context, worker string, outcomes []posthaste.NoticeOutcome) error {
	return s.inTx(ctx, "record notices", func(ctx context.Context, tx bun.Tx) error {
		for _, o := range outcomes {
			if err := s.recordNotice(ctx, tx, worker, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) recordNotice(ctx context.Context, tx bun.Tx, worker string, o posthaste.NoticeOutcome) error {
	tried := 0
	if o.Tried {
		tried = 1
	}
	held := "(state = 'claimed' AND owner = ?)"
	if o.State.Final() {
		held = "(state = 'claimed' AND owner = ? OR state = 'queued')"
	}
	n := noticeRow{ID: o.ID, State: o.State, DueAt: micros(o.RetryAt), Stage: o.Reply.Stage, Code: o.Reply.Code, Enhanced: o.Reply.Enhanced, Reply: o.Reply.Text}
	// What was handed back waits for its message to be published again.
	err := tx.NewRaw(`UPDATE notices SET state = ?, attempts = attempts + ?, owner = '', due_at = ?, published_at = 0, stage = ?, code = ?, enhanced = ?,
		reply = ?, changed_at = ?, data = CASE WHEN ? THEN '{}' ELSE data END WHERE id = ? AND `+held+`
		RETURNING attempts, recipient_id, type_id, call_id, external_id, metadata, actor, (SELECT key FROM notice_types t WHERE t.id = notices.type_id)`,
		o.State, tried, micros(o.RetryAt), o.Reply.Stage, o.Reply.Code, o.Reply.Enhanced, o.Reply.Text, micros(o.At), o.State.Final(), o.ID, worker).
		Scan(ctx, &n.Attempts, &n.RecipientID, &n.TypeID, &n.CallID, &n.ExternalID, &n.Metadata, &n.Actor, &n.Type)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.Tried {
		if err := addAttempt(ctx, tx, o.ID, n.Attempts, posthaste.Attempt{State: o.State, Reply: o.Reply, At: o.At}); err != nil {
			return err
		}
	}
	if o.State == posthaste.NoticeBounced {
		if _, err := exec(ctx, tx, `INSERT INTO suppressions (address_hash, topic_id, reason, evidence, actor, created_at)
			SELECT address_hash, 0, ?, ?, '', ? FROM recipients WHERE id = ? ON CONFLICT DO NOTHING`,
			posthaste.HardBounce, o.Reply.Text, micros(time.Now()), n.RecipientID); err != nil {
			return err
		}
	}
	if err := tellNotice(ctx, tx, n); err != nil {
		return err
	}
	if o.Tried && len(o.Despite) > 0 {
		return appendAudit(ctx, tx, posthaste.AuditEntry{Actor: posthaste.BySystem, Action: "notice.sent_despite_suppression", Object: noticeObject(o.ID),
			Reason: despite(o)})
	}
	return nil
}

func campaignObject(id int64) string { return object("announcement", id) }
func noticeObject(id int64) string   { return object("notice", id) }

func object(kind string, id int64) string { return fmt.Sprintf("%s/%d", kind, id) }

// noticeEvent is what webhooks are told of a notice: the caller's own names for
// it, no address, nothing that the recipient decided.
type noticeEvent struct {
	Notice     int64                 `json:"notice"`
	Call       int64                 `json:"call"`
	Type       string                `json:"type"`
	ExternalID string                `json:"external_id,omitempty"`
	Metadata   map[string]string     `json:"metadata,omitempty"`
	State      posthaste.NoticeState `json:"state"`
	Attempts   int                   `json:"attempts"`
	Code       int                   `json:"smtp_code,omitempty"`
	Enhanced   string                `json:"enhanced_status_code,omitempty"`
	Reply      string                `json:"reply,omitempty"`
	RetryAt    *time.Time            `json:"retry_at,omitempty"`
}

// tellNotice queues the event of a notice's coming to a state, if it is one.
func tellNotice(ctx context.Context, tx bun.Tx, r noticeRow) error {
	event := posthaste.EventOf(r.State)
	if event == "" {
		return nil
	}
	n, err := r.notice()
	if err != nil {
		return err
	}
	told := noticeEvent{Notice: n.ID, Call: n.CallID, Type: n.Type, ExternalID: n.ExternalID, Metadata: n.Metadata, State: n.State, Attempts: n.Attempts,
		Code: n.Reply.Code, Enhanced: n.Reply.Enhanced, Reply: n.Reply.Text}
	if n.State == posthaste.NoticeDeferred {
		told.RetryAt = &n.DueAt
	}
	if n.State == posthaste.NoticeSuppressed { // why is what the recipient decided
		told.Reply = ""
	}
	return tell(ctx, tx, event, told)
}

// despite tells what was passed over and why.
func despite(o posthaste.NoticeOutcome) string {
	var reasons []string
	for _, r := range o.Despite {
		if !slices.Contains(reasons, string(r)) {
			reasons = append(reasons, string(r))
		}
	}
	return strings.Join(reasons, ", ") + ": " + o.Because
}

func addAttempt(ctx context.Context, tx bun.Tx, noticeID int64, number int, a posthaste.Attempt) error {
	_, err := exec(ctx, tx, "INSERT INTO notice_attempts (notice_id, number, state, stage, code, enhanced, reply, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		noticeID, number, a.State, a.Reply.Stage, a.Reply.Code, a.Reply.Enhanced, a.Reply.Text, micros(a.At))
	return err
}
