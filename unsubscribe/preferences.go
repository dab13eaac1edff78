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
	"posthaste/internal/address"
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
	return s.writePreferences(c, claims.RecipientID, pages.Preferences{})
}

// changePreferences carries out one of the buttons of the page.
func (s *Service) changePreferences(c echo.Context) error {
	claims, err := s.keys.Open(token.Preferences, c.Param("token"))
	if err != nil {
		return err
	}
	form, err := readForm(c, preferencesLimit)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	page := pages.Preferences{Saved: true}
	switch {
	case form.Get("stop") == "all":
		err = s.stop(ctx, posthaste.OptOut{RecipientID: claims.RecipientID, TopicID: posthaste.AllTopics, Channel: posthaste.ByPreferences, Network: web.OriginOf(c).Network})
	case form.Has("save"):
		err = s.save(c, claims.RecipientID, form)
	case form.Get("data") == "send":
		page = pages.Preferences{LinkSent: true}
		err = s.sendLink(ctx, claims.RecipientID, posthaste.AccessRequest)
	case form.Get("erase") == "send":
		page = pages.Preferences{LinkSent: true}
		err = s.sendLink(ctx, claims.RecipientID, posthaste.ErasureRequest)
	default:
		page = pages.Preferences{}
	}
	if err != nil {
		return err
	}
	return s.writePreferences(c, claims.RecipientID, page)
}

// sendLink has the recipient sent a link to their data: who has a mail of
// somebody must not see more of them than it says.
func (s *Service) sendLink(ctx context.Context, recipientID int64, kind posthaste.RequestKind) error {
	r, err := s.store.FindRecipient(ctx, recipientID)
	if err != nil {
		return err
	}
	addr, err := address.Parse(r.Email)
	if err != nil {
		return err
	}
	_, _, err = s.Request(ctx, addr, r.Locale, posthaste.Request{Kind: kind, Channel: posthaste.ByPreferences})
	return err
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
	lang := languageOf(c, form.Get("shown_in"), now.Recipient.Locale)
	words := pages.Wordings(lang) // those that stood beside the boxes
	decide := func(p posthaste.Purpose, topicID int64, given bool, wording string) posthaste.Consent {
		decision := posthaste.Withdrawn
		if given {
			decision = posthaste.Given
		}
		return posthaste.Consent{RecipientID: recipientID, Purpose: p, TopicID: topicID, Decision: decision,
			Channel: posthaste.ByPreferences, Source: source, Wording: wording, Language: lang, Network: web.OriginOf(c).Network}
	}
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
		if err := s.store.LiftStopAll(ctx, recipientID); err != nil {
			return err
		}
	}
	// The one that was shown says nothing about a finer one, as de-AT.
	if wanted := form.Get("lang"); wanted != "" && wanted != lang && pages.Match("", wanted) == wanted {
		return s.store.SetLocale(ctx, recipientID, wanted)
	}
	return nil
}

// writePreferences completes the page and answers with it.
func (s *Service) writePreferences(c echo.Context, recipientID int64, page pages.Preferences) error {
	ctx := c.Request().Context()
	now, err := s.store.FindPreferences(ctx, recipientID)
	if err != nil {
		return err
	}
	topics, err := s.store.ListTopics(ctx)
	if err != nil {
		return err
	}
	page.Lang = languageOf(c, now.Recipient.Locale)
	words := pages.Wordings(page.Lang)
	page.Sender, page.MaskedAddress, page.Action, page.StopAll = s.sender.Name, mask(now.Recipient.Email), "/p/"+c.Param("token"), now.StopAll
	page.Languages, page.Data = pages.Languages(), true
	page.Measurement = []pages.Choice{{Name: "opens", Label: words.Opens, Checked: now.Opens}, {Name: "clicks", Label: words.Clicks, Checked: now.Clicks}}
	for _, topic := range topics {
		// After a stop none is ticked: saving another choice must not bring the mail back.
		checked := !now.StopAll && slices.Contains(now.Topics, topic.ID)
		page.Topics = append(page.Topics, pages.Choice{Name: topicField(topic.ID), Label: words.Topic(topic.Name), Checked: checked})
	}
	for _, n := range now.Notices {
		page.Notices = append(page.Notices, pages.Choice{Name: noticeField(n.TypeID), Label: words.Notice(n.Name), Checked: !now.StopAll && !n.Off})
	}
	return writePage(c, http.StatusOK, func(w http.ResponseWriter) error { return pages.WritePreferences(w, page) })
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
