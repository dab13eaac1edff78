// Package api is the operator's JSON API. Every route needs a key with the
// route's scope; every fault of the input is answered with a problem document
// (RFC 9457) that names the field and the reason, and nothing half done.
//
// Handlers parse, validate, make one call and write. The package knows no SQL,
// NATS or SMTP: store.go says what it needs of them.
package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// Parts are what the API is made of.
type Parts struct {
	Store    Store
	Composer Composer
	Workers  Workers
	OptOuts  OptOuts
	Privacy  Privacy
	Notices  NoticeComposer
	Intake   Intake
	Webhooks Webhooks
	Heads    Heads
	Files    ReportFiles
	Meter    *Meter
}

// API answers operators. It is safe for concurrent use.
type API struct {
	store    Store
	composer Composer
	workers  Workers
	optOuts  OptOuts
	privacy  Privacy
	notices  NoticeComposer
	intake   Intake
	webhooks Webhooks
	heads    Heads
	files    ReportFiles
	meter    *Meter
}

// New makes the API.
func New(p Parts) *API {
	return &API{p.Store, p.Composer, p.Workers, p.OptOuts, p.Privacy, p.Notices, p.Intake, p.Webhooks, p.Heads, p.Files, p.Meter}
}

// base is below what all routes are.
const base = "/api/v1"

// Route is one operation of the API, and the one scope that it needs. Anyone
// who holds a key that works may use one without a scope.
type Route struct {
	Method, Path string
	Scope        posthaste.Scope
	handle       echo.HandlerFunc
}

// Register adds the routes below /api/v1, and the document that describes them.
func (a *API) Register(e *echo.Echo) {
	e.GET(base+"/openapi.json", document())
	g := e.Group(base, Authenticate(a.store, a.meter))
	for _, r := range a.Routes() {
		var needs []echo.MiddlewareFunc
		if r.Scope != "" {
			needs = append(needs, Require(r.Scope, a.meter))
		}
		g.Add(r.Method, r.Path, r.handle, needs...)
	}
}

// Routes lists them all. A path names its parameters after a colon.
func (a *API) Routes() []Route {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	return []Route{
		{post, "/topics", posthaste.WriteTopics, a.addTopic},
		{get, "/topics", posthaste.ReadTopics, a.listTopics},
		{get, "/topics/:topic/reports", posthaste.ReadCampaigns, a.listTopicReports},
		{get, "/topics/:topic/reports/:file", posthaste.ReadCampaigns, a.fileTopicReports},

		{post, "/recipients/import", posthaste.WriteRecipients, a.importRecipients},
		{get, "/recipients/:recipient", posthaste.ReadRecipients, a.showRecipient},
		{put, "/recipients/:recipient", posthaste.WriteRecipients, a.putRecipient},
		{get, "/recipients/:recipient/consents", posthaste.ReadRecipients, a.listConsents},
		{post, "/recipients/:recipient/consents", posthaste.WriteRecipients, a.recordConsent},
		{get, "/recipients/:recipient/why", posthaste.ReadRecipients, a.why},
		{get, "/recipients/:recipient/export", posthaste.ExportRecipients, a.exportRecipient},
		{patch, "/recipients/:recipient", posthaste.UseDesk, a.correctRecipient},
		{del, "/recipients/:recipient", posthaste.EraseRecipients, a.eraseRecipient},

		{post, "/forms", posthaste.WriteTopics, a.addForm},
		{get, "/forms", posthaste.ReadTopics, a.listForms},
		{get, "/forms/:form", posthaste.ReadTopics, a.showForm},
		{put, "/forms/:form", posthaste.WriteTopics, a.putForm},
		{get, "/forms/:form/embed", posthaste.ReadTopics, a.embedForm},

		{post, "/desk/requests", posthaste.UseDesk, a.addDeskRequest},
		{get, "/desk/requests", posthaste.UseDesk, a.listDeskRequests},

		{post, "/campaigns", posthaste.WriteCampaigns, a.addCampaign},
		{get, "/campaigns", posthaste.ReadCampaigns, a.listCampaigns},
		{get, "/campaigns/:campaign", posthaste.ReadCampaigns, a.showCampaign},
		{patch, "/campaigns/:campaign", posthaste.WriteCampaigns, a.patchCampaign},
		{post, "/campaigns/:campaign/schedule", posthaste.SendCampaigns, a.schedule},
		{post, "/campaigns/:campaign/unschedule", posthaste.SendCampaigns, a.move(a.store.Unschedule)},
		{post, "/campaigns/:campaign/pause", posthaste.SendCampaigns, a.move(a.store.Pause)},
		{post, "/campaigns/:campaign/resume", posthaste.SendCampaigns, a.move(a.store.Resume)},
		{post, "/campaigns/:campaign/cancel", posthaste.SendCampaigns, a.move(a.store.Cancel)},
		{post, "/campaigns/:campaign/test", posthaste.SendCampaigns, a.sendTest},
		{post, "/campaigns/:campaign/preview", posthaste.ReadCampaigns, a.preview},
		{get, "/campaigns/:campaign/report", posthaste.ReadCampaigns, a.showReport},
		{get, "/campaigns/:campaign/report/:file", posthaste.ReadCampaigns, a.fileReport},
		{get, "/campaigns/:campaign/deliveries", posthaste.ReadCampaigns, a.listDeliveries},
		{post, "/campaigns/:campaign/deliveries/:delivery/resolve", posthaste.SendCampaigns, a.resolve},

		{post, "/suppressions", posthaste.WriteSuppressions, a.suppress},
		{get, "/suppressions", posthaste.ReadSuppressions, a.listSuppressions},
		{del, "/suppressions/:suppression", posthaste.WriteSuppressions, a.liftSuppression},

		{post, "/notice-types", posthaste.WriteNoticeTypes, a.addNoticeType},
		{get, "/notice-types", posthaste.ReadNoticeTypes, a.listNoticeTypes},
		{get, "/notice-types/:type", posthaste.ReadNoticeTypes, a.showNoticeType},
		{put, "/notice-types/:type", posthaste.WriteNoticeTypes, a.putNoticeType},
		{post, "/notice-types/:type/preview", posthaste.ReadNoticeTypes, a.previewNotice},

		{post, "/notices", posthaste.SendNotices, a.sendNotices},
		{get, "/notices", posthaste.ReadNotices, a.listNotices},
		{get, "/notices/:notice", posthaste.ReadNotices, a.showNotice},

		{post, "/announcements", posthaste.SendAnnouncements, a.announce},
		{get, "/announcements", posthaste.ReadNotices, a.listAnnouncements},
		{get, "/announcements/:announcement", posthaste.ReadNotices, a.showCampaign},
		{post, "/announcements/:announcement/pause", posthaste.SendAnnouncements, a.move(a.store.Pause)},
		{post, "/announcements/:announcement/resume", posthaste.SendAnnouncements, a.move(a.store.Resume)},
		{post, "/announcements/:announcement/cancel", posthaste.SendAnnouncements, a.move(a.store.Cancel)},
		{get, "/announcements/:announcement/deliveries", posthaste.ReadNotices, a.listDeliveries},
		{post, "/announcements/:announcement/deliveries/:delivery/resolve", posthaste.SendAnnouncements, a.resolve},

		{post, "/webhooks", posthaste.WriteWebhooks, a.addWebhook},
		{get, "/webhooks", posthaste.ReadWebhooks, a.listWebhooks},
		{get, "/webhooks/:webhook", posthaste.ReadWebhooks, a.showWebhook},
		{patch, "/webhooks/:webhook", posthaste.WriteWebhooks, a.patchWebhook},
		{del, "/webhooks/:webhook", posthaste.WriteWebhooks, a.deleteWebhook},
		{post, "/webhooks/:webhook/rotate", posthaste.WriteWebhooks, a.rotateWebhook},
		{get, "/webhooks/:webhook/messages", posthaste.ReadWebhooks, a.listWebhookMessages},
		{post, "/webhooks/:webhook/replay", posthaste.WriteWebhooks, a.replayWebhook},
		{post, "/webhooks/:webhook/messages/:message/replay", posthaste.WriteWebhooks, a.replayWebhook},

		{get, "/keys", posthaste.ManageKeys, a.listKeys},
		{post, "/keys", posthaste.ManageKeys, a.addKey},
		{del, "/keys/:key", posthaste.ManageKeys, a.revokeKey},
		{get, "/usage", "", a.listUsage},
		{get, "/audit", posthaste.ReadAudit, a.listAudit},
		{get, "/inventory", posthaste.ReadAudit, a.showInventory},
		{get, "/audit/head", posthaste.ReadAudit, a.showHead},
	}
}
