package console

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"posthaste"
)

const messagesPerPage = 50

// outboxPage is the list of messages that did not leave.
type outboxPage struct {
	Messages []OutboxMessage
	Newest   bool
	Next     string // before which the older ones begin, or empty
}

func (c *console) outboxList(ctx echo.Context) error {
	before := ctx.QueryParam("before")
	list, err := c.Outbox.List(before, messagesPerPage+1)
	if err != nil {
		return fmt.Errorf("list outbox: %w", err)
	}
	page := outboxPage{Messages: list, Newest: before == ""}
	if len(list) > messagesPerPage {
		page.Messages = list[:messagesPerPage]
		page.Next = page.Messages[messagesPerPage-1].ID
	}
	if err := c.Store.Audit(ctx.Request().Context(), "outbox.list", "outbox"); err != nil {
		return err
	}
	return c.render(ctx, "outbox.html", frame{Title: "Outbox", Section: "outbox", Page: page})
}

// messagePage is one message, in one of three views.
type messagePage struct {
	mail
	ID    string
	Show  string // html, text or source
	Width string // of the HTML view, in CSS pixels: 360 or 700
	Size  int64
}

func (c *console) message(ctx echo.Context) error {
	id, raw, err := c.readMessage(ctx)
	if err != nil {
		return err
	}
	page := messagePage{mail: parse(raw), ID: id, Show: ctx.QueryParam("show"), Width: ctx.QueryParam("width"), Size: int64(len(raw))}
	switch page.Show {
	case "html", "text", "source":
	case "":
		page.Show = page.first()
	default:
		return posthaste.Refuse("show", "must be html, text or source")
	}
	switch page.Width {
	case "360", "700":
	case "":
		page.Width = "700"
	default:
		return posthaste.Refuse("width", "must be 360 or 700")
	}
	title := page.Subject()
	if title == "" {
		title = "(no subject)"
	}
	return c.render(ctx, "message.html", frame{Title: title, Section: "outbox", Page: page})
}

// first is the view that shows the most of the message.
func (m mail) first() string {
	switch {
	case m.HasHTML:
		return "html"
	case m.HasText:
		return "text"
	}
	return "source"
}

// htmlPart answers with a stranger's document. Its policy makes it an origin of
// its own and forbids it everything but its looks.
func (c *console) htmlPart(ctx echo.Context) error {
	_, raw, err := c.readMessage(ctx)
	if err != nil {
		return err
	}
	m := parse(raw)
	if !m.HasHTML {
		return missing("HTML part in this message")
	}
	ctx.Response().Header().Set("Content-Security-Policy", partPolicy)
	return ctx.Blob(http.StatusOK, "text/html; charset=utf-8", []byte(m.HTML))
}

func (c *console) readMessage(ctx echo.Context) (string, []byte, error) {
	id := ctx.Param("id")
	if ctx.Request().URL.RawPath != "" {
		// The router then matched the path as it was sent, still escaped.
		plain, err := url.PathUnescape(id)
		if err != nil {
			return "", nil, missing("message")
		}
		id = plain
	}
	raw, err := c.Outbox.Read(id)
	if err != nil {
		return "", nil, fmt.Errorf("read outbox: %w", err)
	}
	return id, raw, c.Store.Audit(ctx.Request().Context(), "outbox.read", "outbox")
}
