// Package unsubscribe carries out what recipients decide: signing up and
// confirming it, one-click unsubscribing (RFC 8058), the page behind the same
// link, the preference centre, seeing and deleting one's own data, and another
// address. An answer
// of 200 means that the decision is committed and that no mail against it starts
// any more; when that cannot be promised the answer is 503 and a repetition is
// harmless.
//
// It needs no cookie, no login and no script, and tells nobody whether an
// address is known. It decides nothing by itself, and the only mails that it
// has sent are those that somebody asked for a moment before.
package unsubscribe

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
)

// Sender is whose mail it is.
type Sender struct {
	Name          string // the legal name, on pages and in mails
	PostalAddress string
	PublicURL     string   // without a slash at its end
	Receivers     []string // who else gets data about recipients, and what
}

// Parts are what a Service is made of.
type Parts struct {
	Store   Store
	Workers Workers
	Courier Courier
	Files   Files // nil when mail really leaves
	Keys    *token.Keys
	Sender  Sender
	Metrics *metrics.Metrics // may be nil
}

// Service answers recipients. It is safe for concurrent use.
type Service struct {
	store   Store
	workers Workers
	courier Courier
	files   Files
	keys    *token.Keys
	sender  Sender
	metrics *metrics.Metrics
}

// New makes the service.
func New(p Parts) *Service {
	return &Service{p.Store, p.Workers, p.Courier, p.Files, p.Keys, p.Sender, p.Metrics}
}

// Register adds the routes.
func (s *Service) Register(e *echo.Echo) {
	page := func(path string, show, act echo.HandlerFunc) {
		e.GET(path, show)
		e.HEAD(path, show)
		e.POST(path, act)
	}
	page("/u/:token", s.showUnsubscribe, s.unsubscribe)
	page("/p/:token", s.showPreferences, s.changePreferences)
	page("/s/:form", s.showForm, s.signUp)
	page("/confirm/:token", s.showConfirm, s.confirm)
	page("/d/:token", s.showData, s.actOnData)
	page("/a/:token", s.showAddress, s.correctAddress)
}

// writePage answers with a page.
func writePage(c echo.Context, status int, write func(http.ResponseWriter) error) error {
	web.SetPageHeaders(c)
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(status)
	return write(c.Response())
}

// languageOf is the one to answer in: that of the link or form, else of the
// recipient, else of the browser.
func languageOf(c echo.Context, preferred ...string) string {
	return pages.Match(c.Request().Header.Get("Accept-Language"), preferred...)
}

// Stop commits an opt-out and returns once no mail against it can start. It is
// the one way for every channel. It gives what can take it back: see
// Store.UndoOptOut. Unavailable when a worker that may be sending to the
// recipient does not confirm; the opt-out is committed even then.
func (s *Service) Stop(ctx context.Context, o posthaste.OptOut) (added int64, err error) {
	asked := time.Now()
	defer func() { s.metrics.Stopped(asked, err) }()
	if added, err = s.store.OptOut(ctx, o); err != nil { // whatever it is, the request can be made again
		return 0, &posthaste.Error{Kind: posthaste.Unavailable, Message: "the opt-out could not be recorded; please try again", Err: err}
	}
	return added, s.Tell(ctx, o)
}

// Tell returns once no mail against an opt-out, or another suppression, that is
// committed can start. Unavailable as Stop says.
func (s *Service) Tell(ctx context.Context, o posthaste.OptOut) error {
	workers, err := s.store.ListSending(ctx, o)
	if err != nil {
		return &posthaste.Error{Kind: posthaste.Unavailable, Message: "it is recorded, but not known to have taken effect; please try again", Err: err}
	}
	telling, ctx := errgroup.WithContext(ctx)
	for _, worker := range workers {
		telling.Go(func() error { return s.workers.TellOptOut(ctx, worker, o) })
	}
	return telling.Wait()
}
