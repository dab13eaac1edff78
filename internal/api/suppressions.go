package api

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/web"
)

type suppressionView struct {
	ID          int64            `json:"id"`
	AddressHash string           `json:"address_hash"` // no address: it outlives the recipient's data
	Scope       string           `json:"scope"`        // "all", or a topic's key
	Reason      posthaste.Reason `json:"reason"`
	Evidence    string           `json:"evidence,omitempty"`
	Actor       string           `json:"actor,omitempty"`
	CreatedAt   time.Time        `json:"created_at"`
	Liftable    bool             `json:"liftable"`
}

// scopeAll is the scope of a suppression of every mailing; no topic has it as its key.
const scopeAll = "all"

func (a *API) suppress(c echo.Context) error {
	var in struct {
		Email    string           `json:"email"`
		Scope    string           `json:"scope"`
		Reason   posthaste.Reason `json:"reason"`
		Evidence string           `json:"evidence"`
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	addr, bad := address.Parse(in.Email)
	f = append(f, posthaste.FieldsAs(bad, "email")...)
	f.text("evidence", in.Evidence, 2000)
	if in.Reason == "" {
		in.Reason = posthaste.Manual
	}
	// What recipients said on the telephone is theirs to take back, as if they had clicked.
	f.oneOf("reason", string(in.Reason), string(posthaste.Manual), string(posthaste.OptedOut))
	topicID, key, err := a.scope(c, in.Scope)
	if err != nil && posthaste.FieldsOf(err) == nil {
		return err // no topic is not every topic
	}
	f = append(f, posthaste.FieldsOf(err)...)
	if err := f.err(); err != nil {
		return err
	}
	x, err := a.suppressAddress(c, addr, posthaste.ByAPI, posthaste.Suppression{TopicID: topicID, Reason: in.Reason, Evidence: in.Evidence, Actor: web.OriginOf(c).Actor})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, viewSuppression(x, map[int64]string{topicID: key}))
}

// suppressAddress adds a suppression, which has taken effect once it returns.
func (a *API) suppressAddress(c echo.Context, addr address.Address, by posthaste.Channel, x posthaste.Suppression) (posthaste.Suppression, error) {
	x, err := a.store.Suppress(c.Request().Context(), addr.Canonical(), x)
	if err != nil {
		return x, err
	}
	return x, a.tell(c, addr.Canonical(), by, x)
}

// scopeOfType begins the scope of an optional notice type.
const scopeOfType = "notice-type:"

// scope reads what a suppression covers: everything, a topic, or an optional notice type.
func (a *API) scope(c echo.Context, text string) (topicID int64, key string, err error) {
	if text == "" || text == scopeAll {
		return posthaste.AllTopics, scopeAll, nil
	}
	typeKey, ofType := strings.CutPrefix(text, scopeOfType)
	if !ofType {
		topic, err := a.topic(c, "scope", text)
		return topic.ID, topic.Key, err
	}
	t, err := a.store.FindNoticeType(c.Request().Context(), typeKey)
	if errors.Is(err, posthaste.NotFound) || err == nil && t.Kind != posthaste.Optional {
		return 0, "", posthaste.Refuse("scope", "must name an optional notice type after "+scopeOfType)
	}
	return posthaste.TypeAsTopic(t.ID), text, err
}

// tell makes a suppression take effect on what is being sent at this moment, as
// fast as the recipient's own opt-out. What is the recipient's own goes into the
// ledger too.
func (a *API) tell(c echo.Context, canonical string, by posthaste.Channel, x posthaste.Suppression) error {
	ctx := c.Request().Context()
	r, err := a.store.FindRecipientByAddress(ctx, canonical)
	if errors.Is(err, posthaste.NotFound) {
		return nil // nothing can be on its way to nobody
	}
	if err != nil {
		return err
	}
	out := posthaste.OptOut{RecipientID: r.ID, TopicID: x.TopicID, Channel: by}
	if x.Reason == posthaste.OptedOut {
		_, err := a.optOuts.Stop(ctx, out)
		return err
	}
	return a.optOuts.Tell(ctx, out)
}

func viewSuppression(x posthaste.Suppression, keys map[int64]string) suppressionView {
	return suppressionView{x.ID, hex.EncodeToString(x.AddressHash), keys[x.TopicID], x.Reason, x.Evidence, x.Actor, x.CreatedAt, x.Reason.Liftable()}
}

func (a *API) listSuppressions(c echo.Context) error {
	after, limit, err := page(c, "email")
	if err != nil {
		return err
	}
	canonical := ""
	if text := c.QueryParam("email"); text != "" {
		addr, err := address.Parse(text)
		if err != nil {
			return posthaste.RefuseAll(posthaste.FieldsAs(err, "email"))
		}
		canonical = addr.Canonical()
	}
	if err := a.noteRead(c, "suppression.list", "suppressions"); err != nil {
		return err
	}
	found, err := a.store.ListSuppressions(c.Request().Context(), canonical, after, limit+1)
	if err != nil {
		return err
	}
	keys, err := a.scopeNames(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, func(x posthaste.Suppression) suppressionView { return viewSuppression(x, keys) },
		func(x posthaste.Suppression) int64 { return x.ID }))
}

// scopeNames gives the name of each scope that a suppression can have, by topic id.
func (a *API) scopeNames(c echo.Context) (map[int64]string, error) {
	keys, err := a.topicKeys(c)
	if err != nil {
		return nil, err
	}
	types, err := a.noticeKeys(c)
	if err != nil {
		return nil, err
	}
	keys[posthaste.AllTopics] = scopeAll
	for id, key := range types {
		keys[posthaste.TypeAsTopic(id)] = scopeOfType + key
	}
	return keys, nil
}

func (a *API) liftSuppression(c echo.Context) error {
	n, err := id(c, "suppression")
	if err != nil {
		return err
	}
	if err := a.store.LiftSuppression(c.Request().Context(), n); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// topicKeys gives the key of each topic by id.
func (a *API) topicKeys(c echo.Context) (map[int64]string, error) {
	topics, err := a.store.ListTopics(c.Request().Context())
	if err != nil {
		return nil, err
	}
	keys := make(map[int64]string, len(topics)+1)
	for _, t := range topics {
		keys[t.ID] = t.Key
	}
	return keys, nil
}
