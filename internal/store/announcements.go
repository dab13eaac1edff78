package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

// pacedEvery is how often a paced announcement gets a chunk, at most.
const pacedEvery = 5 * time.Second

// AddAnnouncement stores an announcement, scheduled for c.SendAt. An order whose
// Idempotency was used before is given back as it stands, or is a Conflict if
// its body was another.
func (s *Store) AddAnnouncement(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error) {
	var row campaignRow
	a := c.Announcement
	segment, err := json.Marshal(a.Segment)
	if err != nil {
		return c, err
	}
	err = s.inTx(ctx, "add announcement", func(ctx context.Context, tx bun.Tx) error {
		now := micros(time.Now())
		err := tx.NewRaw(`INSERT INTO campaigns (name, topic_id, sender, reply_to, subject, preheader, format, body, layout,
			track_opens, track_clicks, state, send_at, time_zone, audience, version, created_at, updated_at, frozen_at, sending_since, ended_at,
			notice_version, notice_kind, data, segment, pace, actor, idempotency, body_hash)
			VALUES (?, ?, ?, '', '', '', '', '', '', ?, ?, ?, ?, ?, 0, 1, ?, ?, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (idempotency) WHERE idempotency <> '' DO NOTHING
			RETURNING `+campaignColumns,
			c.Name, c.TopicID, c.From, posthaste.TrackNone, posthaste.TrackNone, posthaste.Scheduled, micros(c.SendAt), c.TimeZone, now, now,
			a.TypeVersion, a.Kind, string(a.Data), string(segment), a.Pace, a.Actor, a.Idempotency, a.BodyHash).Scan(ctx, &row)
		if errors.Is(err, sql.ErrNoRows) {
			return sameOrder(ctx, tx, a, &row)
		}
		if err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "announcement.add", object("announcement", row.ID)))
	})
	return row.campaign(), err
}

// FindOrder gives the announcement of an order that is repeated, or NotFound;
// Conflict if its body was another.
func (s *Store) FindOrder(ctx context.Context, a posthaste.Announcement) (posthaste.Campaign, error) {
	var row campaignRow
	err := sameOrder(ctx, s.db, a, &row)
	return row.campaign(), translate("find announcement", err)
}

func sameOrder(ctx context.Context, db bun.IDB, a posthaste.Announcement, row *campaignRow) error {
	var hash []byte
	if err := db.NewRaw("SELECT body_hash FROM campaigns WHERE idempotency = ? AND idempotency <> ''", a.Idempotency).Scan(ctx, &hash); err != nil {
		return err
	}
	if !bytes.Equal(hash, a.BodyHash) {
		return otherRequest()
	}
	return db.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE idempotency = ?", a.Idempotency).Scan(ctx, row)
}

// ListAnnouncements gives up to limit announcements older than the id before,
// newest first; 0 starts with the newest.
func (s *Store) ListAnnouncements(ctx context.Context, before int64, limit int) ([]posthaste.Campaign, error) {
	var rows []campaignRow
	err := s.db.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE topic_id < 0 AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?",
		before, before, limit).Scan(ctx, &rows)
	return campaigns(rows), translate("list announcements", err)
}

// auditDespite notes, once each, that deliveries of a mandatory announcement go
// although their addresses are suppressed, and what demands it. They are of the
// window of one worker, so nobody else notes the same.
func (s *Store) auditDespite(ctx context.Context, campaignID int64, numbers []int64) error {
	objects := make([]string, len(numbers))
	for i, number := range numbers {
		objects[i] = fmt.Sprintf("announcement/%d/%d", campaignID, number)
	}
	return s.inTx(ctx, "audit announcement", func(ctx context.Context, tx bun.Tx) error {
		var noted []string
		if err := tx.NewRaw("SELECT object FROM audit WHERE object IN (?) AND action = ?", bun.List(objects), sentDespite).Scan(ctx, &noted); err != nil {
			return err
		}
		var because string
		if err := tx.NewRaw(`SELECT v.mandatory_reason FROM campaigns k JOIN notice_type_versions v ON v.type_id = -k.topic_id AND v.version = k.notice_version
			WHERE k.id = ?`, campaignID).Scan(ctx, &because); err != nil {
			return err
		}
		var entries []posthaste.AuditEntry
		for _, object := range objects {
			if !slices.Contains(noted, object) {
				entries = append(entries, didBy(posthaste.Origin{Actor: posthaste.BySystem, Reason: because}, sentDespite, object))
			}
		}
		return s.appendAudit(ctx, tx, entries...)
	})
}

// CountAudience tells how many recipients an announcement would have now, and
// how many of them would be suppressed.
func (s *Store) CountAudience(ctx context.Context, c posthaste.Campaign) (audience, suppressed int64, err error) {
	where, args := s.inSegment(c.Announcement.Segment)
	var row struct{ Audience, Suppressed int64 }
	err = s.db.NewRaw("SELECT count(*) AS audience, coalesce(sum(CASE WHEN "+stoppedBy+" THEN 1 ELSE 0 END), 0) AS suppressed FROM recipients r WHERE "+where,
		append([]any{c.TopicID}, args...)...).Scan(ctx, &row)
	if c.Announcement.Kind == posthaste.Mandatory {
		row.Suppressed = 0
	}
	return row.Audience, row.Suppressed, translate("count audience", err)
}

// stoppedBy tells whether a recipient r is suppressed for a topic, or for the topic that a notice type is.
const stoppedBy = "EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = r.address_hash AND x.topic_id IN (0, ?) AND x.reason <> 'erased')"

// inSegment gives the condition that a recipient r is in a segment.
func (s *Store) inSegment(g posthaste.Segment) (where string, args []any) {
	parts := []string{"r.stranger = 0"}
	if g.TopicID != 0 {
		parts = append(parts, "EXISTS (SELECT 1 FROM consent_states c WHERE c.recipient_id = r.id AND c.purpose = 'topic' AND c.topic_id = ? AND c.decision = 'given')")
		args = append(args, g.TopicID)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Attributes)) {
		if s.Single() {
			parts, args = append(parts, "json_extract(r.attributes, ?) = ?"), append(args, `$."`+name+`"`, g.Attributes[name])
		} else {
			parts, args = append(parts, "r.attributes ->> ? = ?"), append(args, name, g.Attributes[name])
		}
	}
	if len(g.Locales) > 0 {
		var any []string
		for _, locale := range g.Locales {
			any = append(any, "lower(r.locale) = ? OR lower(r.locale) LIKE ?")
			args = append(args, strings.ToLower(locale), strings.ToLower(locale)+"-%")
		}
		parts = append(parts, "("+strings.Join(any, " OR ")+")")
	}
	return strings.Join(parts, " AND "), args
}

// freezeAnnouncement fixes the audience of an announcement as Freeze does. The
// chunks of a paced one are as large as what may go within pacedEvery.
func (s *Store) freezeAnnouncement(ctx context.Context, tx bun.Tx, c posthaste.Campaign, now int64) error {
	where, args := s.inSegment(c.Announcement.Segment)
	state := "CASE WHEN " + stoppedBy + " THEN 'suppressed' ELSE 'queued' END"
	if c.Announcement.Kind == posthaste.Mandatory {
		state = "CASE WHEN ? <> 0 THEN 'queued' END"
	}
	audience, err := exec(ctx, tx, `INSERT INTO deliveries
		(campaign_id, number, recipient_id, state, attempts, retry_at, stage, code, enhanced, reply, changed_at)
		SELECT ?, row_number() OVER (ORDER BY r.id), r.id, `+state+`, 0, 0, '', 0, '', '', ? FROM recipients r WHERE `+where,
		append([]any{c.ID, c.TopicID, now}, args...)...)
	if err != nil {
		return err
	}
	size := min(max(audience/chunksAimedAt, smallestChunk), posthaste.ChunkSize)
	if pace := c.Announcement.Pace; pace > 0 {
		size = min(max(pace*int64(pacedEvery)/int64(time.Hour), 1), posthaste.ChunkSize)
	}
	return s.frozen(ctx, tx, c.ID, audience, size, now)
}

func readSegment(text string) (g posthaste.Segment) {
	_ = json.Unmarshal([]byte(text), &g) // written by AddAnnouncement
	return g
}
