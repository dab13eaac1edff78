package unsubscribe

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
)

// source is where a consent of this page was given, in the ledger.
const source = "preference centre"

// preferencesLimit is the most bytes of the form: some hundred topics.
const preferencesLimit = 16 << 10

func (s *Service) showPreferences(c echo.Context) error {
	claims, err := s.keys.Open(token.Preferences, c.Param("token"))
	if err != nil {
		return err
	}
	return s.writePreferences(c, claims.RecipientID, false)
}

// changePreferences carries out either button of the page: save, or stop all.
func (s *Service) changePreferences(c echo.Context) error {
	claims, err := s.keys.Open(token.Preferences, c.Param("token"))
	if err != nil {
		return err
	}
	form, err := readForm(c, preferencesLimit)
	if err != nil {
		return err
	}
	switch {
	case form.Get("stop") == "all":
		_, err = s.Stop(c.Request().Context(), posthaste.OptOut{RecipientID: claims.RecipientID, TopicID: posthaste.AllTopics,
			Channel: posthaste.ByPreferences, Network: web.OriginOf(c).Network})
	case form.Has("save"):
		err = s.save(c, claims.RecipientID, form)
	default:
		return s.writePreferences(c, claims.RecipientID, false)
	}
	if err != nil {
		return err
	}
	return s.writePreferences(c, claims.RecipientID, true)
}

// save carries out the difference between what holds and what was ticked.
// Withdrawals come first: they need no more than a commit to take effect.
func (s *Service) save(c echo.Context, recipientID int64, form url.Values) error {
	ctx := c.Request().Context()
	now, err := s.store.FindPreferences(ctx, recipientID)
	if err != nil {
		return err
	}
	topics, err := s.store.ListTopics(ctx)
	if err != nil {
		return err
	}
	decide := func(p posthaste.Purpose, topicID int64, given bool, wording string) posthaste.Consent {
		decision := posthaste.Withdrawn
		if given {
			decision = posthaste.Given
		}
		return posthaste.Consent{RecipientID: recipientID, Purpose: p, TopicID: topicID, Decision: decision,
			Channel: posthaste.ByPreferences, Source: source, Wording: wording, Network: web.OriginOf(c).Network}
	}
	words := pages.Wordings(now.Recipient.Locale) // those that stood beside the boxes
	var entries []posthaste.Consent
	var unconfirmed error
	chosen := false
	for _, topic := range topics {
		ticked, had := form.Has(topicField(topic.ID)), slices.Contains(now.Topics, topic.ID)
		chosen = chosen || ticked
		out := posthaste.OptOut{RecipientID: recipientID, TopicID: topic.ID, Channel: posthaste.ByPreferences, Network: web.OriginOf(c).Network}
		switch {
		case had && !ticked:
			unconfirmed = errors.Join(unconfirmed, s.stop(ctx, out)) // the other withdrawals are committed all the same
		case !ticked: // perhaps withdrawn by a request that nobody confirmed
			unconfirmed = errors.Join(unconfirmed, s.Tell(ctx, out))
		}
		if ticked && !had {
			entries = append(entries, decide(posthaste.ForTopic, topic.ID, true, words.Topic(topic.Name)))
		}
	}
	for _, n := range now.Notices {
		field, as := noticeField(n.TypeID), posthaste.TypeAsTopic(n.TypeID)
		ticked := form.Has(field)
		switch {
		case !slices.Contains(form["shown"], field): // the page was older
		case !ticked:
			out := posthaste.OptOut{RecipientID: recipientID, TopicID: as, Channel: posthaste.ByPreferences, Network: web.OriginOf(c).Network}
			unconfirmed = errors.Join(unconfirmed, s.stop(ctx, out))
		case n.Off:
			entries = append(entries, decide(posthaste.ForNotice, as, true, words.Notice(n.Name)))
		}
	}
	if ticked := form.Has("opens"); ticked != now.Opens {
		entries = append(entries, decide(posthaste.ForOpens, 0, ticked, words.Opens))
	}
	if ticked := form.Has("clicks"); ticked != now.Clicks {
		entries = append(entries, decide(posthaste.ForClicks, 0, ticked, words.Clicks))
	}
	if err := errors.Join(s.store.RecordConsents(ctx, entries), unconfirmed); err != nil {
		return err
	}
	if now.StopAll && chosen {
		return s.store.LiftStopAll(ctx, recipientID)
	}
	return nil
}

func (s *Service) writePreferences(c echo.Context, recipientID int64, saved bool) error {
	ctx := c.Request().Context()
	now, err := s.store.FindPreferences(ctx, recipientID)
	if err != nil {
		return err
	}
	topics, err := s.store.ListTopics(ctx)
	if err != nil {
		return err
	}
	words := pages.Wordings(now.Recipient.Locale)
	page := pages.Preferences{Lang: now.Recipient.Locale, Sender: s.sender, MaskedAddress: mask(now.Recipient.Email),
		Action: "/p/" + c.Param("token"), StopAll: now.StopAll, Saved: saved,
		Measurement: []pages.Choice{
			{Name: "opens", Label: words.Opens, Checked: now.Opens},
			{Name: "clicks", Label: words.Clicks, Checked: now.Clicks},
		}}
	for _, topic := range topics {
		// After a stop none is ticked: saving another choice must not bring the mail back.
		checked := !now.StopAll && slices.Contains(now.Topics, topic.ID)
		page.Topics = append(page.Topics, pages.Choice{Name: topicField(topic.ID), Label: words.Topic(topic.Name), Checked: checked})
	}
	for _, n := range now.Notices {
		page.Notices = append(page.Notices, pages.Choice{Name: noticeField(n.TypeID), Label: words.Notice(n.Name), Checked: !n.Off})
	}
	web.SetPageHeaders(c)
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(http.StatusOK)
	return pages.WritePreferences(c.Response(), page)
}

func noticeField(id int64) string { return "notice-" + strconv.FormatInt(id, 10) }

func topicField(id int64) string { return "topic-" + strconv.FormatInt(id, 10) }

// mask shows enough of an address for its owner to know it.
func mask(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return ""
	}
	_, size := utf8.DecodeRuneInString(email)
	return email[:size] + "…" + email[at:]
}

func (s *Service) stop(ctx context.Context, o posthaste.OptOut) error {
	_, err := s.Stop(ctx, o)
	return err
}
