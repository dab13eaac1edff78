package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/uptrace/bun"

	"posthaste"
)

// FindNoticeAnswer gives a call as AcceptNotices does that was taken in before
// with the same key and Idempotency, and any other as it is.
func (s *Store) FindNoticeAnswer(ctx context.Context, call posthaste.NoticeCall) (posthaste.NoticeCall, error) {
	err := findAnswer(ctx, s.db, &call)
	if errors.Is(err, sql.ErrNoRows) {
		return call, nil
	}
	return call, translate("find notice call", err)
}

// otherRequest is the fault of a key that comes again with something else.
func otherRequest() error {
	return &posthaste.Error{Kind: posthaste.Conflict, Message: "this Idempotency-Key was used with another request",
		Fields: []posthaste.Field{{Name: "Idempotency-Key", Reason: "was used with another request"}}}
}

func findAnswer(ctx context.Context, db bun.IDB, call *posthaste.NoticeCall) error {
	var hash []byte
	var given string
	if err := db.NewRaw("SELECT id, body_hash, answer FROM notice_calls WHERE key_id = ? AND idempotency = ? AND idempotency <> ''", call.KeyID, call.Idempotency).
		Scan(ctx, &call.ID, &hash, &given); err != nil {
		return err
	}
	if !bytes.Equal(hash, call.BodyHash) {
		return otherRequest()
	}
	call.Answer, call.Repeated = json.RawMessage(given), true
	return nil
}

type noticeRow struct {
	ID, CallID, TypeID, TypeVersion, RecipientID int64
	Type, Email, Name, Locale                    string
	ExternalID, Metadata, Actor                  string
	State                                        posthaste.NoticeState
	Attempts                                     int
	DueAt, ValidUntil                            int64
	Stage                                        posthaste.Stage
	Code                                         int
	Enhanced, Reply                              string
	CreatedAt, ChangedAt                         int64
}

const noticeColumns = `n.id, n.call_id, n.type_id, n.type_version, n.recipient_id, t.key AS type, coalesce(r.email, '') AS email, n.name, n.locale,
	n.external_id, n.metadata, n.actor, n.state, n.attempts, n.due_at, n.valid_until, n.stage, n.code, n.enhanced, n.reply, n.created_at, n.changed_at`

const noticeTables = " FROM notices n JOIN notice_types t ON t.id = n.type_id LEFT JOIN recipients r ON r.id = n.recipient_id "

func (r noticeRow) notice() (posthaste.Notice, error) {
	n := posthaste.Notice{ID: r.ID, CallID: r.CallID, TypeID: r.TypeID, Type: r.Type, TypeVersion: r.TypeVersion, RecipientID: r.RecipientID,
		Email: r.Email, Name: r.Name, Locale: r.Locale, ExternalID: r.ExternalID, State: r.State, Attempts: r.Attempts, DueAt: instant(r.DueAt),
		ValidUntil: instant(r.ValidUntil), Reply: posthaste.Reply{Stage: r.Stage, Code: r.Code, Enhanced: r.Enhanced, Text: r.Reply},
		Actor: r.Actor, CreatedAt: instant(r.CreatedAt), ChangedAt: instant(r.ChangedAt)}
	if len(r.Metadata) > 2 { // more than {}
		return n, json.Unmarshal([]byte(r.Metadata), &n.Metadata)
	}
	return n, nil
}

// FindNotice gives the notice of that id with its attempts, oldest first, or NotFound.
func (s *Store) FindNotice(ctx context.Context, id int64) (posthaste.Notice, []posthaste.Attempt, error) {
	var row noticeRow
	if err := s.db.NewRaw("SELECT "+noticeColumns+noticeTables+"WHERE n.id = ?", id).Scan(ctx, &row); err != nil {
		return posthaste.Notice{}, nil, noSuch(translate("find notice", err), "notice")
	}
	var rows []struct {
		State           posthaste.NoticeState
		Stage           posthaste.Stage
		Code            int
		Enhanced, Reply string
		At              int64
	}
	if err := s.db.NewRaw("SELECT state, stage, code, enhanced, reply, at FROM notice_attempts WHERE notice_id = ? ORDER BY number", id).Scan(ctx, &rows); err != nil {
		return posthaste.Notice{}, nil, translate("find attempts", err)
	}
	attempts := make([]posthaste.Attempt, len(rows))
	for i, r := range rows {
		attempts[i] = posthaste.Attempt{State: r.State, At: instant(r.At), Reply: posthaste.Reply{Stage: r.Stage, Code: r.Code, Enhanced: r.Enhanced, Text: r.Reply}}
	}
	n, err := row.notice()
	return n, attempts, err
}

// ListNotices gives up to limit notices older than the id before, newest first; 0 starts with the newest.
func (s *Store) ListNotices(ctx context.Context, f posthaste.NoticeFilter, before int64, limit int) ([]posthaste.Notice, error) {
	where := "WHERE (?0 = 0 OR n.id < ?0)"
	for _, narrow := range []struct {
		wanted bool
		where  string
	}{
		{f.Type != "", " AND n.type_id = (SELECT id FROM notice_types WHERE key = ?2)"},               // notices_by_type
		{f.State != "", " AND n.state = ?3"},                                                          // notices_troubled, or the primary key backwards
		{f.Canonical != "", " AND n.recipient_id = (SELECT id FROM recipients WHERE canonical = ?4)"}, // notices_by_recipient
		{f.ExternalID != "", " AND n.external_id = ?5"},                                               // notices_by_external_id
		{f.CallID != 0, " AND n.call_id = ?6"},                                                        // notices_by_call
	} {
		if narrow.wanted {
			where += narrow.where
		}
	}
	var rows []noticeRow
	if err := s.db.NewRaw("SELECT "+noticeColumns+noticeTables+where+" ORDER BY n.id DESC LIMIT ?1",
		before, limit, f.Type, f.State, f.Canonical, f.ExternalID, f.CallID).Scan(ctx, &rows); err != nil {
		return nil, translate("list notices", err)
	}
	notices := make([]posthaste.Notice, len(rows))
	for i, r := range rows {
		var err error
		if notices[i], err = r.notice(); err != nil {
			return nil, err
		}
	}
	return notices, nil
}
