package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/web"
)

// paceMost is the most mails per hour that a pace can be.
const paceMost = 10_000_000

type segmentInput struct {
	Everybody  bool              `json:"everybody"`
	Topic      string            `json:"topic,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Locales    []string          `json:"locales,omitempty"`
}

type announcementView struct {
	ID          int64                   `json:"id"`
	Name        string                  `json:"name"`
	Type        string                  `json:"type"`
	Version     int64                   `json:"type_version"`
	Kind        posthaste.NoticeKind    `json:"kind"`
	Data        json.RawMessage         `json:"data"`
	Segment     segmentInput            `json:"segment"`
	PacePerHour int64                   `json:"pace_per_hour"` // 0: as fast as the next hop
	State       posthaste.CampaignState `json:"state"`
	SendAt      time.Time               `json:"send_at"`
	TimeZone    string                  `json:"time_zone"`
	Actor       string                  `json:"actor"`
	CreatedAt   time.Time               `json:"created_at"`
	FrozenAt    *time.Time              `json:"frozen_at"`
	EndedAt     *time.Time              `json:"ended_at"`
	Counts      *posthaste.Counts       `json:"counts,omitempty"` // once it is frozen
}

// announce orders a notice to everybody, or to a segment: one call, which goes on
// by itself. With dry_run it only counts.
func (a *API) announce(c echo.Context) error {
	k, dryRun, err := a.readAnnouncement(c)
	if err != nil {
		// It may have been right when it was made for the first time.
		before, findErr := a.store.FindOrder(c.Request().Context(), k.Announcement)
		if k.Announcement.Idempotency == "" || errors.Is(findErr, posthaste.NotFound) {
			return err
		}
		if findErr != nil {
			return findErr
		}
		return a.writeAnnouncement(c, http.StatusCreated, before)
	}
	if dryRun {
		if err := a.store.Audit(c.Request().Context(), "announcement.dry_run", "announcements"); err != nil {
			return err
		}
		audience, suppressed, err := a.store.CountAudience(c.Request().Context(), k)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]int64{"audience": audience, "suppressed": suppressed})
	}
	if k, err = a.store.AddAnnouncement(c.Request().Context(), k); err != nil {
		return err
	}
	return a.writeAnnouncement(c, http.StatusCreated, k)
}

// readAnnouncement reads and checks an order. What tells a repetition is in the
// result also when it is refused.
func (a *API) readAnnouncement(c echo.Context) (k posthaste.Campaign, dryRun bool, err error) {
	var in struct {
		Name     string          `json:"name"`
		Type     string          `json:"type"`
		Data     json.RawMessage `json:"data"`
		Segment  json.RawMessage `json:"segment"`
		Pace     int64           `json:"pace_per_hour"`
		At       string          `json:"at"`
		TimeZone string          `json:"time_zone"`
		DryRun   bool            `json:"dry_run"`
	}
	hash := sha256.New()
	c.Request().Body = io.NopCloser(io.TeeReader(c.Request().Body, hash))
	if err := read(c, &in); err != nil {
		return k, false, pointers(err)
	}
	order := posthaste.Announcement{Data: in.Data, Pace: in.Pace, Actor: web.OriginOf(c).Actor, BodyHash: hash.Sum(nil)}
	if len(order.Data) == 0 {
		order.Data = json.RawMessage("{}")
	}
	var f faults
	if key := c.Request().Header.Get("Idempotency-Key"); key != "" {
		f.idempotency(key)
		order.Idempotency = fmt.Sprintf("%d:%s", keyOf(c).ID, key)
	}
	k = posthaste.Campaign{Name: in.Name, Announcement: order}
	k.SendAt, k.TimeZone, err = instant(in.At, in.TimeZone, time.Now())
	f = append(f, posthaste.FieldsOf(pointers(err))...)
	f.line("/name", in.Name, true, nameLimit)
	if in.Pace < 0 || in.Pace > paceMost {
		f.add("/pace_per_hour", fmt.Sprintf("must be a whole number from 1 to %d, or 0 for no limit", paceMost))
	}
	var wanted segmentInput
	if len(in.Segment) > 0 {
		f = append(f, posthaste.FieldsOf(under("/segment", strictly(in.Segment, &wanted)))...)
	}
	segment, t, err := a.order(c, &f, wanted, in.Type)
	if err = errors.Join(err, f.err()); err != nil {
		return k, false, err
	}
	k.TopicID, k.From = posthaste.TypeAsTopic(t.ID), t.From
	k.Announcement.TypeVersion, k.Announcement.Kind, k.Announcement.Segment = t.Version, t.Kind, segment
	if err := a.notices.CheckAnnouncement(t, k.Announcement); err != nil {
		return k, false, err
	}
	return k, in.DryRun, a.composer.CheckSender()
}

// order reads whom an announcement is for, and of which type it is.
func (a *API) order(c echo.Context, f *faults, in segmentInput, key string) (g posthaste.Segment, t posthaste.NoticeType, err error) {
	some := in.Topic != "" || len(in.Attributes) > 0 || len(in.Locales) > 0
	if some == in.Everybody {
		f.add("/segment", `must be {"everybody": true}, or narrow it by topic, attributes or locales`)
	}
	g = posthaste.Segment{Attributes: in.Attributes, Locales: in.Locales}
	if in.Topic != "" {
		topic, err := a.topic(c, "/segment/topic", in.Topic)
		if err != nil && posthaste.FieldsOf(err) == nil {
			return g, t, err
		}
		*f = append(*f, posthaste.FieldsOf(err)...)
		g.TopicID = topic.ID
	}
	var own faults
	own.attributes(in.Attributes)
	for _, fault := range own {
		f.add("/segment/attributes", fault.Reason)
	}
	for i, locale := range in.Locales {
		f.locale(fmt.Sprintf("/segment/locales/%d", i), locale)
	}
	t, err = a.store.FindNoticeType(c.Request().Context(), key)
	if err != nil {
		f.add("/type", "must be the key of a notice type")
		return g, t, onlyTrouble(err)
	}
	if t.Format == posthaste.AsGiven {
		f.add("/type", "brings no text of its own, so it cannot be announced")
	}
	return g, t, nil
}

func (a *API) listAnnouncements(c echo.Context) error {
	before, limit, err := page(c)
	if err != nil {
		return err
	}
	found, err := a.store.ListAnnouncements(c.Request().Context(), before, limit+1)
	if err != nil {
		return err
	}
	view, err := a.announcementViewer(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, view, func(k posthaste.Campaign) int64 { return k.ID }))
}

// announcementViewer makes views that name types and topics by their keys.
func (a *API) announcementViewer(c echo.Context) (func(posthaste.Campaign) announcementView, error) {
	keys, err := a.noticeKeys(c)
	if err != nil {
		return nil, err
	}
	topics, err := a.topicKeys(c)
	return func(k posthaste.Campaign) announcementView { return viewAnnouncement(k, keys, topics) }, err
}

func viewAnnouncement(k posthaste.Campaign, keys, topics map[int64]string) announcementView {
	g := k.Announcement.Segment
	in := segmentInput{Topic: topics[g.TopicID], Attributes: g.Attributes, Locales: g.Locales}
	in.Everybody = g.TopicID == 0 && len(g.Attributes) == 0 && len(g.Locales) == 0
	return announcementView{ID: k.ID, Name: k.Name, Type: keys[posthaste.TypeAsTopic(k.TopicID)], Version: k.Announcement.TypeVersion, Kind: k.Announcement.Kind,
		Data: k.Announcement.Data, Segment: in, PacePerHour: k.Announcement.Pace, State: k.State, SendAt: k.SendAt, TimeZone: k.TimeZone,
		Actor: k.Announcement.Actor, CreatedAt: k.CreatedAt, FrozenAt: orNull(k.FrozenAt), EndedAt: orNull(k.EndedAt)}
}

func (a *API) writeAnnouncement(c echo.Context, status int, k posthaste.Campaign) error {
	view, err := a.announcementViewer(c)
	if err != nil {
		return err
	}
	v := view(k)
	if !k.FrozenAt.IsZero() {
		counts, err := a.store.CountDeliveries(c.Request().Context(), k.ID)
		if err != nil {
			return err
		}
		v.Counts = &counts
	}
	return c.JSON(status, v)
}

// noticeKeys gives the key of each notice type by id.
func (a *API) noticeKeys(c echo.Context) (map[int64]string, error) {
	types, err := a.store.ListNoticeTypes(c.Request().Context())
	keys := make(map[int64]string, len(types))
	for _, t := range types {
		keys[t.ID] = t.Key
	}
	return keys, err
}
