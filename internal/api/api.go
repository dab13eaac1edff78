// Package api is the operator's JSON API. Every route needs a key; every fault
// of the input is answered with a problem document (RFC 9457) that names the
// field and the reason, and nothing half done.
//
// Handlers parse, validate, make one call and write. The package knows no SQL,
// NATS or SMTP: store.go says what it needs of them.
package api

import (
	"github.com/labstack/echo/v4"
)

// API answers operators. It is safe for concurrent use.
type API struct {
	store    Store
	composer Composer
	workers  Workers
	optOuts  OptOuts
}

// New makes the API.
func New(store Store, composer Composer, workers Workers, optOuts OptOuts) *API {
	return &API{store, composer, workers, optOuts}
}

// Register adds the routes below /api/v1.
func (a *API) Register(e *echo.Echo) {
	g := e.Group("/api/v1", Authenticate(a.store))
	g.POST("/topics", a.addTopic)
	g.GET("/topics", a.listTopics)

	g.POST("/recipients/import", a.importRecipients)
	g.GET("/recipients/:recipient", a.showRecipient)
	g.PUT("/recipients/:recipient", a.putRecipient)
	g.GET("/recipients/:recipient/consents", a.listConsents)
	g.POST("/recipients/:recipient/consents", a.recordConsent)

	g.POST("/campaigns", a.addCampaign)
	g.GET("/campaigns", a.listCampaigns)
	g.GET("/campaigns/:campaign", a.showCampaign)
	g.PATCH("/campaigns/:campaign", a.patchCampaign)
	g.POST("/campaigns/:campaign/schedule", a.schedule)
	g.POST("/campaigns/:campaign/unschedule", a.move(a.store.Unschedule))
	g.POST("/campaigns/:campaign/pause", a.move(a.store.Pause))
	g.POST("/campaigns/:campaign/resume", a.move(a.store.Resume))
	g.POST("/campaigns/:campaign/cancel", a.move(a.store.Cancel))
	g.POST("/campaigns/:campaign/test", a.sendTest)
	g.POST("/campaigns/:campaign/preview", a.preview)
	g.GET("/campaigns/:campaign/deliveries", a.listDeliveries)
	g.POST("/campaigns/:campaign/deliveries/:delivery/resolve", a.resolve)

	g.POST("/suppressions", a.suppress)
	g.GET("/suppressions", a.listSuppressions)
	g.DELETE("/suppressions/:suppression", a.liftSuppression)
}
