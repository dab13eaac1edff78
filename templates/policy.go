package templates

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// refused are the elements that a mailing's author cannot use, and why.
var refused = map[string]string{
	"script": "mail clients run no scripts", "form": "mail clients show no forms",
	"base": "it would change every link", "link": "style sheets cannot be fetched from a mail: use <style>",
	"iframe": "", "object": "", "embed": "", "applet": "", "frame": "", "frameset": "", "portal": "",
	"meta": "it belongs to the layout", "xmp": "", "noembed": "", "noframes": "", "noscript": "",
	"plaintext": "", "svg": "use an image", "math": "use an image",
}

// whole are the elements of a whole document, which a body is not.
var whole = map[string]bool{"html": true, "head": true, "body": true}

// check refuses in markup, an author's HTML with words for its tags, what a
// mailing must not hold. at gives the place of an offset.
func (c *compiler) check(markup string, at func(offset int) place) {
	z := html.NewTokenizer(strings.NewReader(markup))
	z.SetMaxBuf(0)
	offset := 0
	style := false
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		from := offset
		offset += len(z.Raw())
		switch kind {
		case html.TextToken:
			if style {
				c.checkStyle(string(z.Text()), spot{at, from})
			}
		case html.DoctypeToken:
			c.refuseAt(spot{at, from}, "the body is a whole document: leave out <!doctype>, <html>, <head> and <body>, the layout brings them")
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			style = token.Data == "style"
			c.checkElement(token, spot{at, from})
		case html.EndTagToken:
			style = false
		}
	}
}

// spot is a place that is worked out only if it is needed.
type spot struct {
	at     func(offset int) place
	offset int
}

func (c *compiler) refuseAt(at spot, format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.refuseIn(at.at(at.offset), format, args...)
	}
}

func (c *compiler) refuseIn(at place, format string, args ...any) {
	c.refuse(at.field, "%s", at.String()+": "+fmt.Sprintf(format, args...))
}

func (c *compiler) checkElement(token html.Token, at spot) {
	why, bad := refused[token.Data]
	switch {
	case whole[token.Data]:
		c.refuseAt(at, "the body is a whole document: leave out <!doctype>, <html>, <head> and <body>, the layout brings them")
		return
	case bad && why != "":
		c.refuseAt(at, "the element <%s> cannot be used: %s", token.Data, why)
		return
	case bad:
		c.refuseAt(at, "the element <%s> cannot be used", token.Data)
		return
	case strings.Contains(token.Data, c.marks.prefix):
		c.refuseAt(at, "a tag of the template cannot be part of an element's name")
		return
	}
	c.checkAttributes(token, at)
}

func (c *compiler) checkAttributes(token html.Token, at spot) {
	for _, a := range token.Attr {
		switch {
		case strings.HasPrefix(a.Key, "on"):
			c.refuseAt(at, "the attribute %s of <%s> cannot be used: mail clients run no scripts", a.Key, token.Data)
		case strings.Contains(a.Key, c.marks.prefix):
			c.refuseAt(at, "a tag of the template cannot stand among the attributes of <%s>; put it inside the quotes of a value", token.Data)
		case a.Key == "style":
			c.checkStyle(a.Val, at)
			if len(c.marks.find(a.Val)) > 0 {
				c.refuseAt(at, "a tag of the template cannot stand in a style")
			}
		case a.Key == "href":
			c.checkLink(a.Val, at)
		case a.Key == "src" || a.Key == "background" || a.Key == "poster":
			c.checkImage(a.Val, at)
			c.checkNoBeacon(a.Val, token.Attr, at)
		case a.Key == "srcset" || a.Key == "formaction" || a.Key == "srcdoc" || a.Key == "ping":
			c.refuseAt(at, "the attribute %s of <%s> cannot be used", a.Key, token.Data)
		}
	}
}

func (c *compiler) checkStyle(css string, at spot) {
	css = strings.ToLower(css)
	switch {
	case len(css) > maxStyle:
		c.refuseAt(at, "the style is %d bytes long; at most %d are possible", len(css), maxStyle)
	case strings.Contains(css, "@import"):
		c.refuseAt(at, "@import cannot be used: style sheets cannot be fetched from a mail")
	case strings.Contains(css, "javascript:"), strings.Contains(css, "expression("):
		c.refuseAt(at, "a style cannot hold a script")
	case len(c.marks.find(css)) > 0:
		c.refuseAt(at, "a tag of the template cannot stand in a style")
	}
}

// checkLink refuses a link that goes anywhere but to the web, mail or telephone.
func (c *compiler) checkLink(link string, at spot) {
	link = strings.Trim(link, " \t\r\n\f")
	c.checkNoCampaign(link, at)
	if strings.HasPrefix(link, "#") || strings.HasPrefix(link, c.marks.prefix) {
		return
	}
	scheme, rest, _ := strings.Cut(link, ":")
	switch strings.ToLower(scheme) {
	case "mailto", "tel":
		if rest != "" {
			return
		}
	case "http", "https":
		u, err := url.Parse(link)
		if strings.HasPrefix(rest, "//"+c.marks.prefix) || err == nil && u.Host != "" {
			return
		}
		c.refuseAt(at, "the link %s names no site", quoted(link))
		return
	}
	c.refuseAt(at, "the link %s must start with https://, http://, mailto: or tel:", quoted(link))
}

// checkImage refuses a picture that a mail client would not fetch.
func (c *compiler) checkImage(source string, at spot) {
	source = strings.Trim(source, " \t\r\n\f")
	scheme, rest, _ := strings.Cut(source, ":")
	scheme = strings.ToLower(scheme)
	switch {
	case strings.HasPrefix(source, c.marks.prefix):
	case (scheme == "https" || scheme == "http") && strings.HasPrefix(rest, "//"):
	case scheme == "cid":
	default:
		c.refuseAt(at, "the picture %s must start with https:// or http://", quoted(source))
	}
}

// quoted shows the start of an author's text.
func quoted(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return `"` + text + `"`
}
