package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// AcceptNotices takes a call in, all of it or nothing: its notices stand in the
// ledger, queued, once it returns, and a recipient who was not known is now.
// answer makes what the caller is told, of the call with its ids. A call whose
// key and Idempotency were used before is given back with the answer of then;
// with another body it is a Conflict. The caller publishes the notices.
func (s *Store) AcceptNotices(ctx context.Context, call posthaste.NoticeCall, answer func(posthaste.NoticeCall) (json.RawMessage, error)) (posthaste.NoticeCall, error) {
	err := s.inTx(ctx, "accept notices", func(ctx context.Context, tx bun.Tx) error {
		now := time.Now().UTC().Truncate(time.Microsecond)
		repeated, err := addCall(ctx, tx, &call, now)
		if err != nil || repeated {
			return err
		}
		if err := s.findOrAddRecipients(ctx, tx, call.Notices, now); err != nil {
			return err
		}
		if err := addNotices(ctx, tx, &call, now); err != nil {
			return err
		}
		if err := appendAudit(ctx, tx, accepted(call)...); err != nil {
			return err
		}
		for i, f := range call.Files {
			if _, err := exec(ctx, tx, "INSERT INTO notice_files (call_id, number, name, content_type, content_id, content) VALUES (?, ?, ?, ?, ?, ?)",
				call.ID, i, f.Name, f.ContentType, f.ContentID, f.Content); err != nil {
				return err
			}
		}
		if call.Answer, err = answer(call); err != nil || call.Idempotency == "" {
			return err
		}
		_, err = exec(ctx, tx, "UPDATE notice_calls SET answer = ? WHERE id = ?", string(call.Answer), call.ID)
		return err
	})
	return call, err
}

// addCall gives the call its id, or reports that it was taken in before.
func addCall(ctx context.Context, tx bun.Tx, call *posthaste.NoticeCall, now time.Time) (repeated bool, err error) {
	// notice_calls_idempotency is the index of the conflict: the second of two
	// calls at once waits here for the first.
	err = tx.NewRaw(`INSERT INTO notice_calls (type_id, type_version, key_id, idempotency, body_hash, answer, data, forgotten, created_at)
		VALUES (?, ?, ?, ?, ?, '', ?, 0, ?) ON CONFLICT (key_id, idempotency) WHERE idempotency <> '' DO NOTHING RETURNING id`,
		call.Type.ID, call.Type.Version, call.KeyID, call.Idempotency, call.BodyHash, string(call.Data), micros(now)).Scan(ctx, &call.ID)
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	return true, findAnswer(ctx, tx, call)
}

// FindNoticeAnswer gives a call as AcceptNotices does that was taken in before
// with the same key and Idempotency, and any other as it is.
func (s *Store) FindNoticeAnswer(ctx context.Context, call posthaste.NoticeCall) (posthaste.NoticeCall, error) {
	err := findAnswer(ctx, s.db, &call)
	if errors.Is(err, sql.ErrNoRows) {
		return call, nil
	}
	return call, translate("find notice call", err)
}

func findAnswer(ctx context.Context, db bun.IDB, call *posthaste.NoticeCall) error {
	var hash []byte
	var given string
	if err := db.NewRaw("SELECT id, body_hash, answer FROM notice_calls WHERE key_id = ? AND idempotency = ? AND idempotency <> ''", call.KeyID, call.Idempotency).
		Scan(ctx, &call.ID, &hash, &given); err != nil {
		return err
	}
	if !bytes.Equal(hash, call.BodyHash) {
		return &posthaste.Error{Kind: posthaste.Conflict, Message: "this Idempotency-Key was used with another request",
			Fields: []posthaste.Field{{Name: "Idempotency-Key", Reason: "was used with another request"}}}
	}
	call.Answer, call.Repeated = json.RawMessage(given), true
	return nil
}

// findOrAddRecipients sets the RecipientID of each notice. One that exists stays as it is.
func (s *Store) findOrAddRecipients(ctx context.Context, tx bun.Tx, notices []posthaste.Notice, now time.Time) error {
	// In order, so that two calls with the same addresses do not wait for each other.
	sorted := slices.SortedFunc(slices.Values(notices), func(a, b posthaste.Notice) int { return cmp.Compare(a.Canonical, b.Canonical) })
	ids := make(map[string]int64, len(notices))
	for part := range slices.Chunk(sorted, noticeBatch) {
		rows := make([]bun.TupleValues, len(part))
		addresses := make([]string, len(part))
		for i, n := range part {
			rows[i] = bun.Tuple([]any{n.Email, n.Canonical, s.hash(n.Canonical), n.Name, n.Locale, "", "{}", micros(now), micros(now)})
			addresses[i] = n.Canonical
		}
		if _, err := exec(ctx, tx, `INSERT INTO recipients (email, canonical, address_hash, name, locale, time_zone, attributes, created_at, updated_at)
			VALUES ? ON CONFLICT (canonical) DO NOTHING`, bun.List(rows)); err != nil {
			return err
		}
		var found []struct {
			ID        int64
			Canonical string
		}
		if err := tx.NewRaw("SELECT id, canonical FROM recipients WHERE canonical IN (?)", bun.List(addresses)).Scan(ctx, &found); err != nil {
			return err
		}
		for _, f := range found {
			ids[f.Canonical] = f.ID
		}
	}
	for i := range notices {
		notices[i].RecipientID = ids[notices[i].Canonical]
	}
	return nil
}

// noticeBatch is the most notices of one statement.
const noticeBatch = 250

func addNotices(ctx context.Context, tx bun.Tx, call *posthaste.NoticeCall, now time.Time) error {
	for from := 0; from < len(call.Notices); from += noticeBatch {
		part := call.Notices[from:min(from+noticeBatch, len(call.Notices))]
		rows := make([]bun.TupleValues, len(part))
		for i := range part {
			n := &part[i]
			n.CallID, n.TypeID, n.TypeVersion, n.Type, n.State, n.Actor = call.ID, call.Type.ID, call.Type.Version, call.Type.Key, posthaste.NoticeQueued, call.Actor
			n.CreatedAt, n.ChangedAt, n.ValidUntil = now, now, call.ValidUntil
			metadata, err := attributesJSON(n.Metadata)
			if err != nil {
				return err
			}
			rows[i] = bun.Tuple([]any{call.ID, from + i, n.TypeID, n.TypeVersion, n.RecipientID, n.Name, n.Locale, string(n.Data), n.ExternalID, metadata,
				n.Actor, string(n.State), 0, "", 0, micros(n.ValidUntil), micros(now), "", 0, "", "", micros(now), micros(now)})
		}
		var added []struct{ ID, Number int64 }
		if err := tx.NewRaw(`INSERT INTO notices (call_id, number, type_id, type_version, recipient_id, name, locale, data, external_id, metadata,
			actor, state, attempts, owner, due_at, valid_until, published_at, stage, code, enhanced, reply, created_at, changed_at)
			VALUES ? RETURNING id, number`, bun.List(rows)).Scan(ctx, &added); err != nil {
			return err
		}
		for _, a := range added {
			call.Notices[a.Number].ID = a.ID
		}
	}
	return nil
}

func accepted(call posthaste.NoticeCall) []posthaste.AuditEntry {
	entries := make([]posthaste.AuditEntry, len(call.Notices))
	for i, n := range call.Notices {
		entries[i] = posthaste.AuditEntry{Actor: call.Actor, Action: "notice.accept", Object: noticeObject(n.ID), Reason: call.Type.Key,
			RequestID: call.RequestID, Metadata: n.Metadata}
	}
	return entries
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
		return posthaste.Notice{}, nil, translate("find notice", err)
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
		{f.State != "", " AND n.state = ?3"},                                                          // the primary key, backwards
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
