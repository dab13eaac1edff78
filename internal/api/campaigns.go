package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
)

// campaignInput is what a campaign is made or changed with; what is not given stays.
type campaignInput struct {
	Name      *string           `json:"name"`
	Topic     *string           `json:"topic"`
	From      *string           `json:"from"`
	ReplyTo   *string           `json:"reply_to"`
	Subject   *string           `json:"subject"`
	Preheader *string           `json:"preheader"`
	Format    *posthaste.Format `json:"format"`
	Body      *string           `json:"body"`
	Layout    *string           `json:"layout"`
	Tracking  *struct {
		Opens  *posthaste.TrackingMode `json:"opens"`
		Clicks *posthaste.TrackingMode `json:"clicks"`
	} `json:"tracking"`
	Version *int64 `json:"version"` // of the campaign that was read: guards against overwriting another's change
}

type campaignView struct {
	ID        int64                   `json:"id"`
	Name      string                  `json:"name"`
	Topic     string                  `json:"topic"`
	From      string                  `json:"from"`
	ReplyTo   string                  `json:"reply_to"`
	Subject   string                  `json:"subject"`
	Preheader string                  `json:"preheader"`
	Format    posthaste.Format        `json:"format"`
	Body      string                  `json:"body"`
	Layout    string                  `json:"layout"`
	Tracking  posthaste.Tracking      `json:"tracking"`
	State     posthaste.CampaignState `json:"state"`
	SendAt    *time.Time              `json:"send_at"`
	TimeZone  string                  `json:"time_zone"`
	Version   int64                   `json:"version"`
	CreatedAt time.Time               `json:"created_at"`
	UpdatedAt time.Time               `json:"updated_at"`
	FrozenAt  *time.Time              `json:"frozen_at"`
	EndedAt   *time.Time              `json:"ended_at"`
	Counts    *posthaste.Counts       `json:"counts,omitempty"`
	Hits      *posthaste.Hits         `json:"hits,omitempty"`
}

func viewCampaign(k posthaste.Campaign, topic string) campaignView {
	return campaignView{ID: k.ID, Name: k.Name, Topic: topic, From: k.From, ReplyTo: k.ReplyTo, Subject: k.Subject, Preheader: k.Preheader,
		Format: k.Format, Body: k.Body, Layout: k.Layout, Tracking: k.Tracking, State: k.State, SendAt: orNull(k.SendAt), TimeZone: k.TimeZone,
		Version: k.Version, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt, FrozenAt: orNull(k.FrozenAt), EndedAt: orNull(k.EndedAt)}
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *API) addCampaign(c echo.Context) error {
	draft := posthaste.Campaign{Format: posthaste.Markdown, Layout: "letter",
		Tracking: posthaste.Tracking{Opens: posthaste.TrackNone, Clicks: posthaste.TrackNone}}
	draft, err := a.edit(c, draft)
	if err != nil {
		return err
	}
	saved, err := a.store.AddCampaign(c.Request().Context(), draft)
	if err != nil {
		return err
	}
	return a.writeCampaign(c, http.StatusCreated, saved)
}

func (a *API) patchCampaign(c echo.Context) error {
	now, err := a.campaign(c)
	if err != nil {
		return err
	}
	if now.State != posthaste.Draft {
		return &posthaste.Error{Kind: posthaste.Conflict, Message: "the campaign is " + string(now.State) + "; only a draft can be changed"}
	}
	draft, err := a.edit(c, now)
	if err != nil {
		return err
	}
	saved, err := a.store.SaveCampaign(c.Request().Context(), draft)
	if err != nil {
		return err
	}
	return a.writeCampaign(c, http.StatusOK, saved)
}

// edit applies the request to a draft and checks the whole of it, the templates included.
func (a *API) edit(c echo.Context, draft posthaste.Campaign) (posthaste.Campaign, error) {
	var in campaignInput
	if err := read(c, &in); err != nil {
		return draft, err
	}
	set(&draft.Name, in.Name)
	set(&draft.From, in.From)
	set(&draft.ReplyTo, in.ReplyTo)
	set(&draft.Subject, in.Subject)
	set(&draft.Preheader, in.Preheader)
	set(&draft.Format, in.Format)
	set(&draft.Body, in.Body)
	set(&draft.Layout, in.Layout)
	set(&draft.Version, in.Version)
	if in.Tracking != nil {
		set(&draft.Tracking.Opens, in.Tracking.Opens)
		set(&draft.Tracking.Clicks, in.Tracking.Clicks)
	}
	var f faults
	switch {
	case in.Topic != nil:
		topic, err := a.topic(c, "topic", *in.Topic)
		if err != nil && posthaste.FieldsOf(err) == nil {
			return draft, err
		}
		f = append(f, posthaste.FieldsOf(err)...)
		draft.TopicID = topic.ID
	case draft.TopicID == 0:
		f.add("topic", "must be the key of a topic")
	}
	f.campaign(draft)
	if err := f.err(); err != nil {
		return draft, err
	}
	_, err := a.composer.Check(c.Request().Context(), draft)
	return draft, err
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func (f *faults) campaign(k posthaste.Campaign) {
	f.line("name", k.Name, true, nameLimit)
	f.line("subject", k.Subject, true, 1000)
	f.line("preheader", k.Preheader, false, 1000)
	f.mailbox("from", k.From)
	if k.ReplyTo != "" {
		f.mailbox("reply_to", k.ReplyTo)
	}
	f.oneOf("format", string(k.Format), string(posthaste.Markdown), string(posthaste.HTML))
	f.oneOf("tracking.opens", string(k.Tracking.Opens), texts(posthaste.TrackingModes)...)
	f.oneOf("tracking.clicks", string(k.Tracking.Clicks), texts(posthaste.TrackingModes)...)
	f.text("body", k.Body, bodyLimit)
	if k.Body == "" {
		f.add("body", "must not be empty")
	}
}

func (f *faults) mailbox(name, text string) {
	if _, err := address.ParseMailbox(text); err != nil {
		*f = append(*f, posthaste.FieldsAs(err, name)...)
	}
}

func (a *API) listCampaigns(c echo.Context) error {
	before, limit, err := page(c)
	if err != nil {
		return err
	}
	found, err := a.store.ListCampaigns(c.Request().Context(), before, limit+1)
	if err != nil {
		return err
	}
	keys, err := a.topicKeys(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, func(k posthaste.Campaign) campaignView { return viewCampaign(k, keys[k.TopicID]) },
		func(k posthaste.Campaign) int64 { return k.ID }))
}

// campaign finds the campaign, or the announcement, that the path names.
func (a *API) campaign(c echo.Context) (posthaste.Campaign, error) {
	name := "campaign"
	if c.Param("announcement") != "" {
		name = "announcement"
	}
	n, err := id(c, name)
	if err != nil {
		return posthaste.Campaign{}, err
	}
	k, err := a.store.FindCampaign(c.Request().Context(), n)
	if errors.Is(err, posthaste.NotFound) || err == nil && k.IsAnnouncement() != (name == "announcement") {
		err = &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such " + name}
	}
	return k, err
}

// showCampaign adds the ledger and the hits.
func (a *API) showCampaign(c echo.Context) error {
	k, err := a.campaign(c)
	if err != nil {
		return err
	}
	return a.writeCampaign(c, http.StatusOK, k)
}

func (a *API) writeCampaign(c echo.Context, status int, k posthaste.Campaign) error {
	ctx := c.Request().Context()
	if k.IsAnnouncement() {
		return a.writeAnnouncement(c, status, k)
	}
	topic, err := a.store.FindTopicByID(ctx, k.TopicID)
	if err != nil {
		return err
	}
	view := viewCampaign(k, topic.Key)
	if !k.FrozenAt.IsZero() {
		counts, err := a.store.CountDeliveries(ctx, k.ID)
		if err != nil {
			return err
		}
		view.Counts = &counts
		if k.Tracking.Individual() {
			hits, err := a.store.CountHits(ctx, k.ID)
			if err != nil {
				return err
			}
			view.Hits = &hits
		}
	}
	return c.JSON(status, view)
}

// move makes the handler of a step between states, and tells the workers.
func (a *API) move(step func(context.Context, int64) (posthaste.Campaign, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		k, err := a.campaign(c)
		if err != nil {
			return err
		}
		ctx := c.Request().Context()
		if k, err = step(ctx, k.ID); err != nil {
			return err
		}
		a.tellWorkers(ctx, k.ID, k.State)
		return a.writeCampaign(c, http.StatusOK, k)
	}
}

// tellWorkers tells the workers of a step that is committed. Without it they find
// out at their next claim, so that it fails is no fault of the step.
func (a *API) tellWorkers(ctx context.Context, id int64, state posthaste.CampaignState) {
	if err := a.workers.AnnounceState(ctx, id, state); err != nil {
		slog.Warn("workers not told of a step", "campaign", id, "state", state, "error", err)
	}
}
