// Package unsubscribe carries out what recipients decide: one-click
// unsubscribing (RFC 8058), the page behind the same link, and the preference
// centre. An answer of 200 means that the decision is committed and that no
// mail against it starts any more; when that cannot be promised the answer is
// 503 and a repetition is harmless.
//
// It needs no cookie, no login and no script, and tells nobody whether an
// address is known. It sends no mail and decides nothing by itself.
package unsubscribe

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/internal/token"
)

// Service answers recipients. It is safe for concurrent use.
type Service struct {
	store   Store
	workers Workers
	keys    *token.Keys
	sender  string // the legal name, on pages
	metrics *metrics.Metrics
}

// New makes the service.
func New(store Store, workers Workers, keys *token.Keys, sender string) *Service {
	return &Service{store: store, workers: workers, keys: keys, sender: sender}
}

// Measure has the service tell what it does. It is called before anything is asked of it.
func (s *Service) Measure(m *metrics.Metrics) { s.metrics = m }

// Register adds the routes.
func (s *Service) Register(e *echo.Echo) {
	e.GET("/u/:token", s.showUnsubscribe)
	e.HEAD("/u/:token", s.showUnsubscribe)
	e.POST("/u/:token", s.unsubscribe)
	e.GET("/p/:token", s.showPreferences)
	e.HEAD("/p/:token", s.showPreferences)
	e.POST("/p/:token", s.changePreferences)
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
