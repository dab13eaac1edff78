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

type formRow struct {
	FormID, Version   int64
	Key, Title, Intro string
	Topics            string
	Measurement       int64
	PolicyURL         string `bun:"policy_url"`
	Policy            string
	Closed            int64
	Actor             string
	CreatedAt         int64
}

const formColumns = "v.form_id, v.version, f.key, v.title, v.intro, v.topics, v.measurement, v.policy_url, v.policy, v.closed, v.actor, v.created_at"

func (r formRow) form() (posthaste.Form, error) {
	f := posthaste.Form{ID: r.FormID, Version: r.Version, Key: r.Key, Title: r.Title, Intro: r.Intro, Measurement: r.Measurement != 0,
		PolicyURL: r.PolicyURL, Policy: r.Policy, Closed: r.Closed != 0, Actor: r.Actor, CreatedAt: instant(r.CreatedAt)}
	return f, json.Unmarshal([]byte(r.Topics), &f.Topics)
}

// AddForm stores the first version of a form; Conflict when the key is taken.
func (s *Store) AddForm(ctx context.Context, f posthaste.Form) (posthaste.Form, error) {
	err := s.inTx(ctx, "add form", func(ctx context.Context, tx bun.Tx) error {
		f.Version = 1
		if err := tx.NewRaw("INSERT INTO forms (key, version) VALUES (?, 1) RETURNING id", f.Key).Scan(ctx, &f.ID); err != nil {
			return err
		}
		return s.addFormVersion(ctx, tx, &f, "form.add")
	})
	if errors.Is(err, posthaste.Conflict) {
		err = &posthaste.Error{Kind: posthaste.Conflict, Message: "there is such a form already; PUT changes it", Err: err,
			Fields: []posthaste.Field{{Name: "key", Reason: "is taken"}}}
	}
	return f, err
}

// SaveForm stores a further version of the form of that key and makes it the
// current one; NotFound when there is none. Sign-ups keep the version, and
// consents the words, that they were made with.
func (s *Store) SaveForm(ctx context.Context, f posthaste.Form) (posthaste.Form, error) {
	err := s.inTx(ctx, "save form", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw("UPDATE forms SET version = version + 1 WHERE key = ? RETURNING id, version", f.Key).Scan(ctx, &f.ID, &f.Version); err != nil {
			return err
		}
		return s.addFormVersion(ctx, tx, &f, "form.change")
	})
	return f, noSuch(err, "form")
}

func (s *Store) addFormVersion(ctx context.Context, tx bun.Tx, f *posthaste.Form, action string) error {
	topics, err := json.Marshal(append([]int64{}, f.Topics...)) // [] rather than null
	if err != nil {
		return err
	}
	f.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if _, err := exec(ctx, tx, `INSERT INTO form_versions (form_id, version, title, intro, topics, measurement, policy_url, policy, closed, actor, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, f.ID, f.Version, f.Title, f.Intro, string(topics), number(f.Measurement), f.PolicyURL, f.Policy,
		number(f.Closed), f.Actor, micros(f.CreatedAt)); err != nil {
		return err
	}
	return s.appendAudit(ctx, tx, did(ctx, action, object("form", f.ID), "key", f.Key, "version", strconv.FormatInt(f.Version, 10)))
}

// number is how a truth is stored.
func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// FindForm gives the current version of the form of that key, or NotFound.
func (s *Store) FindForm(ctx context.Context, key string) (posthaste.Form, error) {
	return findForm(ctx, s.db, "f.key = ? AND v.version = f.version", key)
}

// FindFormVersion gives a version of the form of that key, or NotFound.
func (s *Store) FindFormVersion(ctx context.Context, key string, version int64) (posthaste.Form, error) {
	return findForm(ctx, s.db, "f.key = ? AND v.version = ?", key, version)
}

func findForm(ctx context.Context, db bun.IDB, where string, args ...any) (posthaste.Form, error) {
	var row formRow
	if err := db.NewRaw("SELECT "+formColumns+" FROM forms f JOIN form_versions v ON v.form_id = f.id WHERE "+where, args...).Scan(ctx, &row); err != nil {
		return posthaste.Form{}, noSuch(translate("find form", err), "form")
	}
	return row.form()
}

// ListForms gives the current version of each form by key; an operator has a few.
func (s *Store) ListForms(ctx context.Context) ([]posthaste.Form, error) {
	var rows []formRow
	if err := s.db.NewRaw("SELECT "+formColumns+" FROM forms f JOIN form_versions v ON v.form_id = f.id AND v.version = f.version ORDER BY f.key").Scan(ctx, &rows); err != nil {
		return nil, translate("list forms", err)
	}
	forms := make([]posthaste.Form, len(rows))
	for i, r := range rows {
		var err error
		if forms[i], err = r.form(); err != nil {
			return nil, err
		}
	}
	return forms, nil
}
