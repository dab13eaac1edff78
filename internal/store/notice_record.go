package store

import (
	"context"
	"database/sql"
	"errors"
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
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.inTx(ctx, "record notices", func(ctx context.Context, tx bun.Tx) error {
		told, err := toldEvents(ctx, tx)
		if err != nil {
			return err
		}
		var entries []posthaste.AuditEntry
		var bounced []int64
		for _, o := range outcomes {
			n, taken, err := s.takeOutcome(ctx, tx, worker, o)
			if err != nil {
				return err
			}
			if !taken {
				continue
			}
			if o.Tried && len(o.Despite) > 0 {
				entries = append(entries, didBy(posthaste.Origin{Actor: posthaste.BySystem, Reason: o.Because}, sentDespite, noticeObject(o.ID), "suppressed_by", despite(o)))
			}
			if o.State == posthaste.NoticeBounced {
				bounced = append(bounced, o.ID)
			}
			if told[posthaste.EventOf(n.State)] {
				if err := tellNotice(ctx, tx, n); err != nil {
					return err
				}
			}
		}
		if len(bounced) > 0 {
			// In one order, so that two workers with the same addresses do not wait for each other.
			var suppressed []int64
			if err := tx.NewRaw(`INSERT INTO suppressions (address_hash, key_id, topic_id, reason, evidence, actor, created_at)
				SELECT r.address_hash, r.key_id, 0, ?, trim(n.code || ' ' || n.enhanced), '', ? FROM notices n JOIN recipients r ON r.id = n.recipient_id WHERE n.id IN (?)
				ORDER BY r.address_hash ON CONFLICT DO NOTHING RETURNING id`, posthaste.HardBounce, micros(time.Now()), bun.List(bounced)).Scan(ctx, &suppressed); err != nil {
				return err
			}
			entries = append(entries, bouncedEntries(suppressed)...)
		}
		return s.appendAudit(ctx, tx, entries...)
	})
}

// recordNotice ends a notice that its worker has, or, with a final outcome, one
// that was taken from the worker and that nobody has. What was handed back waits
// for its message to be published again.
const recordNotice = `UPDATE notices SET state = ?1, attempts = attempts + ?2, owner = '', due_at = ?3, published_at = 0, stage = ?4, code = ?5, enhanced = ?6,
		reply = CASE WHEN recipient_id > 0 THEN ?7 ELSE '' END, changed_at = ?8, data = CASE WHEN ?9 = 1 THEN '{}' ELSE data END
	WHERE id = ?10 AND (state = 'claimed' AND owner = ?11 OR state = 'queued' AND ?9 = 1)
	RETURNING attempts, recipient_id, call_id, external_id, metadata, (SELECT key FROM notice_types t WHERE t.id = notices.type_id)`

const addAttempt = "INSERT INTO notice_attempts (notice_id, number, state, stage, code, enhanced, reply, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"

// takeOutcome writes an outcome, if the notice is still the worker's to end, and
// gives what else is to be known of it.
func (s *Store) takeOutcome(ctx context.Context, tx bun.Tx, worker string, o posthaste.NoticeOutcome) (n noticeRow, taken bool, err error) {
	tried, final := 0, 0
	if o.Tried {
		tried = 1
	}
	if o.State.Final() {
		final = 1
	}
	n = noticeRow{ID: o.ID, State: o.State, DueAt: micros(o.RetryAt), Stage: o.Reply.Stage, Code: o.Reply.Code, Enhanced: o.Reply.Enhanced, Reply: o.Reply.Text}
	record := tx.StmtContext(ctx, s.hot.notices.record) //nolint:sqlclosecheck // it ends with the transaction
	err = record.QueryRowContext(ctx, string(o.State), tried, micros(o.RetryAt), string(o.Reply.Stage), o.Reply.Code, o.Reply.Enhanced, o.Reply.Text, micros(o.At), final, o.ID, worker).
		Scan(&n.Attempts, &n.RecipientID, &n.CallID, &n.ExternalID, &n.Metadata, &n.Type)
	if errors.Is(err, sql.ErrNoRows) {
		return n, false, nil
	}
	if err != nil || !o.Tried {
		return n, err == nil, err
	}
	if n.RecipientID == 0 { // erased meanwhile: an answer may name the address
		n.Reply, o.Reply.Text = "", ""
	}
	attempt := tx.StmtContext(ctx, s.hot.notices.attempt) //nolint:sqlclosecheck // it ends with the transaction
	_, err = attempt.ExecContext(ctx, o.ID, n.Attempts, string(o.State), string(o.Reply.Stage), o.Reply.Code, o.Reply.Enhanced, o.Reply.Text, micros(o.At))
	return n, err == nil, err
}

func noticeObject(id int64) string { return object("notice", id) }

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

// despite tells what was passed over.
func despite(o posthaste.NoticeOutcome) string {
	var reasons []string
	for _, r := range o.Despite {
		if !slices.Contains(reasons, string(r)) {
			reasons = append(reasons, string(r))
		}
	}
	return strings.Join(reasons, " ")
}
