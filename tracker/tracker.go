// Package tracker answers the beacons in mails: the open pixel and the click
// redirect. A hit is cut to a Network and a minute, queued, and answered; the
// recorder keeps it only if the recipient consents at that moment, so a
// withdrawal also covers mail that was sent before.
//
// Every pixel is answered alike, whatever its token. A redirect leads only to a
// link that stands in the campaign: none is ever taken from the request. What
// the package cannot queue is not counted; the answer is the same.
package tracker

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/internal/token"
	"posthaste/internal/web"
)

// Links gives the destinations of a campaign's redirects.
type Links interface {
	ListLinks(ctx context.Context, campaignID int64) ([]string, error)
}

// Recorder keeps hits of those who consent.
type Recorder interface {
	RecordHits(ctx context.Context, hits []posthaste.Hit) error
}

// Hits queues a hit without waiting.
type Hits interface {
	PublishHit(h posthaste.Hit) error
}

// keepLinks bounds the campaigns whose links are kept in memory.
const keepLinks = 256

// Service answers beacons. It is safe for concurrent use.
type Service struct {
	links Links
	hits  Hits
	keys  *token.Keys

	metrics *metrics.Metrics
	warned  atomic.Int64 // Unix seconds

	mu    sync.RWMutex
	known map[int64][]string // by campaign; links never change once it is scheduled
}

// New makes the service.
func New(links Links, hits Hits, keys *token.Keys) *Service {
	return &Service{links: links, hits: hits, keys: keys, known: map[int64][]string{}}
}

// Measure has the service tell what it does. It is called before Register.
func (s *Service) Measure(m *metrics.Metrics) { s.metrics = m }

// Register adds the routes.
func (s *Service) Register(e *echo.Echo) {
	e.GET("/o/:token", s.open)
	e.HEAD("/o/:token", s.open)
	e.GET("/c/:token", s.click)
	e.HEAD("/c/:token", s.click)
	e.GET("/.well-known/gpc.json", supportsGPC)
}

// pixel is a transparent GIF of one pixel (GIF89a), 43 bytes.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

func (s *Service) open(c echo.Context) error {
	if claims, err := s.keys.Open(token.OpenBeacon, c.Param("token")); err == nil {
		s.note(c, posthaste.Open, claims)
	}
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store, private")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	return c.Blob(http.StatusOK, "image/gif", pixel)
}

func (s *Service) click(c echo.Context) error {
	claims, err := s.keys.Open(token.ClickLink, c.Param("token"))
	if err != nil {
		return err
	}
	links, err := s.linksOf(c.Request().Context(), claims.CampaignID)
	if err != nil {
		return err
	}
	if claims.Link < 1 || claims.Link > len(links) || !leadsToWeb(links[claims.Link-1]) {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "this link is not valid"}
	}
	s.note(c, posthaste.Click, claims)
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store, private")
	header.Set("Referrer-Policy", "no-referrer")
	return c.Redirect(http.StatusFound, links[claims.Link-1])
}

// leadsToWeb doubts even a stored link, since nothing else stands between a
// row and an open redirect.
func leadsToWeb(link string) bool {
	u, err := url.Parse(link)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil
}

func (s *Service) linksOf(ctx context.Context, campaignID int64) ([]string, error) {
	s.mu.RLock()
	links, known := s.known[campaignID]
	s.mu.RUnlock()
	if known {
		return links, nil
	}
	links, err := s.links.ListLinks(ctx, campaignID)
	if err != nil || len(links) == 0 { // none yet: a draft's test mail was clicked
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= keepLinks {
		clear(s.known)
	}
	s.known[campaignID] = links
	return links, nil
}

// note queues a hit, unless the request is not a person's plain GET or says
// that it wants no counting.
func (s *Service) note(c echo.Context, kind posthaste.HitKind, claims token.Claims) {
	if !counts(c.Request()) {
		return
	}
	err := s.hits.PublishHit(posthaste.Hit{ID: rand.Text(), Kind: kind, CampaignID: claims.CampaignID, Number: claims.Number,
		RecipientID: claims.RecipientID, Link: claims.Link, Network: web.OriginOf(c).Network, At: time.Now().UTC().Truncate(time.Minute)})
	if err != nil {
		if now := time.Now().Unix(); s.warned.Swap(now) != now { // once a second: there may be thousands
			slog.Warn("hits are not counted", "error", err)
		}
		return
	}
	s.metrics.Hit(kind)
}

// supportsGPC says that Global Privacy Control is honoured (its specification,
// section 4), since the day it was.
func supportsGPC(c echo.Context) error {
	return c.JSONBlob(http.StatusOK, []byte(`{"gpc":true,"lastUpdate":"2026-11-23"}`))
}

// counts leaves out HEAD, prefetches, partial requests, and those that object:
// Global Privacy Control (Sec-GPC: exactly 1) and DNT.
func counts(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodGet && h.Get("Range") == "" &&
		h.Get("Sec-Purpose") == "" && h.Get("Purpose") == "" && h.Get("X-Moz") == "" &&
		!slices.Contains(h.Values("Sec-GPC"), "1") && h.Get("DNT") != "1"
}
