package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

//go:embed pages/*.html
var files embed.FS

var load = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"number": number, "bytes": size, "moment": moment, "machine": machine, "segment": url.PathEscape,
	}).ParseFS(files, "pages/*.html")
})

// frame is what every page shows around its own part.
type frame struct {
	Base    string // path before every link
	Styles  string // version of the stylesheet
	Title   string
	Section string // campaigns or outbox: which entry of the menu is the present one
	Outbox  bool   // mail does not leave
	Refresh int    // seconds until the page loads itself again; 0 for never
	Page    any
}

// render writes the page whole, or returns why it cannot.
func (c *console) render(ctx echo.Context, name string, f frame) error {
	pages, err := load()
	if err != nil {
		return fmt.Errorf("read console pages: %w", err)
	}
	f.Base, f.Styles, f.Outbox = c.base, stylesVersion(), c.Outbox != nil
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, f); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return ctx.HTMLBlob(http.StatusOK, page.Bytes())
}

func missing(what string) error {
	return &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such " + what}
}

// queryID reads a query parameter that holds an id or a number; absent is 0.
func queryID(ctx echo.Context, name string) (int64, error) {
	text := ctx.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0, posthaste.Refuse(name, "must be a whole number, as in a link of this console")
	}
	return id, nil
}

// number writes 1234567 as 1,234,567.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, digit := range text {
		if left := len(text) - i; i > 0 && left%3 == 0 && text[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// share writes part of whole in percent, or nothing when there is no whole.
func share(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

func size(n int64) string {
	switch {
	case n < 1000:
		return number(n) + " B"
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1000, 'f', 1, 64) + " kB"
	}
	return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
}

// moment writes an instant for people, in UTC; machine, for the datetime attribute.
func moment(t time.Time) string  { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }
