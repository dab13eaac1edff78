package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type recipientRow struct {
	ID         int64
	Email      string
	Name       string
	Locale     string
	TimeZone   string
	Attributes []byte
	CreatedAt  int64
	UpdatedAt  int64
}

const recipientColumns = "id, email, name, locale, time_zone, attributes, created_at, updated_at"

func (r recipientRow) recipient() (posthaste.Recipient, error) {
	out := posthaste.Recipient{ID: r.ID, Email: r.Email, Name: r.Name, Locale: r.Locale, TimeZone: r.TimeZone,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)}
	if len(r.Attributes) > 2 { // more than {}
		if err := json.Unmarshal(r.Attributes, &out.Attributes); err != nil {
			return out, err
		}
	}
	return out, nil
}

// FindRecipient gives the recipient of that id, or NotFound.
func (s *Store) FindRecipient(ctx context.Context, id int64) (posthaste.Recipient, error) {
	return s.findRecipient(ctx, "id = ?", id)
}

// FindRecipientByAddress gives the recipient of that canonical address, or NotFound.
func (s *Store) FindRecipientByAddress(ctx context.Context, canonical string) (posthaste.Recipient, error) {
	return s.findRecipient(ctx, "canonical = ?", canonical)
}

func (s *Store) findRecipient(ctx context.Context, where string, arg any) (posthaste.Recipient, error) {
	r, err := findRecipient(ctx, s.db, where, arg)
	return r, translate("find recipient", err)
}

func findRecipient(ctx context.Context, db bun.IDB, where string, arg any) (posthaste.Recipient, error) {
	var row recipientRow
	if err := db.NewRaw("SELECT "+recipientColumns+" FROM recipients WHERE "+where, arg).Scan(ctx, &row); err != nil {
		return posthaste.Recipient{}, err
	}
	return row.recipient()
}

// PutRecipient adds the recipient of that canonical address or replaces what is
// known of it, and tells whether it is new. It touches no consent.
func (s *Store) PutRecipient(ctx context.Context, r posthaste.Recipient, canonical string) (posthaste.Recipient, bool, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	attributes, err := attributesJSON(r.Attributes)
	if err != nil {
		return r, false, err
	}
	var row struct {
		ID        int64
		CreatedAt int64
	}
	err = s.inTx(ctx, "put recipient", func(ctx context.Context, tx bun.Tx) error {
		if err := addAttributeNames(ctx, tx, slices.Collect(maps.Keys(r.Attributes))); err != nil {
			return err
		}
		before, err := findRecipient(ctx, tx, "canonical = ?", canonical)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := tx.NewRaw(`INSERT INTO recipients (email, canonical, address_hash, key_id, name, locale, time_zone, attributes, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (canonical) DO UPDATE SET email = excluded.email, name = excluded.name, locale = excluded.locale,
				time_zone = excluded.time_zone, attributes = excluded.attributes, updated_at = excluded.updated_at, stranger = 0
			RETURNING id, created_at`,
			r.Email, canonical, s.keys.HashAddress(canonical), s.keys.AddressKey(), r.Name, r.Locale, r.TimeZone, attributes, micros(now), micros(now)).Scan(ctx, &row); err != nil {
			return err
		}
		if row.CreatedAt == micros(now) {
			if err := s.carryOver(ctx, tx, canonical); err != nil {
				return err
			}
			return s.appendAudit(ctx, tx, did(ctx, "recipient.add", object("recipient", row.ID)))
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.change", object("recipient", row.ID), "fields", strings.Join(before.Differs(r), " ")))
	})
	r.ID, r.CreatedAt, r.UpdatedAt = row.ID, instant(row.CreatedAt), now
	return r, row.CreatedAt == micros(now), err
}

// SetLocale notes in which language a recipient wants pages and mails.
func (s *Store) SetLocale(ctx context.Context, recipientID int64, locale string) error {
	return s.inTx(ctx, "set locale", func(ctx context.Context, tx bun.Tx) error {
		changed, err := exec(ctx, tx, "UPDATE recipients SET locale = ?0, updated_at = ?1 WHERE id = ?2 AND locale <> ?0", locale, micros(time.Now()), recipientID)
		if err != nil || changed == 0 {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "recipient.change", object("recipient", recipientID), "fields", "locale"))
	})
}

// ListAttributes gives the names of all attributes that recipients have: what a template may use.
func (s *Store) ListAttributes(ctx context.Context) ([]string, error) {
	var names []string
	err := s.db.NewRaw("SELECT name FROM attribute_names ORDER BY name").Scan(ctx, &names)
	return names, translate("list attributes", err)
}

func addAttributeNames(ctx context.Context, tx bun.IDB, names []string) error {
	for _, name := range names { // at most 100 columns, known ones after the first import
		if _, err := tx.NewRaw("INSERT INTO attribute_names (name) VALUES (?) ON CONFLICT DO NOTHING", name).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func attributesJSON(attributes map[string]string) (string, error) {
	if len(attributes) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(attributes)
	return string(text), err
}
