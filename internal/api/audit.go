package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/inventory"
	"posthaste/internal/web"
)

// The headers in which callers say how they know a request themselves, and why
// they make it. All three stand in the audit log.
const (
	callerIDHeader = echo.HeaderXRequestID
	reasonHeader   = "Audit-Reason"
	metadataHeader = "Audit-Metadata" // a JSON object of texts
)

const reasonLimit = 500

// noteCaller makes the request that of a key, with what its holder says of it.
func noteCaller(c echo.Context, k posthaste.Key) error {
	o := web.OriginOf(c)
	h := c.Request().Header
	o.Actor, o.CallerID, o.Reason = k.Name, h.Get(callerIDHeader), h.Get(reasonHeader)
	var f faults
	f.line(callerIDHeader, o.CallerID, false, idLimit)
	f.line(reasonHeader, o.Reason, false, reasonLimit)
	if text := h.Get(metadataHeader); text != "" {
		if err := strictly([]byte(text), &o.Metadata); err != nil {
			f.add(metadataHeader, `must be a JSON object of texts, as in {"ticket": "T-17"}`)
		}
		f.metadata(metadataHeader, o.Metadata)
	}
	web.SetOrigin(c, o)
	return f.err()
}

// noteRead writes into the audit log that data about people are read, before
// they are shown: without the entry they are not. object is "recipient/12", or
// what is listed.
func (a *API) noteRead(c echo.Context, action, object string) error {
	var names []string // and not the values, which may be addresses
	for name := range c.QueryParams() {
		if name != "limit" && name != "cursor" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return a.store.Audit(c.Request().Context(), action, object)
	}
	slices.Sort(names)
	return a.store.Audit(c.Request().Context(), action, object, "filters", strings.Join(names, " "))
}

func recipientObject(r posthaste.Recipient) string {
	return "recipient/" + strconv.FormatInt(r.ID, 10)
}

func campaignObject(k posthaste.Campaign) string {
	return k.Word() + "/" + strconv.FormatInt(k.ID, 10)
}

type auditView struct {
	ID        int64             `json:"id"`
	At        time.Time         `json:"at"`
	Actor     string            `json:"actor"`
	Action    string            `json:"action"`
	Object    string            `json:"object"`
	Details   map[string]string `json:"details,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	CallerID  string            `json:"caller_request_id,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Network   string            `json:"network,omitempty"`
	Region    string            `json:"region,omitempty"`
}

func viewAudit(e posthaste.AuditEntry) auditView {
	return auditView{e.ID, e.At, e.Actor, e.Action, e.Object, e.Details, e.Reason, e.RequestID, e.CallerID, e.Metadata, e.Network.String(), e.Region}
}

func (a *API) listAudit(c echo.Context) error {
	before, limit, err := page(c, "object", "action", "actor", "request", "from", "to")
	if err != nil {
		return err
	}
	var f faults
	filter := posthaste.AuditFilter{Object: c.QueryParam("object"), Action: c.QueryParam("action"), Actor: c.QueryParam("actor"), RequestID: c.QueryParam("request"),
		From: f.instant("from", c.QueryParam("from")), To: f.instant("to", c.QueryParam("to"))}
	if err := f.err(); err != nil {
		return err
	}
	if err := a.noteRead(c, "audit.read", "audit"); err != nil {
		return err
	}
	entries, err := a.store.ListAudit(c.Request().Context(), filter, before, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(entries, limit, viewAudit, func(e posthaste.AuditEntry) int64 { return e.ID }))
}

// showInventory gives what is held, for what, on which ground, for how long, and
// who reads it.
func (a *API) showInventory(c echo.Context) error {
	all, err := inventory.Load()
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, all)
}

// showHead gives the end of the chain, signed, for whoever keeps it elsewhere.
func (a *API) showHead(c echo.Context) error {
	h, err := a.heads.Head(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, h)
}
