package console

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"
)

// reportPolicy is for a report, which brings its style and needs nothing else.
const reportPolicy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox"

// report gives a campaign's report: the page, or a part of it as a file.
func (c *console) report(ctx echo.Context) error {
	id, err := strconv.ParseInt(ctx.Param("id"), 10, 64)
	if err != nil {
		return missing("campaign")
	}
	name := ctx.Param("file")
	if !slices.Contains(c.Files.Names(), name) {
		return missing("part of a report")
	}
	request := ctx.Request().Context()
	r, err := c.Reports.FindReport(request, id)
	if err != nil {
		return fmt.Errorf("find report of campaign %d: %w", id, err)
	}
	if r.Domains, err = c.Reports.ListDomains(request, id); err != nil {
		return fmt.Errorf("list domains of campaign %d: %w", id, err)
	}
	var out bytes.Buffer
	if err := c.Files.Write(&out, r, name); err != nil {
		return fmt.Errorf("write report of campaign %d: %w", id, err)
	}
	ctx.Response().Header().Set("Content-Security-Policy", reportPolicy)
	return ctx.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(name)), out.Bytes())
}
