package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

const (
	// oldSecretLife is how long the secret before a rotation signs too.
	oldSecretLife = 24 * time.Hour
	// webhooksMost is the most webhooks of an installation.
	webhooksMost = 50
)

type webhookView struct {
	ID         int64                 `json:"id"`
	URL        string                `json:"url"`
	Events     []posthaste.EventName `json:"events"`
	Secret     string                `json:"secret,omitempty"` // shown when it is made
	OldUntil   *time.Time            `json:"old_secret_until"`
	Disabled   bool                  `json:"disabled"`
	DisabledAt *time.Time            `json:"disabled_at"`
	CreatedAt  time.Time             `json:"created_at"`
}

func viewWebhook(w posthaste.Webhook) webhookView {
	return webhookView{ID: w.ID, URL: w.URL, Events: w.Events, OldUntil: orNull(w.OldUntil), Disabled: !w.DisabledAt.IsZero(), DisabledAt: orNull(w.DisabledAt), CreatedAt: w.CreatedAt}
}

func (a *API) writeSecret(c echo.Context, status int, w posthaste.Webhook) error {
	view := viewWebhook(w)
	view.Secret = a.webhooks.Secret(w)
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(status, view)
}

func (a *API) checkWebhook(w posthaste.Webhook) error {
	var f faults
	f = append(f, posthaste.FieldsOf(a.webhooks.CheckURL(w.URL))...)
	if len(w.Events) == 0 {
		f.add("events", "must name at least one event")
	}
	var names []string
	for _, e := range posthaste.EventNames {
		names = append(names, string(e))
	}
	for _, e := range w.Events {
		f.oneOf("events", string(e), names...)
	}
	return f.err()
}

func (a *API) addWebhook(c echo.Context) error {
	var in struct {
		URL    string                `json:"url"`
		Events []posthaste.EventName `json:"events"`
	}
	if err := read(c, &in); err != nil {
		return err
	}
	w := posthaste.Webhook{URL: in.URL, Events: slices.Compact(slices.Sorted(slices.Values(in.Events)))}
	if err := a.checkWebhook(w); err != nil {
		return err
	}
	known, err := a.webhooks.ListWebhooks(c.Request().Context())
	if err != nil {
		return err
	}
	if len(known) >= webhooksMost {
		return &posthaste.Error{Kind: posthaste.Conflict, Message: "there are as many webhooks as there can be"}
	}
	if w, err = a.webhooks.AddWebhook(c.Request().Context(), w); err != nil {
		return err
	}
	return a.writeSecret(c, http.StatusCreated, w)
}

// webhook finds the one that the path names.
func (a *API) webhook(c echo.Context) (posthaste.Webhook, error) {
	missing := &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such webhook"}
	number, err := id(c, "webhook")
	if err != nil {
		return posthaste.Webhook{}, err
	}
	known, err := a.webhooks.ListWebhooks(c.Request().Context())
	if err != nil {
		return posthaste.Webhook{}, err
	}
	at := slices.IndexFunc(known, func(w posthaste.Webhook) bool { return w.ID == number })
	if at < 0 {
		return posthaste.Webhook{}, missing
	}
	return known[at], nil
}

func (a *API) listWebhooks(c echo.Context) error {
	known, err := a.webhooks.ListWebhooks(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(known, len(known), viewWebhook, func(w posthaste.Webhook) int64 { return w.ID }))
}

func (a *API) showWebhook(c echo.Context) error {
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewWebhook(w))
}

func (a *API) patchWebhook(c echo.Context) error {
	var in struct {
		URL      *string                `json:"url"`
		Events   *[]posthaste.EventName `json:"events"`
		Disabled *bool                  `json:"disabled"`
	}
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return err
	}
	set(&w.URL, in.URL)
	if in.Events != nil {
		w.Events = slices.Compact(slices.Sorted(slices.Values(*in.Events)))
	}
	switch {
	case in.Disabled == nil:
	case !*in.Disabled:
		w.DisabledAt = time.Time{}
	case w.DisabledAt.IsZero():
		w.DisabledAt = time.Now()
	}
	if err := a.checkWebhook(w); err != nil {
		return err
	}
	if w, err = a.webhooks.SaveWebhook(c.Request().Context(), w); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewWebhook(w))
}

func (a *API) deleteWebhook(c echo.Context) error {
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	if err := a.webhooks.DeleteWebhook(c.Request().Context(), w.ID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// rotateWebhook makes a new secret; both sign for a day.
func (a *API) rotateWebhook(c echo.Context) error {
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	if w, err = a.webhooks.RotateWebhook(c.Request().Context(), w.ID, time.Now().Add(oldSecretLife)); err != nil {
		return err
	}
	return a.writeSecret(c, http.StatusOK, w)
}

type webhookMessageView struct {
	ID        int64                  `json:"id"`
	MessageID string                 `json:"message_id"` // webhook-id
	Event     posthaste.EventName    `json:"event"`
	Data      json.RawMessage        `json:"data"`
	State     posthaste.WebhookState `json:"state"`
	Attempts  int                    `json:"attempts"` // since it was made or replayed
	Status    int                    `json:"status,omitempty"`
	Fault     string                 `json:"fault,omitempty"`
	DueAt     *time.Time             `json:"due_at,omitempty"` // while it waits
	CreatedAt time.Time              `json:"created_at"`
}

func viewWebhookMessage(m posthaste.WebhookMessage) webhookMessageView {
	v := webhookMessageView{ID: m.ID, MessageID: m.MessageID, Event: m.Event, Data: m.Data, State: m.State, Attempts: m.Attempts, Status: m.Status, Fault: m.Fault, CreatedAt: m.CreatedAt}
	if m.State == posthaste.WebhookWaiting {
		v.DueAt = orNull(m.DueAt)
	}
	return v
}

// listWebhookMessages shows what a webhook was told; with state=dead, what it never took.
func (a *API) listWebhookMessages(c echo.Context) error {
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	before, limit, err := page(c, "state")
	if err != nil {
		return err
	}
	state := c.QueryParam("state")
	if state != "" {
		var f faults
		f.oneOf("state", state, string(posthaste.WebhookWaiting), string(posthaste.WebhookDelivered), string(posthaste.WebhookDead))
		if err := f.err(); err != nil {
			return err
		}
	}
	found, err := a.webhooks.ListWebhookMessages(c.Request().Context(), w.ID, posthaste.WebhookState(state), before, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, viewWebhookMessage, func(m posthaste.WebhookMessage) int64 { return m.ID }))
}

// replayWebhook sends dead messages again: the one that the path names, or all.
func (a *API) replayWebhook(c echo.Context) error {
	w, err := a.webhook(c)
	if err != nil {
		return err
	}
	var message int64
	if c.Param("message") != "" {
		if message, err = id(c, "message"); err != nil {
			return err
		}
	}
	replayed, err := a.webhooks.ReplayWebhook(c.Request().Context(), w.ID, message)
	if err != nil {
		return err
	}
	if message != 0 && replayed == 0 {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "the webhook has no dead message of that id"}
	}
	return c.JSON(http.StatusOK, map[string]int64{"replayed": replayed})
}
