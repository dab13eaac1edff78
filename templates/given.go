package templates

import (
	"strings"

	"golang.org/x/net/html"

	"posthaste"
)

// Given takes a notice that brings its own subject, text and HTML, as another
// system made them, instead of filling a template. The HTML may be a whole
// document. It refuses scripts, forms, offers, beacons and campaign parameters;
// the errors name the fields subject, text and html. Without a text one is made
// of the HTML; without HTML there is none.
func Given(subject, text, markup string) (Rendered, error) {
	c := &compiler{src: Source{Subject: subject}, notice: true, marks: newMarks(subject, text, markup)}
	c.checkSubject()
	for _, f := range []struct{ name, source string }{{"subject", subject}, {"text", text}, {"html", markup}} {
		if len(f.source) > maxBody {
			c.refuse(f.name, "is %d bytes long; at most %d are possible", len(f.source), maxBody)
		}
		c.checkOffers(f.name, f.source)
	}
	if strings.TrimSpace(text) == "" && strings.TrimSpace(markup) == "" {
		c.refuse("text", "is empty, and there is no html")
	}
	c.checkPlain("text", text)
	c.checkGiven(markup)
	if err := posthaste.RefuseAll(c.faults); err != nil {
		return Rendered{}, err
	}
	out := Rendered{Subject: subject, Text: []byte(text)}
	if strings.TrimSpace(markup) != "" {
		out.HTML = []byte(markup)
	}
	if strings.TrimSpace(text) == "" {
		doc, err := html.Parse(strings.NewReader(markup))
		if err != nil { // its only cause: more than 512 elements in each other
			return Rendered{}, posthaste.Refuse("html", "its elements stand too deep in each other")
		}
		w := writer{marks: &c.marks}
		words := strings.TrimSpace(w.blocks(doc))
		if words == "" {
			return Rendered{}, posthaste.Refuse("html", "has no words, and there is no text")
		}
		out.Text = closeGaps([]byte(words + "\n"))
	}
	return out, nil
}

// ofDocument are the elements that a whole document has and a body has not.
var ofDocument = map[string]bool{"html": true, "head": true, "body": true, "meta": true, "title": true}

// checkGiven refuses in a document what no mail may hold.
func (c *compiler) checkGiven(markup string) {
	at := inSource("html", markup)
	z := html.NewTokenizer(strings.NewReader(markup))
	z.SetMaxBuf(0)
	for offset := 0; ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		from := offset
		offset += len(z.Raw())
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		if token := z.Token(); ofDocument[token.Data] {
			c.checkAttributes(token, spot{at, from})
		} else {
			c.checkElement(token, spot{at, from})
		}
	}
}
