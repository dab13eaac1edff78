package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/templates/pages"
)

// problem is a problem document (RFC 9457 §3), with the faulty fields and the
// request id as extension members.
type problem struct {
	Type    string            `json:"type"`
	Title   string            `json:"title"`
	Status  int               `json:"status"`
	Detail  string            `json:"detail,omitempty"`
	Fields  []posthaste.Field `json:"errors,omitempty"`
	Request string            `json:"request,omitempty"`
}

// statusOf is the one table from kinds to HTTP.
func statusOf(kind posthaste.Kind) int {
	switch kind {
	case posthaste.Invalid:
		return http.StatusUnprocessableEntity
	case posthaste.NotFound:
		return http.StatusNotFound
	case posthaste.Conflict:
		return http.StatusConflict
	case posthaste.Unauthorized:
		return http.StatusUnauthorized
	case posthaste.Forbidden:
		return http.StatusForbidden
	case posthaste.Limited:
		return http.StatusTooManyRequests
	case posthaste.TooLarge:
		return http.StatusRequestEntityTooLarge
	case posthaste.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func problemOf(err error) problem {
	if ours, ok := errors.AsType[*posthaste.Error](err); ok {
		status := statusOf(ours.Kind)
		return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: ours.Message, Fields: ours.Fields}
	}
	status := http.StatusInternalServerError
	if theirs, ok := errors.AsType[*echo.HTTPError](err); ok {
		status = theirs.Code
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		status = http.StatusRequestEntityTooLarge
	}
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status}
	if status == http.StatusInternalServerError {
		p.Detail = "something went wrong here; the request id finds it in the log"
	}
	return p
}

// StatusOf is the status with which an error that a handler returned is answered.
func StatusOf(err error) int { return problemOf(err).Status }

// problemHandler answers an error that a handler returned; whatever is not
// ours shows nothing but a request id.
func problemHandler(asPage bool) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		p := problemOf(err)
		p.Request = OriginOf(c).RequestID
		header := c.Response().Header()
		header.Set("Cache-Control", "no-store")
		if p.Status == http.StatusServiceUnavailable {
			header.Set("Retry-After", "30")
		}
		if p.Status == http.StatusUnauthorized && header.Get("WWW-Authenticate") == "" {
			header.Set("WWW-Authenticate", "Bearer")
		}
		if asPage || wantsPage(c) {
			writePage(c, p, asPage)
			return
		}
		header.Set(echo.HeaderContentType, "application/problem+json")
		c.Response().WriteHeader(p.Status)
		_ = json.NewEncoder(c.Response()).Encode(p) // the client is gone, or has it
	}
}

// wantsPage reports that a browser asks, and not for the API.
func wantsPage(c echo.Context) bool {
	return strings.Contains(c.Request().Header.Get(echo.HeaderAccept), "text/html") && !strings.HasPrefix(c.Request().URL.Path, "/api/")
}

// writePage shows the same page for every link that is not valid, whatever is
// wrong with it.
func writePage(c echo.Context, p problem, recipient bool) {
	title, text := "Something went wrong", "Please try again in a minute."
	switch {
	case p.Status == http.StatusNotFound && recipient:
		title, text, p.Request = "This link is not valid", "Please use the link as it stands in the mail.", ""
	case p.Status < http.StatusInternalServerError:
		title, text = p.Title, p.Detail
	}
	SetPageHeaders(c)
	c.Response().Header().Set(echo.HeaderContentType, "text/html; charset=utf-8")
	c.Response().WriteHeader(p.Status)
	_ = pages.WriteProblem(c.Response(), pages.Problem{Status: p.Status, Title: title, Text: text, RequestID: p.Request}) // as above
}

// SetPageHeaders sets what every page for recipients bears: nothing is stored,
// indexed or told to others, and nothing loads but the page's own style.
func SetPageHeaders(c echo.Context) {
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Robots-Tag", "noindex")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy",
		"default-src 'none'; style-src "+pages.StyleHash()+"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
}
