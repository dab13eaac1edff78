package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/web"
)

const (
	valueLimit = 10_000
)

var attributeName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

type recipientView struct {
	ID         int64             `json:"id"`
	Email      string            `json:"email"`
	Name       string            `json:"name"`
	Locale     string            `json:"locale"`
	TimeZone   string            `json:"time_zone"`
	Attributes map[string]string `json:"attributes"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

func viewRecipient(r posthaste.Recipient) recipientView {
	attributes := r.Attributes
	if attributes == nil {
		attributes = map[string]string{}
	}
	return recipientView{r.ID, r.Email, r.Name, r.Locale, r.TimeZone, attributes, r.CreatedAt, r.UpdatedAt}
}

// recipient finds the one that the path names, by id or by address.
func (a *API) recipient(c echo.Context) (posthaste.Recipient, error) {
	ctx, text := c.Request().Context(), pathText(c, "recipient")
	missing := &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such recipient"}
	var r posthaste.Recipient
	var err error
	if strings.Contains(text, "@") {
		addr, bad := address.Parse(text)
		if bad != nil {
			return r, missing
		}
		r, err = a.store.FindRecipientByAddress(ctx, addr.Canonical())
	} else {
		n, bad := strconv.ParseInt(text, 10, 64)
		if bad != nil {
			return r, missing
		}
		r, err = a.store.FindRecipient(ctx, n)
	}
	if errors.Is(err, posthaste.NotFound) {
		return r, missing
	}
	return r, err
}

// pathText is a part of the path without the escapes, which the router leaves
// in it when the client escaped more than it had to: %40 for @.
func pathText(c echo.Context, name string) string {
	text := c.Param(name)
	if plain, err := url.PathUnescape(text); err == nil && c.Request().URL.RawPath != "" {
		return plain
	}
	return text
}

func (a *API) showRecipient(c echo.Context) error {
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "recipient.read", recipientObject(r)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewRecipient(r))
}

// putRecipient adds or replaces what is known of the address in the path.
func (a *API) putRecipient(c echo.Context) error {
	var in struct {
		Name       string            `json:"name"`
		Locale     string            `json:"locale"`
		TimeZone   string            `json:"time_zone"`
		Attributes map[string]string `json:"attributes"`
	}
	addr, err := address.Parse(pathText(c, "recipient"))
	if err != nil {
		return posthaste.RefuseAll(posthaste.FieldsAs(err, "path"))
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	f.line("name", in.Name, false, 500)
	f.locale("locale", in.Locale)
	f.zone("time_zone", in.TimeZone)
	f.attributes(in.Attributes)
	if err := f.err(); err != nil {
		return err
	}
	r, added, err := a.store.PutRecipient(c.Request().Context(), posthaste.Recipient{Email: addr.String(), Name: in.Name,
		Locale: in.Locale, TimeZone: in.TimeZone, Attributes: in.Attributes}, addr.Canonical())
	if err != nil {
		return err
	}
	if added {
		return c.JSON(http.StatusCreated, viewRecipient(r))
	}
	return c.JSON(http.StatusOK, viewRecipient(r))
}

func (f *faults) locale(name, tag string) {
	if _, err := language.Parse(tag); tag != "" && err != nil {
		f.add(name, "must be a language tag such as en or de-CH")
	}
}

func (f *faults) zone(name, zone string) {
	if zone == "" {
		return
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		f.add(name, "must be an IANA time zone such as Europe/Berlin")
	}
}

func (f *faults) attributes(attributes map[string]string) {
	if len(attributes) > posthaste.AttributesMost {
		f.add("attributes", fmt.Sprintf("must be at most %d", posthaste.AttributesMost))
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !attributeName.MatchString(name) {
			f.add("attributes", "names must be lower-case letters, digits and _, beginning with a letter, at most 64")
			continue
		}
		f.text("attributes."+name, attributes[name], valueLimit)
	}
}

type consentView struct {
	Purpose  posthaste.Purpose  `json:"purpose"`
	Topic    string             `json:"topic,omitempty"`
	Type     string             `json:"notice_type,omitempty"` // that was switched off or on
	Decision posthaste.Decision `json:"decision"`
	Channel  posthaste.Channel  `json:"channel"`
	Source   string             `json:"source"`
	Wording  string             `json:"wording"`
	Language string             `json:"language,omitempty"` // of the words
	Policy   string             `json:"policy_version,omitempty"`
	SignUp   int64              `json:"sign_up,omitempty"` // that it was confirmed by
	Actor    string             `json:"actor,omitempty"`
	Network  string             `json:"network,omitempty"`
	At       time.Time          `json:"at"`
}

func viewConsent(e posthaste.Consent, topic, noticeType string) consentView {
	return consentView{e.Purpose, topic, noticeType, e.Decision, e.Channel, e.Source, e.Wording, e.Language, e.Policy, e.SignUpID, e.Actor, e.Network.String(), e.At}
}

func (a *API) listConsents(c echo.Context) error {
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "recipient.read_consents", recipientObject(r)); err != nil {
		return err
	}
	return a.writeConsents(c, r)
}

func (a *API) writeConsents(c echo.Context, r posthaste.Recipient) error {
	ledger, err := a.store.ListConsents(c.Request().Context(), r.ID)
	if err != nil {
		return err
	}
	keys, err := a.topicKeys(c)
	if err != nil {
		return err
	}
	types, err := a.noticeKeys(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(ledger, len(ledger), func(e posthaste.Consent) consentView {
		return viewConsent(e, keys[e.TopicID], types[posthaste.TypeAsTopic(e.TopicID)])
	}, func(e posthaste.Consent) int64 { return e.ID }))
}

// recordConsent records what a recipient decided elsewhere. A withdrawal takes
// the same way as the recipient's own.
func (a *API) recordConsent(c echo.Context) error {
	var in struct {
		Purpose  posthaste.Purpose  `json:"purpose"`
		Topic    string             `json:"topic"`
		Decision posthaste.Decision `json:"decision"`
		Source   string             `json:"source"`
		Wording  string             `json:"wording"`
	}
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	f.oneOf("purpose", string(in.Purpose), string(posthaste.ForTopic), string(posthaste.ForOpens), string(posthaste.ForClicks))
	f.oneOf("decision", string(in.Decision), string(posthaste.Given), string(posthaste.Withdrawn))
	given := in.Decision == posthaste.Given
	f.line("source", in.Source, given, 500)
	if given && strings.TrimSpace(in.Wording) == "" {
		f.add("wording", "must be the words that were agreed to")
	}
	f.text("wording", in.Wording, valueLimit)
	var topic posthaste.Topic
	switch {
	case in.Purpose == posthaste.ForTopic:
		if topic, err = a.topic(c, "topic", in.Topic); err != nil && posthaste.FieldsOf(err) == nil {
			return err // no topic is not every topic
		}
		f = append(f, posthaste.FieldsOf(err)...)
	case in.Topic != "":
		f.add("topic", "goes with the purpose topic only")
	}
	if err := f.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if in.Purpose == posthaste.ForTopic && !given {
		_, err = a.optOuts.Stop(ctx, posthaste.OptOut{RecipientID: r.ID, TopicID: topic.ID, Channel: posthaste.ByAPI})
	} else {
		err = a.store.RecordConsents(ctx, []posthaste.Consent{{RecipientID: r.ID, Purpose: in.Purpose, TopicID: topic.ID, Decision: in.Decision,
			Channel: posthaste.ByAPI, Source: in.Source, Wording: in.Wording, Actor: web.OriginOf(c).Actor}})
	}
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "recipient.read_consents", recipientObject(r)); err != nil {
		return err
	}
	return a.writeConsents(c, r)
}

func (f *faults) oneOf(name, text string, allowed ...string) {
	if !slices.Contains(allowed, text) {
		f.add(name, "must be one of "+strings.Join(allowed, ", "))
	}
}

// topic finds the topic of a key; what is none is the fault of the named field.
func (a *API) topic(c echo.Context, field, key string) (posthaste.Topic, error) {
	if !topicKey.MatchString(key) {
		return posthaste.Topic{}, posthaste.Refuse(field, "must be the key of a topic")
	}
	topic, err := a.store.FindTopic(c.Request().Context(), key)
	if errors.Is(err, posthaste.NotFound) {
		return topic, posthaste.Refuse(field, "there is no such topic; POST /api/v1/topics adds one")
	}
	return topic, err
}
