package store

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"posthaste"
)

type campaignRow struct {
	ID, TopicID                               int64
	Name, Sender, ReplyTo, Subject, Preheader string
	Format                                    posthaste.Format
	Body, Layout                              string
	TrackOpens, TrackClicks                   posthaste.TrackingMode
	State                                     posthaste.CampaignState
	SendAt                                    int64
	TimeZone                                  string
	Audience, Version                         int64
	CreatedAt, UpdatedAt                      int64
	FrozenAt, SendingSince, EndedAt           int64
	NoticeVersion                             int64
	NoticeKind                                posthaste.NoticeKind
	Data, Segment, Actor                      string
	Pace                                      int64
}

const campaignColumns = `id, topic_id, name, sender, reply_to, subject, preheader, format, body, layout, track_opens, track_clicks,
	state, send_at, time_zone, audience, version, created_at, updated_at, frozen_at, sending_since, ended_at,
	notice_version, notice_kind, data, segment, actor, pace`

func (r campaignRow) campaign() posthaste.Campaign {
	c := posthaste.Campaign{
		ID: r.ID, Name: r.Name, TopicID: r.TopicID, From: r.Sender, ReplyTo: r.ReplyTo, Subject: r.Subject, Preheader: r.Preheader,
		Format: r.Format, Body: r.Body, Layout: r.Layout, Tracking: posthaste.Tracking{Opens: r.TrackOpens, Clicks: r.TrackClicks},
		State: r.State, SendAt: instant(r.SendAt), TimeZone: r.TimeZone, Audience: r.Audience, Version: r.Version,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), FrozenAt: instant(r.FrozenAt),
		SendingSince: instant(r.SendingSince), EndedAt: instant(r.EndedAt),
	}
	if c.IsAnnouncement() {
		c.Announcement = posthaste.Announcement{TypeVersion: r.NoticeVersion, Kind: r.NoticeKind, Data: json.RawMessage(r.Data), Actor: r.Actor, Pace: r.Pace,
			Segment: readSegment(r.Segment)}
	}
	return c
}

// AddCampaign stores a draft and gives it its id.
func (s *Store) AddCampaign(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error) {
	now := micros(time.Now())
	var row campaignRow
	err := s.inTx(ctx, "add campaign", func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewRaw(`INSERT INTO campaigns (name, topic_id, sender, reply_to, subject, preheader, format, body, layout,
			track_opens, track_clicks, state, send_at, time_zone, audience, version, created_at, updated_at, frozen_at, sending_since, ended_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, 1, ?, ?, 0, 0, 0) RETURNING `+campaignColumns,
			c.Name, c.TopicID, c.From, c.ReplyTo, c.Subject, c.Preheader, c.Format, c.Body, c.Layout,
			c.Tracking.Opens, c.Tracking.Clicks, posthaste.Draft, now, now).Scan(ctx, &row); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "campaign.add", object("campaign", row.ID)))
	})
	return row.campaign(), err
}

// SaveCampaign writes the content of a draft. Conflict when it is no draft any
// more, or when its version is not c.Version: somebody else saved in between.
func (s *Store) SaveCampaign(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error) {
	var row campaignRow
	err := s.inTx(ctx, "save campaign", func(ctx context.Context, tx bun.Tx) error {
		now, err := s.lockCampaign(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		if now.State != posthaste.Draft {
			return conflict("the campaign is %s; only a draft can be changed", now.State)
		}
		if now.Version != c.Version {
			return conflict("the campaign was changed meanwhile: it is at version %d", now.Version)
		}
		if err := tx.NewRaw(`UPDATE campaigns SET name = ?, topic_id = ?, sender = ?, reply_to = ?, subject = ?, preheader = ?, format = ?,
			body = ?, layout = ?, track_opens = ?, track_clicks = ?, version = version + 1, updated_at = ? WHERE id = ? RETURNING `+campaignColumns,
			c.Name, c.TopicID, c.From, c.ReplyTo, c.Subject, c.Preheader, c.Format, c.Body, c.Layout,
			c.Tracking.Opens, c.Tracking.Clicks, micros(time.Now()), c.ID).Scan(ctx, &row); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, "campaign.change", object("campaign", c.ID), "version", strconv.FormatInt(row.Version, 10)))
	})
	return row.campaign(), err
}

// FindCampaign gives the campaign of that id, or NotFound.
func (s *Store) FindCampaign(ctx context.Context, id int64) (posthaste.Campaign, error) {
	var row campaignRow
	err := s.db.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE id = ?", id).Scan(ctx, &row)
	return row.campaign(), translate("find campaign", err)
}

// ListCampaigns gives up to limit campaigns, without announcements, older than the id before, newest
// first; 0 starts with the newest.
func (s *Store) ListCampaigns(ctx context.Context, before int64, limit int) ([]posthaste.Campaign, error) {
	var rows []campaignRow
	err := s.db.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE topic_id > 0 AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?",
		before, before, limit).Scan(ctx, &rows)
	return campaigns(rows), translate("list campaigns", err)
}

func campaigns(rows []campaignRow) []posthaste.Campaign {
	out := make([]posthaste.Campaign, len(rows))
	for i, r := range rows {
		out[i] = r.campaign()
	}
	return out
}

// lockCampaign reads a campaign so that its state cannot change before the transaction ends.
func (s *Store) lockCampaign(ctx context.Context, tx bun.Tx, id int64) (posthaste.Campaign, error) {
	var row campaignRow
	err := tx.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE id = ?"+s.pick(" FOR UPDATE", ""), id).Scan(ctx, &row)
	return row.campaign(), translate("find campaign", err)
}

// Schedule fixes a draft's links and sets it to be frozen at an instant.
// version is that of the content whose links these are.
func (s *Store) Schedule(ctx context.Context, id, version int64, at time.Time, timeZone string, links []string) (posthaste.Campaign, error) {
	return s.become(ctx, id, "schedule", posthaste.Scheduled, func(ctx context.Context, tx bun.Tx, now posthaste.Campaign) error {
		if now.Version != version {
			return conflict("the campaign was changed meanwhile: it is at version %d", now.Version)
		}
		if _, err := exec(ctx, tx, "DELETE FROM links WHERE campaign_id = ?", id); err != nil {
			return err
		}
		for i, link := range links {
			if _, err := exec(ctx, tx, "INSERT INTO links (campaign_id, number, url) VALUES (?, ?, ?)", id, i+1, link); err != nil {
				return err
			}
		}
		_, err := exec(ctx, tx, "UPDATE campaigns SET send_at = ?, time_zone = ? WHERE id = ?", micros(at), timeZone, id)
		return err
	})
}

// Unschedule takes a scheduled campaign back to a draft.
func (s *Store) Unschedule(ctx context.Context, id int64) (posthaste.Campaign, error) {
	return s.become(ctx, id, "unschedule", posthaste.Draft, func(ctx context.Context, tx bun.Tx, _ posthaste.Campaign) error {
		_, err := exec(ctx, tx, "UPDATE campaigns SET send_at = 0, time_zone = '' WHERE id = ?", id)
		return err
	})
}

// Pause stops further claims. Windows that are open run to their end.
func (s *Store) Pause(ctx context.Context, id int64) (posthaste.Campaign, error) {
	return s.become(ctx, id, "pause", posthaste.Paused, nil)
}

// Resume lets claims go on; retries get their full time again.
func (s *Store) Resume(ctx context.Context, id int64) (posthaste.Campaign, error) {
	return s.become(ctx, id, "resume", posthaste.Sending, func(ctx context.Context, tx bun.Tx, c posthaste.Campaign) error {
		if c.State != posthaste.Paused {
			return conflict("the %s is %s, not paused", c.Word(), c.State)
		}
		if _, err := exec(ctx, tx, "UPDATE campaigns SET sending_since = ? WHERE id = ?", micros(time.Now()), id); err != nil {
			return err
		}
		_, err := exec(ctx, tx, "UPDATE chunks SET published_at = 0 WHERE campaign_id = ? AND done = 0 AND owner = ''", id)
		return err
	})
}

// Cancel ends a campaign; what no window covers is cancelled at once, the rest
// when its worker lets go of it.
func (s *Store) Cancel(ctx context.Context, id int64) (posthaste.Campaign, error) {
	return s.become(ctx, id, "cancel", posthaste.CampaignCancelled, func(ctx context.Context, tx bun.Tx, _ posthaste.Campaign) error {
		if _, err := exec(ctx, tx, "UPDATE campaigns SET ended_at = ? WHERE id = ?", micros(time.Now()), id); err != nil {
			return err
		}
		return cancelOpen(ctx, tx, id)
	})
}

// become moves a campaign to its next state, with what else belongs to that step.
// verb is what the audit log calls it.
func (s *Store) become(ctx context.Context, id int64, verb string, next posthaste.CampaignState,
	also func(context.Context, bun.Tx, posthaste.Campaign) error) (posthaste.Campaign, error) {
	var row campaignRow
	err := s.inTx(ctx, "set campaign "+string(next), func(ctx context.Context, tx bun.Tx) error {
		now, err := s.lockCampaign(ctx, tx, id)
		if err != nil {
			return err
		}
		if !now.State.CanBecome(next) {
			return conflict("the %s is %s and cannot become %s", now.Word(), now.State, next)
		}
		if _, err := exec(ctx, tx, "UPDATE campaigns SET state = ?, version = version + 1, updated_at = ? WHERE id = ?",
			next, micros(time.Now()), id); err != nil {
			return err
		}
		if also != nil {
			if err := also(ctx, tx, now); err != nil {
				return err
			}
		}
		if err := tx.NewRaw("SELECT "+campaignColumns+" FROM campaigns WHERE id = ?", id).Scan(ctx, &row); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, did(ctx, now.Word()+"."+verb, object(now.Word(), id)))
	})
	return row.campaign(), err
}

// ListLinks gives a campaign's click destinations; a redirect's number is the index plus one.
func (s *Store) ListLinks(ctx context.Context, campaignID int64) ([]string, error) {
	var links []string
	err := s.db.NewRaw("SELECT url FROM links WHERE campaign_id = ? ORDER BY number", campaignID).Scan(ctx, &links)
	return links, translate("list links", err)
}

// ListLinksSince gives the click destinations of up to limit campaigns that were
// frozen after an instant, in the order of that.
func (s *Store) ListLinksSince(ctx context.Context, frozen time.Time, limit int) ([]posthaste.CampaignLinks, error) {
	var rows []struct {
		ID, FrozenAt int64
		URL          string
	}
	err := s.db.NewRaw(`SELECT k.id, k.frozen_at, l.url FROM (SELECT id, frozen_at FROM campaigns c WHERE frozen_at > 0 AND frozen_at > ?
		AND EXISTS (SELECT 1 FROM links WHERE campaign_id = c.id) ORDER BY frozen_at, id LIMIT ?) k
		JOIN links l ON l.campaign_id = k.id ORDER BY k.frozen_at, k.id, l.number`, micros(frozen), limit).Scan(ctx, &rows)
	var found []posthaste.CampaignLinks
	for _, r := range rows {
		if n := len(found); n == 0 || found[n-1].CampaignID != r.ID {
			found = append(found, posthaste.CampaignLinks{CampaignID: r.ID, FrozenAt: instant(r.FrozenAt)})
		}
		last := &found[len(found)-1]
		last.URLs = append(last.URLs, r.URL)
	}
	return found, translate("list links", err)
}
