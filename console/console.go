// Package console shows operators what the service does: the campaigns, the
// ledger of each, and, when mail does not leave, the outbox.
//
// It only reads: every route is a GET, and none changes anything. It checks no
// login, which is for a middleware around it, and renders no error: handlers
// return *posthaste.Error, or what the store returned. Pages work without
// scripts and carry none; what a stranger wrote (a subject, a reply of a mail
// server, a whole message) is shown as text, except the HTML part of an outbox
// message, which is a document of its own in a sandbox without scripts, forms,
// origin or network (HTML Living Standard §7.1.5, CSP Level 3 §6.3.2).
package console

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	pagePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	// partPolicy is for a stranger's HTML: style and inlined images, in a sandbox that allows nothing.
	partPolicy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'; base-uri 'none'; sandbox"
)

// console holds what the handlers share; it does not change after Register.
type console struct {
	Parts
	base string // path of the group, without a slash at its end
}

// Parts are what the console shows.
type Parts struct {
	Store   Store
	Reports Reports
	Files   ReportFiles
	Outbox  Outbox // nil: mail really leaves
}

// Register adds the console's routes to the group. Without an outbox there are no
// outbox pages and no banner.
func Register(g *echo.Group, p Parts) {
	c := &console{Parts: p}
	css := g.GET("/assets/console.css", stylesheet)
	c.base = strings.TrimSuffix(css.Path, "/assets/console.css")
	g.GET("/", guarded(c.home))
	if c.base != "" {
		g.GET("", guarded(c.home))
	}
	g.GET("/campaigns/:id", guarded(c.campaign))
	g.GET("/campaigns/:id/report/:file", guarded(c.report))
	if c.Outbox != nil {
		g.GET("/outbox", guarded(c.outboxList))
		g.GET("/outbox/:id", guarded(c.message))
		g.GET("/outbox/:id/html", guarded(c.htmlPart))
	}
}

// guarded sets the headers that hold for every page.
func guarded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		return next(c)
	}
}

//go:embed assets/console.css
var styles []byte

// stylesVersion stands in the style's address, so that it can be kept for good.
func stylesVersion() string {
	sum := sha256.Sum256(styles)
	return hex.EncodeToString(sum[:6])
}

func stylesheet(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", styles)
}
