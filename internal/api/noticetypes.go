package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/web"
)

// What a type gets that says nothing else, and the bounds of its validity.
const (
	defaultValidity = 24 * time.Hour
	shortest        = time.Minute
	longest         = 14 * 24 * time.Hour
)

// noticeTypeInput is the whole of a type: what is not given is empty.
type noticeTypeInput struct {
	Key             string           `json:"key"`
	Name            string           `json:"name"`
	Reason          string           `json:"reason"`
	Optional        bool             `json:"optional"`
	Mandatory       bool             `json:"mandatory"`
	MandatoryReason string           `json:"mandatory_reason"`
	From            string           `json:"from"`
	ReplyTo         string           `json:"reply_to"`
	Subject         string           `json:"subject"`
	Format          posthaste.Format `json:"format"`
	Body            string           `json:"body"`
	Text            string           `json:"text"`
	Schema          json.RawMessage  `json:"schema"`
	Validity        *int64           `json:"validity_seconds"`
	Keys            []string         `json:"keys"`
	Version         int64            `json:"version"` // of the type that was read: guards against overwriting another's change
}

type noticeTypeView struct {
	Key             string           `json:"key"`
	Version         int64            `json:"version"`
	Name            string           `json:"name"`
	Reason          string           `json:"reason"`
	Optional        bool             `json:"optional"`
	Mandatory       bool             `json:"mandatory"`
	MandatoryReason string           `json:"mandatory_reason"`
	From            string           `json:"from"`
	ReplyTo         string           `json:"reply_to"`
	Subject         string           `json:"subject"`
	Format          posthaste.Format `json:"format"`
	Body            string           `json:"body"`
	Text            string           `json:"text"`
	Schema          json.RawMessage  `json:"schema"`
	Validity        int64            `json:"validity_seconds"`
	Keys            []string         `json:"keys"`
	Actor           string           `json:"actor"`
	CreatedAt       time.Time        `json:"created_at"` // of this version
}

func viewNoticeType(t posthaste.NoticeType) noticeTypeView {
	return noticeTypeView{t.Key, t.Version, t.Name, t.Reason, t.Kind == posthaste.Optional, t.Kind == posthaste.Mandatory, t.MandatoryReason, t.From, t.ReplyTo,
		t.Subject, t.Format, t.Body, t.Text, t.Schema, int64(t.Validity / time.Second), append([]string{}, t.Keys...), t.Actor, t.CreatedAt}
}

// readNoticeType reads and checks the whole of a type, the templates included.
func (a *API) readNoticeType(c echo.Context, key string) (posthaste.NoticeType, error) {
	var in noticeTypeInput
	if err := read(c, &in); err != nil {
		return posthaste.NoticeType{}, err
	}
	t := posthaste.NoticeType{Key: in.Key, Version: in.Version, Name: in.Name, Reason: strings.TrimSuffix(in.Reason, "."), Kind: posthaste.Necessary,
		MandatoryReason: in.MandatoryReason, From: in.From, ReplyTo: in.ReplyTo, Subject: in.Subject, Format: in.Format, Body: in.Body, Text: in.Text,
		Schema: in.Schema, Validity: defaultValidity, Keys: in.Keys, Actor: web.OriginOf(c).Actor}
	if in.Format == "" {
		t.Format = posthaste.Markdown
	}
	if len(t.Schema) == 0 {
		t.Schema = json.RawMessage(`{"type": "object", "additionalProperties": false}`)
	}
	if in.Validity != nil {
		t.Validity = time.Duration(*in.Validity) * time.Second
	}
	switch {
	case in.Mandatory:
		t.Kind = posthaste.Mandatory
	case in.Optional:
		t.Kind = posthaste.Optional
	}
	var f faults
	if key != "" && t.Key == "" {
		t.Key = key
	}
	if key != "" && t.Key != key {
		f.add("key", "is that of another type")
	}
	if in.Mandatory && in.Optional {
		f.add("optional", "and mandatory exclude each other")
	}
	f.noticeType(t)
	if err := f.err(); err != nil {
		return t, err
	}
	return t, a.notices.CheckType(t)
}

// ownTypes begins the keys of notice types that only the program itself may change and send.
const ownTypes = "posthaste-"

func (f *faults) noticeType(t posthaste.NoticeType) {
	if !topicKey.MatchString(t.Key) {
		f.add("key", "must be lower-case letters, digits and hyphens, at most 63, as in \"password-reset\"")
	}
	if strings.HasPrefix(t.Key, ownTypes) {
		f.add("key", "begins with "+ownTypes+", as those of the program's own mails do")
	}
	f.line("name", t.Name, true, nameLimit)
	f.line("reason", t.Reason, true, 500)
	switch {
	case t.Kind == posthaste.Mandatory:
		f.line("mandatory_reason", t.MandatoryReason, true, 500)
	case t.MandatoryReason != "":
		f.add("mandatory_reason", "belongs to a mandatory type")
	}
	f.mailbox("from", t.From)
	if t.ReplyTo != "" {
		f.mailbox("reply_to", t.ReplyTo)
	}
	f.oneOf("format", string(t.Format), string(posthaste.Markdown), string(posthaste.HTML), string(posthaste.AsGiven))
	if t.Format == posthaste.AsGiven {
		for _, own := range []struct{ name, text string }{{"subject", t.Subject}, {"body", t.Body}, {"text", t.Text}} {
			if own.text != "" {
				f.add(own.name, "comes with each notice: it must be empty here")
			}
		}
	} else {
		f.line("subject", t.Subject, true, 1000)
		if strings.TrimSpace(t.Body) == "" {
			f.add("body", "must not be empty")
		}
	}
	f.text("body", t.Body, bodyLimit)
	f.text("text", t.Text, bodyLimit)
	if t.Validity < shortest || t.Validity > longest {
		f.add("validity_seconds", fmt.Sprintf("must be a whole number from %d to %d", shortest/time.Second, longest/time.Second))
	}
	for _, key := range t.Keys {
		f.line("keys", key, true, nameLimit)
	}
}

func (a *API) addNoticeType(c echo.Context) error {
	t, err := a.readNoticeType(c, "")
	if err != nil {
		return err
	}
	if t, err = a.store.AddNoticeType(c.Request().Context(), t); err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, viewNoticeType(t))
}

// putNoticeType saves a further version; without one in the request, over whatever is current.
func (a *API) putNoticeType(c echo.Context) error {
	now, err := a.noticeType(c)
	if err != nil {
		return err
	}
	t, err := a.readNoticeType(c, now.Key)
	if err != nil {
		return err
	}
	if now.Kind == posthaste.Optional && t.Kind != posthaste.Optional {
		return posthaste.Refuse("optional", "cannot be taken back: recipients may have switched the type off; make another type")
	}
	if t.Version == 0 {
		t.Version = now.Version
	}
	if t, err = a.store.SaveNoticeType(c.Request().Context(), t); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewNoticeType(t))
}

// noticeType finds the type that the path names, in the version that the query names if it does.
func (a *API) noticeType(c echo.Context) (posthaste.NoticeType, error) {
	missing := &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such notice type"}
	t, err := a.store.FindNoticeType(c.Request().Context(), c.Param("type"))
	if text := c.QueryParam("version"); text != "" && err == nil {
		version, bad := strconv.ParseInt(text, 10, 64)
		if bad != nil {
			return t, posthaste.Refuse("version", "must be a whole number")
		}
		t, err = a.store.FindNoticeTypeVersion(c.Request().Context(), t.ID, version)
	}
	if errors.Is(err, posthaste.NotFound) {
		return t, missing
	}
	return t, err
}

func (a *API) showNoticeType(c echo.Context) error {
	t, err := a.noticeType(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewNoticeType(t))
}

func (a *API) listNoticeTypes(c echo.Context) error {
	types, err := a.store.ListNoticeTypes(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(types, len(types), viewNoticeType, func(t posthaste.NoticeType) int64 { return t.ID }))
}

// previewNotice shows what a notice would be with some data.
func (a *API) previewNotice(c echo.Context) error {
	var in struct {
		To struct {
			Email  string `json:"email"`
			Name   string `json:"name"`
			Locale string `json:"locale"`
		} `json:"to"`
		Data json.RawMessage `json:"data"`
	}
	t, err := a.noticeType(c)
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return pointers(err)
	}
	if in.To.Email == "" {
		in.To.Email = "somebody@example.com"
	}
	addr, err := address.Parse(in.To.Email)
	if err != nil {
		return posthaste.RefuseAll(posthaste.FieldsAs(err, "/to/email"))
	}
	preview, err := a.notices.PreviewNotice(c.Request().Context(), t, posthaste.Recipient{Email: addr.String(), Name: in.To.Name, Locale: in.To.Locale}, in.Data)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, preview)
}
