package unsubscribe

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
)

// oneClickLimit is the most bytes of a one-click body: it has 26, in multipart
// form a few hundred.
const oneClickLimit = 1 << 10

// The fields that a POST to an unsubscribe link may bear. RFC 8058 §3.1 has the
// first; the others are the page's own.
const (
	oneClickField, oneClickValue = "List-Unsubscribe", "One-Click"
	confirmField, confirmValue   = "confirm", "yes"
	undoField                    = "undo"   // a token of the page that said that it is done
	reasonField                  = "reason" // why, if one wants to say so afterwards
)

// reasons are what can be said.
var reasons = []string{"too_often", "not_interesting", "never_asked", "other"}

// showUnsubscribe shows a button and changes nothing: scanners follow links.
func (s *Service) showUnsubscribe(c echo.Context) error {
	claims, err := s.keys.Open(token.Unsubscribe, c.Param("token"))
	if err != nil {
		return err
	}
	return s.writeUnsubscribe(c, http.StatusOK, claims, pages.Unsubscribe{})
}

// unsubscribe carries out both the mailbox provider's one-click POST and the
// buttons of the page. It never redirects (RFC 8058 §3.2) and reads nothing but
// the token and the one field.
func (s *Service) unsubscribe(c echo.Context) error {
	claims, err := s.keys.Open(token.Unsubscribe, c.Param("token"))
	if err != nil {
		return err
	}
	form, err := readForm(c, oneClickLimit)
	if err != nil {
		return err
	}
	out := posthaste.OptOut{RecipientID: claims.RecipientID, TopicID: claims.TopicID, Network: web.OriginOf(c).Network, CampaignID: claims.CampaignID, Number: claims.Number}
	switch {
	case form.Get(oneClickField) == oneClickValue: // by a program, which takes nothing back
		out.Channel = posthaste.ByOneClick
		if _, err := s.Stop(c.Request().Context(), out); err != nil {
			return err
		}
		return s.writeUnsubscribe(c, http.StatusOK, claims, pages.Unsubscribe{Done: true})
	case form.Get(confirmField) == confirmValue:
		out.Channel = posthaste.ByPage
		added, err := s.Stop(c.Request().Context(), out)
		if err != nil {
			return err
		}
		page := pages.Unsubscribe{Done: true, Reasons: true}
		if added != 0 {
			page.Undo = s.keys.Seal(token.Undo, token.Claims{RecipientID: claims.RecipientID, TopicID: claims.TopicID, Number: added})
		}
		return s.writeUnsubscribe(c, http.StatusOK, claims, page)
	case form.Has(undoField):
		return s.undo(c, claims, out, form.Get(undoField))
	case slices.Contains(reasons, form.Get(reasonField)):
		if err := s.store.CountReason(c.Request().Context(), claims.TopicID, form.Get(reasonField)); err != nil {
			return err
		}
		return s.writeUnsubscribe(c, http.StatusOK, claims, pages.Unsubscribe{Done: true, Thanked: true})
	}
	// An answer of 200 would pass for success.
	return s.writeUnsubscribe(c, http.StatusUnprocessableEntity, claims, pages.Unsubscribe{})
}

// undo takes the opt-out back that the page told of.
func (s *Service) undo(c echo.Context, claims token.Claims, out posthaste.OptOut, text string) error {
	undo, err := s.keys.Open(token.Undo, text)
	if err != nil {
		return err
	}
	if undo.RecipientID != claims.RecipientID || undo.TopicID != claims.TopicID {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "this link is not valid"}
	}
	if err := s.store.UndoOptOut(c.Request().Context(), out, undo.Number); err != nil {
		return err
	}
	return s.writeUnsubscribe(c, http.StatusOK, claims, pages.Unsubscribe{Undone: true})
}

// writeUnsubscribe completes the page and answers with it. Once something is
// done, what cannot be read must not make it look undone.
func (s *Service) writeUnsubscribe(c echo.Context, status int, claims token.Claims, page pages.Unsubscribe) error {
	name, err := s.nameOf(c, claims.TopicID)
	if done := page.Done || page.Undone; err != nil && !errors.Is(err, posthaste.NotFound) && !done {
		return err
	}
	r, _ := s.store.FindRecipient(c.Request().Context(), claims.RecipientID) // for the language alone
	page.Lang, page.Topic, page.Sender, page.Action = languageOf(c, r.Locale), name, s.sender.Name, "/u/"+c.Param("token")
	return writePage(c, status, func(w http.ResponseWriter) error { return pages.WriteUnsubscribe(w, page) })
}

// nameOf is how a topic, or the topic that an optional notice type is, is called.
func (s *Service) nameOf(c echo.Context, topicID int64) (string, error) {
	if topicID < 0 {
		t, err := s.store.FindNoticeTypeByID(c.Request().Context(), posthaste.TypeAsTopic(topicID))
		return t.Name, err
	}
	topic, err := s.store.FindTopicByID(c.Request().Context(), topicID)
	return topic.Name, err
}

// readForm reads a form of either encoding (RFC 8058 §3.1 prefers multipart;
// providers send urlencoded), with whatever charset parameter.
func readForm(c echo.Context, limit int64) (url.Values, error) {
	r := c.Request()
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, &posthaste.Error{Kind: posthaste.Invalid, Message: "the form could not be read", Err: err}
	}
	if int64(len(body)) > limit {
		return nil, &posthaste.Error{Kind: posthaste.TooLarge, Message: "the form is too large"}
	}
	// What is no form asks for nothing.
	kind, params, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	switch kind {
	case echo.MIMEApplicationForm:
		if form, err := url.ParseQuery(string(body)); err == nil {
			return form, nil
		}
	case echo.MIMEMultipartForm:
		form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(limit)
		if err == nil {
			return form.Value, nil
		}
	}
	return url.Values{}, nil
}
