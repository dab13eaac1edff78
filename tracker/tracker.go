// Package tracker answers the beacons in mails: the open pixel and the click
// redirect. A hit is cut to a Network, its program and place to names of the rules,
// gathered, and answered; the recorder keeps it only if the recipient consents at
// that moment, so a withdrawal also covers mail that was sent before.
//
// Every pixel is answered alike, whatever its token. A redirect leads only to a
// link that stands in the campaign: none is ever taken from the request. No answer
// waits for the broker or, once the links of a campaign are known, the database:
// what is lost with either is the count.
package tracker

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/metrics"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/tracker/machine"
)

// Service answers beacons. It is safe for concurrent use.
type Service struct {
	links  *links
	gather *gatherer
	rules  *machine.Rules
	keys   *token.Keys
}

// New makes the service. Hits reach the broker, and links are learnt ahead, only
// while Run runs.
func New(links Links, hits Hits, rules *machine.Rules, keys *token.Keys) *Service {
	return &Service{links: newLinks(links), gather: newGatherer(hits), rules: rules, keys: keys}
}

// Measure has the service tell what it does. It is called before Run and Register.
func (s *Service) Measure(m *metrics.Metrics) { s.gather.metrics = m }

// Run publishes hits and learns links until ctx ends; it returns when all that
// was gathered is published, or cannot be.
func (s *Service) Run(ctx context.Context) {
	learned := make(chan struct{})
	go func() {
		defer close(learned)
		s.links.learn(ctx)
	}()
	s.gather.run(ctx)
	<-learned
}

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
	known, err := s.links.of(c.Request().Context(), claims.CampaignID)
	if err != nil {
		return err
	}
	if claims.Link < 1 || claims.Link > len(known) || !leadsToWeb(known[claims.Link-1]) {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "this link is not valid"}
	}
	s.note(c, posthaste.Click, claims)
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store, private")
	header.Set("Referrer-Policy", "no-referrer")
	return c.Redirect(http.StatusFound, known[claims.Link-1])
}

// leadsToWeb doubts even a stored link, since nothing else stands between a
// row and an open redirect.
func leadsToWeb(link string) bool {
	u, err := url.Parse(link)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil
}

// note gathers a hit, unless the request is not a person's plain GET or says
// that it wants no counting. Of a campaign that counts totals nothing is kept
// that tells one from another.
func (s *Service) note(c echo.Context, kind posthaste.HitKind, claims token.Claims) {
	r := c.Request()
	if !counts(r) {
		return
	}
	origin, now := web.OriginOf(c), time.Now().UTC()
	h := posthaste.Hit{ID: posthaste.NewHitID(now), Kind: kind, CampaignID: claims.CampaignID, Number: claims.Number, RecipientID: claims.RecipientID, Link: claims.Link,
		Network: origin.Network, Region: origin.Region, Agent: s.rules.Agent(r.UserAgent()), Place: s.rules.Place(origin.Network), At: now}
	if h.Number == 0 {
		h.Network = posthaste.Network{}
	}
	if h.Number == 0 || kind == posthaste.Open { // only bursts of clicks need more
		h.At = now.Truncate(time.Minute)
	}
	if !s.rules.Located(h.Place) {
		h.Region = ""
	}
	s.gather.add(h)
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
		h.Get("Sec-Purpose") == "" && h.Get("Purpose") == "" && h.Get("X-Purpose") == "" && h.Get("X-Moz") == "" &&
		!slices.Contains(h.Values("Sec-GPC"), "1") && !slices.Contains(h.Values("DNT"), "1")
}
