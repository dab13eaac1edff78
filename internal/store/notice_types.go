package store

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type noticeTypeRow struct {
	TypeID, Version   int64
	Key, Name, Reason string
	Kind              posthaste.NoticeKind
	MandatoryReason   string
	Sender, ReplyTo   string
	Subject           string
	Format            posthaste.Format
	Body, Text        string
	Schema            string
	Validity          int64
	Keys              string
	Actor             string
	CreatedAt         int64
}

const noticeTypeColumns = `v.type_id, v.version, t.key, v.name, v.reason, v.kind, v.mandatory_reason, v.sender, v.reply_to, v.subject, v.format,
	v.body, v.text, v.schema, v.validity, v.keys, v.actor, v.created_at`

func (r noticeTypeRow) noticeType() (posthaste.NoticeType, error) {
	t := posthaste.NoticeType{ID: r.TypeID, Version: r.Version, Key: r.Key, Name: r.Name, Reason: r.Reason, Kind: r.Kind,
		MandatoryReason: r.MandatoryReason, From: r.Sender, ReplyTo: r.ReplyTo, Subject: r.Subject, Format: r.Format, Body: r.Body, Text: r.Text,
		Schema: json.RawMessage(r.Schema), Validity: time.Duration(r.Validity) * time.Microsecond, Actor: r.Actor, CreatedAt: instant(r.CreatedAt)}
	return t, json.Unmarshal([]byte(r.Keys), &t.Keys)
}

// AddNoticeType stores the first version of a type; Conflict when the key is taken.
func (s *Store) AddNoticeType(ctx context.Context, t posthaste.NoticeType) (posthaste.NoticeType, error) {
	err := s.inTx(ctx, "add notice type", func(ctx context.Context, tx bun.Tx) error {
		t.Version = 1
		if err := tx.NewRaw("INSERT INTO notice_types (key, version) VALUES (?, 1) RETURNING id", t.Key).Scan(ctx, &t.ID); err != nil {
			return err
		}
		return s.addTypeVersion(ctx, tx, &t, "notice_type.add")
	})
	if errors.Is(err, posthaste.Conflict) {
		err = &posthaste.Error{Kind: posthaste.Conflict, Message: "there is such a notice type already; PUT changes it", Err: err,
			Fields: []posthaste.Field{{Name: "key", Reason: "is taken"}}}
	}
	return t, err
}

// SaveNoticeType stores a further version of the type of that key and makes it
// the current one; NotFound when there is none, Conflict when its version is not
// t.Version any more. Notices that were taken in keep theirs.
func (s *Store) SaveNoticeType(ctx context.Context, t posthaste.NoticeType) (posthaste.NoticeType, error) {
	err := s.inTx(ctx, "save notice type", func(ctx context.Context, tx bun.Tx) error {
		var now int64
		if err := tx.NewRaw("SELECT id, version FROM notice_types WHERE key = ?"+s.pick(" FOR UPDATE", ""), t.Key).Scan(ctx, &t.ID, &now); err != nil {
			return err
		}
		if now != t.Version {
			return conflict("the notice type was changed meanwhile: it is at version %d", now)
		}
		t.Version++
		if _, err := exec(ctx, tx, "UPDATE notice_types SET version = ? WHERE id = ?", t.Version, t.ID); err != nil {
			return err
		}
		return s.addTypeVersion(ctx, tx, &t, "notice_type.change")
	})
	return t, err
}

func (s *Store) addTypeVersion(ctx context.Context, tx bun.Tx, t *posthaste.NoticeType, action string) error {
	keys, err := json.Marshal(append([]string{}, t.Keys...)) // [] rather than null
	if err != nil {
		return err
	}
	t.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if _, err := exec(ctx, tx, `INSERT INTO notice_type_versions (type_id, version, name, reason, kind, mandatory_reason, sender, reply_to, subject,
		format, body, text, schema, validity, keys, actor, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Version, t.Name, t.Reason, t.Kind, t.MandatoryReason, t.From, t.ReplyTo, t.Subject, t.Format, t.Body, t.Text, string(t.Schema),
		t.Validity.Microseconds(), string(keys), t.Actor, micros(t.CreatedAt)); err != nil {
		return err
	}
	return s.appendAudit(ctx, tx, did(ctx, action, object("notice_type", t.ID), "key", t.Key, "version", strconv.FormatInt(t.Version, 10)))
}

// FindNoticeType gives the current version of the type of that key, or NotFound.
func (s *Store) FindNoticeType(ctx context.Context, key string) (posthaste.NoticeType, error) {
	return s.findNoticeType(ctx, "t.key = ? AND v.version = t.version", key)
}

const findTypeVersion = "SELECT id, version FROM notice_types WHERE key = ?1"

// FindNoticeVersion gives the id and the current version of the type of that key, or NotFound.
func (s *Store) FindNoticeVersion(ctx context.Context, key string) (id, version int64, err error) {
	if err := s.prepare(ctx); err != nil {
		return 0, 0, err
	}
	err = s.hot.notices.find.QueryRowContext(ctx, key).Scan(&id, &version)
	return id, version, translate("find notice type", err)
}

// FindNoticeTypeByID gives the current version of the type of that id, or NotFound.
func (s *Store) FindNoticeTypeByID(ctx context.Context, id int64) (posthaste.NoticeType, error) {
	return s.findNoticeType(ctx, "t.id = ? AND v.version = t.version", id)
}

// FindNoticeTypeVersion gives one version of a type, which never changes, or NotFound.
func (s *Store) FindNoticeTypeVersion(ctx context.Context, id, version int64) (posthaste.NoticeType, error) {
	return s.findNoticeType(ctx, "t.id = ? AND v.version = ?", id, version)
}

func (s *Store) findNoticeType(ctx context.Context, where string, args ...any) (posthaste.NoticeType, error) {
	var row noticeTypeRow
	if err := s.db.NewRaw("SELECT "+noticeTypeColumns+" FROM notice_types t JOIN notice_type_versions v ON v.type_id = t.id WHERE "+where, args...).
		Scan(ctx, &row); err != nil {
		return posthaste.NoticeType{}, translate("find notice type", err)
	}
	return row.noticeType()
}

// ListNoticeTypes gives the current version of each type by key; an operator has tens of them.
func (s *Store) ListNoticeTypes(ctx context.Context) ([]posthaste.NoticeType, error) {
	var rows []noticeTypeRow
	if err := s.db.NewRaw("SELECT "+noticeTypeColumns+` FROM notice_types t JOIN notice_type_versions v ON v.type_id = t.id AND v.version = t.version
		ORDER BY t.key`).Scan(ctx, &rows); err != nil {
		return nil, translate("list notice types", err)
	}
	types := make([]posthaste.NoticeType, len(rows))
	for i, r := range rows {
		var err error
		if types[i], err = r.noticeType(); err != nil {
			return nil, err
		}
	}
	return types, nil
}
