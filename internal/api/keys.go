package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// rateMost is the most requests per minute that a key can be held to.
const rateMost = 1_000_000

type keyView struct {
	Name       string            `json:"name"`
	Key        string            `json:"key,omitempty"` // shown once
	Scopes     []posthaste.Scope `json:"scopes"`
	Rate       int               `json:"requests_per_minute"` // 0: no limit
	ExpiresAt  *time.Time        `json:"expires_at"`
	RevokedAt  *time.Time        `json:"revoked_at"`
	LastUsedAt *time.Time        `json:"last_used_at"` // to the minute
	CreatedAt  time.Time         `json:"created_at"`
}

func viewKey(k posthaste.Key) keyView {
	return keyView{Name: k.Name, Scopes: k.Scopes, Rate: k.Rate, ExpiresAt: orNull(k.ExpiresAt), RevokedAt: orNull(k.RevokedAt),
		LastUsedAt: orNull(k.LastUsedAt), CreatedAt: k.CreatedAt}
}

// CheckKey says what is wrong with a key that is to be made.
func CheckKey(k posthaste.Key, now time.Time) error {
	var f faults
	f.line("name", k.Name, true, nameLimit)
	if slices.Contains([]string{posthaste.BySystem, posthaste.ByRecipient, posthaste.ByCommandLine}, k.Name) {
		f.add("name", "is what the audit log calls somebody else")
	}
	if len(k.Scopes) == 0 {
		f.add("scopes", "must name at least one scope")
	}
	for _, s := range k.Scopes {
		if !slices.Contains(posthaste.Scopes, s) {
			f.add("scopes", fmt.Sprintf("%q is none; known are %v", s, posthaste.Scopes))
		}
	}
	if k.Rate < 0 || k.Rate > rateMost {
		f.add("requests_per_minute", fmt.Sprintf("must be a whole number from 1 to %d, or 0 for no limit", rateMost))
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		f.add("expires_at", "is past")
	}
	return f.err()
}

// addKey makes a key that may do no more than the one that asks for it.
func (a *API) addKey(c echo.Context) error {
	var in struct {
		Name      string            `json:"name"`
		Scopes    []posthaste.Scope `json:"scopes"`
		Rate      int               `json:"requests_per_minute"`
		ExpiresAt string            `json:"expires_at"` // RFC 3339
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	k := posthaste.Key{Name: in.Name, Scopes: in.Scopes, Rate: in.Rate, ExpiresAt: f.instant("expires_at", in.ExpiresAt)}
	if err := CheckKey(k, time.Now()); err != nil || len(f) > 0 {
		return posthaste.RefuseAll(append(f, posthaste.FieldsOf(err)...))
	}
	if err := withinMaker(&k, keyOf(c)); err != nil {
		return err
	}
	known, err := a.store.ListKeys(c.Request().Context())
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(known, func(other posthaste.Key) bool { return other.Name == k.Name }); at >= 0 {
		if err := withinMaker(&known[at], keyOf(c)); err != nil { // the name is that of a key that could do more
			return err
		}
	}
	if slices.ContainsFunc(known, func(other posthaste.Key) bool { return other.Name == k.Name && other.Works(time.Now()) }) {
		return &posthaste.Error{Kind: posthaste.Conflict, Message: "a key of this name works already; DELETE /api/v1/keys/{name} revokes it",
			Fields: []posthaste.Field{{Name: "name", Reason: "is taken"}}}
	}
	key, hash := NewKey()
	k, err = a.store.PutKey(c.Request().Context(), k, hash)
	if err != nil {
		return err
	}
	view := viewKey(k)
	view.Key = key
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusCreated, view)
}

// withinMaker keeps a key from being more than the one that makes it: in what it
// may do, for how long, and how often.
func withinMaker(k *posthaste.Key, maker posthaste.Key) error {
	for _, s := range k.Scopes {
		if !maker.May(s) {
			return &posthaste.Error{Kind: posthaste.Forbidden, Message: fmt.Sprintf("a key can give only scopes that it has, and this one lacks %s", s)}
		}
	}
	if !maker.ExpiresAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(maker.ExpiresAt)) {
		k.ExpiresAt = maker.ExpiresAt
	}
	if maker.Rate > 0 && (k.Rate == 0 || k.Rate > maker.Rate) {
		k.Rate = maker.Rate
	}
	return nil
}

func (a *API) listKeys(c echo.Context) error {
	keys, err := a.store.ListKeys(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(keys, len(keys), viewKey, func(k posthaste.Key) int64 { return k.ID }))
}

// revokeKey has a key stop working that can do no more than the one that asks:
// else a lesser one could take its name over.
func (a *API) revokeKey(c echo.Context) error {
	name := pathText(c, "key")
	known, err := a.store.ListKeys(c.Request().Context())
	if err != nil {
		return err
	}
	for _, k := range known {
		if beyond := slices.IndexFunc(k.Scopes, func(s posthaste.Scope) bool { return !keyOf(c).May(s) }); k.Name == name && beyond >= 0 {
			return &posthaste.Error{Kind: posthaste.Forbidden, Message: fmt.Sprintf("that key can do more than this one, which lacks %s", k.Scopes[beyond])}
		}
	}
	if err := a.store.RevokeKey(c.Request().Context(), name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// usageDays is the most days of one answer.
const usageDays = 366

// listUsage shows a key what it did; one that may read everybody's, everybody's.
func (a *API) listUsage(c echo.Context) error {
	now := time.Now().UTC()
	from, to := now.AddDate(0, 0, -30), now
	var f faults
	day := func(name string, into *time.Time) {
		if text := c.QueryParam(name); text != "" {
			parsed, err := time.Parse(time.DateOnly, text)
			if err != nil {
				f.add(name, "must be a day, as in 2026-11-24")
			}
			*into = parsed
		}
	}
	day("from", &from)
	day("to", &to)
	if len(f) == 0 && to.Sub(from) > usageDays*24*time.Hour {
		f.add("from", fmt.Sprintf("must be at most %d days before to", usageDays))
	}
	if err := f.err(); err != nil {
		return err
	}
	k := keyOf(c)
	name := k.Name
	if k.May(posthaste.ReadUsage) {
		name = c.QueryParam("key")
	} else if other := c.QueryParam("key"); other != "" && other != name {
		return &posthaste.Error{Kind: posthaste.Forbidden, Message: fmt.Sprintf("this key may read its own usage only: it lacks the scope %s", posthaste.ReadUsage)}
	}
	used, err := a.store.ListUsage(c.Request().Context(), name, from.Format(time.DateOnly), to.Format(time.DateOnly))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list[posthaste.Usage]{Items: append([]posthaste.Usage{}, used...)})
}
