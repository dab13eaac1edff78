package unsubscribe

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
)

// oneClickLimit is the most bytes of a one-click body: it has 26, in multipart
// form a few hundred.
const oneClickLimit = 1 << 10

// The two fields that a POST to an unsubscribe link may bear.
const (
	oneClickField, oneClickValue = "List-Unsubscribe", "One-Click" // RFC 8058 §3.1
	confirmField, confirmValue   = "confirm", "yes"                // the page's own button
)

// showUnsubscribe shows a button and changes nothing: scanners follow links.
func (s *Service) showUnsubscribe(c echo.Context) error {
	claims, err := s.keys.Open(token.Unsubscribe, c.Param("token"))
	if err != nil {
		return err
	}
	return s.writeUnsubscribe(c, http.StatusOK, claims, false)
}

// unsubscribe carries out both the mailbox provider's one-click POST and the
// page's button. It never redirects (RFC 8058 §3.2) and reads nothing but the
// token and the one field.
func (s *Service) unsubscribe(c echo.Context) error {
	claims, err := s.keys.Open(token.Unsubscribe, c.Param("token"))
	if err != nil {
		return err
	}
	form, err := readForm(c, oneClickLimit)
	if err != nil {
		return err
	}
	channel := posthaste.ByOneClick
	switch {
	case form.Get(oneClickField) == oneClickValue:
	case form.Get(confirmField) == confirmValue:
		channel = posthaste.ByPage
	default: // an answer of 200 would pass for success
		return s.writeUnsubscribe(c, http.StatusUnprocessableEntity, claims, false)
	}
	_, err = s.Stop(c.Request().Context(), posthaste.OptOut{RecipientID: claims.RecipientID, TopicID: claims.TopicID,
		Channel: channel, Network: web.OriginOf(c).Network})
	if err != nil {
		return err
	}
	return s.writeUnsubscribe(c, http.StatusOK, claims, true)
}

func (s *Service) writeUnsubscribe(c echo.Context, status int, claims token.Claims, done bool) error {
	name, err := s.nameOf(c, claims.TopicID)
	if err != nil && !errors.Is(err, posthaste.NotFound) && !done {
		return err
	} // once it is done, a name that cannot be read must not make it look undone
	web.SetPageHeaders(c)
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(status)
	return pages.WriteUnsubscribe(c.Response(), pages.Unsubscribe{Topic: name, Sender: s.sender, Done: done, Action: "/u/" + c.Param("token")})
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
