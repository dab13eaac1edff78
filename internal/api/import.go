package api

import (
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/recipientfile"
	"posthaste/internal/web"
)

// importLimit is the most bytes of one file.
const importLimit = 2 << 30

// importRecipients streams a CSV body into the recipients of a topic. Consent
// cannot be invented: where it was given and in which words must be said.
func (a *API) importRecipients(c echo.Context) error {
	r := c.Request()
	var f faults
	if kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || kind != "text/csv" {
		f.add("Content-Type", "must be text/csv")
	}
	topic, err := a.topic(c, "topic", c.QueryParam("topic"))
	if err != nil {
		if posthaste.FieldsOf(err) == nil {
			return err
		}
		f = append(f, posthaste.FieldsOf(err)...)
	}
	evidence := posthaste.Evidence{Source: c.QueryParam("source"), Wording: c.QueryParam("wording")}
	f.line("source", evidence.Source, true, 500)
	f.line("wording", evidence.Wording, true, 2000)
	dryRun := f.truth(c, "dry_run")
	for name := range c.QueryParams() {
		f.oneOf(name, name, "topic", "source", "wording", "dry_run")
	}
	if err := f.err(); err != nil {
		return err
	}
	report, err := recipientfile.Import(r.Context(), a.store, http.MaxBytesReader(c.Response(), r.Body, importLimit),
		posthaste.Import{TopicID: topic.ID, Evidence: evidence, Actor: web.OriginOf(c).Actor, DryRun: dryRun})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, report)
}
