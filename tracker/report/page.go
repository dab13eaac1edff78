package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"time"

	"posthaste"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"text": Text}).Parse(pageText))

type pagePart struct {
	Table Table
	Plot  template.HTML
}

// WritePage writes the whole report as one page, which needs nothing from
// elsewhere: to look at, to print, to keep.
func WritePage(w io.Writer, r posthaste.Report, now time.Time) error {
	v := struct {
		Name, State, Sent, Now string
		Parts                  []pagePart
	}{Name: r.Name, State: string(r.State), Now: now.UTC().Format("2006-01-02 15:04 UTC")}
	if !r.SentAt.IsZero() {
		v.Sent = r.SentAt.UTC().Format("2006-01-02 15:04 UTC")
	}
	for _, part := range Parts {
		t := TableOf(r, part)
		var plot bytes.Buffer
		if err := WriteSVG(&plot, t); err != nil {
			return err
		}
		v.Parts = append(v.Parts, pagePart{t, template.HTML(plot.String())}) //nolint:gosec // WriteSVG escapes what it is given
	}
	var out bytes.Buffer
	if err := page.Execute(&out, v); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}
