package templates

import (
	"bytes"
	"fmt"
	stdhtml "html"
	"slices"
	"strconv"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"github.com/vanng822/go-premailer/premailer"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"posthaste"
	"posthaste/templates/language"
)

// assemble puts the body into the layout and makes the three programs.
func (c *compiler) assemble(layout *language.Program) (*Mail, error) {
	source := c.marks.protect(c.body)
	if len(source) > maxHTML+len(c.marks.list)*(len(c.marks.prefix)+len("<!--00000z-->")) {
		return nil, clipped(len(source)) // long before styles are inlined, which takes time
	}
	body, err := html.ParseFragment(strings.NewReader(source), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil { // its only cause: more than 512 elements in each other
		return nil, posthaste.Refuse("body", "its elements or lists stand too deep in each other")
	}
	for _, n := range body {
		c.balance(n)
	}
	c.level(body)
	if err := posthaste.RefuseAll(c.faults); err != nil {
		return nil, err
	}
	text, err := c.textPart(body)
	if err != nil {
		return nil, err
	}
	doc, err := c.document(layout, body)
	if err != nil {
		return nil, err
	}
	// Transform changes doc itself; the text it gives is of no use, as doc changes once more.
	if _, err := premailer.NewPremailer(goquery.NewDocumentFromNode(doc), premailer.NewOptions()).Transform(); err != nil {
		return nil, fmt.Errorf("inline styles: %w", err)
	}
	var links []string
	if !c.notice { // whose links are direct, and which has no pixel
		links = c.links(doc)
		c.pixel(doc)
	}
	program, err := c.program(doc, len(links))
	if err != nil {
		return nil, err
	}
	return &Mail{subject: c.subject, html: program, text: text, fixed: withoutGaps(text.Literals()), links: links}, nil
}

// document parses the layout and puts into it what the author wrote.
func (c *compiler) document(layout *language.Program, body []*html.Node) (*html.Node, error) {
	content := ""
	pieces := located(layout, func(int) place { return place{"layout", 1, 1} })
	for i := range pieces {
		p := &pieces[i]
		if p.piece.Kind != language.Output {
			continue
		}
		switch strings.TrimSpace(strings.Trim(p.text, "{}-")) {
		case subjectName:
			*p = c.inline(c.subject, subjectName)
		case preheaderName:
			*p = c.inline(c.preheader, preheaderName)
		case contentName:
			content = c.marks.put(mark{})
			*p = mapped{text: content}
		}
	}
	doc, err := html.Parse(strings.NewReader(c.marks.protect(pieces)))
	if err != nil {
		return nil, fmt.Errorf("parse layout: %w", err)
	}
	var home *html.Node
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && content != "" && strings.TrimSpace(n.Data) == content {
			home = n
		}
	}
	if home == nil {
		return nil, posthaste.Refuse("layout", "{{ content }} must stand alone in an element")
	}
	for _, n := range body {
		home.Parent.InsertBefore(n, home)
	}
	home.Parent.RemoveChild(home)
	return doc, nil
}

// inline makes the pieces of a one-line field a piece of the layout's HTML.
func (c *compiler) inline(p *language.Program, field string) mapped {
	var b strings.Builder
	for _, piece := range p.Pieces() {
		switch piece.Kind {
		case language.Literal:
			b.WriteString(stdhtml.EscapeString(piece.Text))
		case language.Output, language.Control:
			b.WriteString(c.marks.add(piece, place{field, 1, piece.Offset + 1}))
		}
	}
	return mapped{text: b.String()}
}

// level checks that every tag that opens among siblings also closes among them.
func (c *compiler) level(siblings []*html.Node) {
	var open []found
	for _, n := range siblings {
		if n.Type != html.TextNode && n.Type != html.CommentNode {
			continue
		}
		for _, f := range c.marks.controls(n.Data) {
			switch {
			case f.word == "if" || f.word == "unless" || f.word == "for":
				open = append(open, f)
			case len(open) == 0:
				c.refuseIn(f.from, "this {%% %s %%} and the tag it belongs to must enclose whole elements", f.word)
				return
			case strings.HasPrefix(f.word, "end"):
				open = open[:len(open)-1]
			}
		}
	}
	if len(open) > 0 {
		c.refuseIn(open[0].from, "this {%% %s %%} and its {%% end%s %%} must enclose whole elements", open[0].word, open[0].word)
	}
}

// balance checks the levels under n, after it has put right what the parser
// does to tags between the rows of a table.
func (c *compiler) balance(n *html.Node) {
	if n.DataAtom == atom.Table {
		c.intoRows(n)
	}
	if len(c.faults) == 0 {
		c.level(slices.Collect(n.ChildNodes()))
	}
	for child := range n.ChildNodes() {
		c.balance(child)
	}
}

// intoRows moves tags that stand directly in a table, while the parser put the
// rows that they enclose into a tbody of its own, to the rows.
func (c *compiler) intoRows(table *html.Node) {
	depth := 0
	for n := range table.ChildNodes() {
		if n.Type == html.CommentNode {
			depth += c.marks.depth(n.Data)
		}
	}
	if depth == 0 {
		return
	}
	for _, n := range slices.Backward(slices.Collect(table.ChildNodes())) {
		if rows := c.rowsBeside(n, func(n *html.Node) *html.Node { return n.NextSibling }); rows != nil {
			table.RemoveChild(n)
			rows.InsertBefore(n, rows.FirstChild)
		}
	}
	for _, n := range slices.Collect(table.ChildNodes()) {
		if rows := c.rowsBeside(n, func(n *html.Node) *html.Node { return n.PrevSibling }); rows != nil {
			table.RemoveChild(n)
			rows.AppendChild(n)
		}
	}
}

// rowsBeside gives the tbody that follows n, a tag, on the way that next goes, past text and tags.
func (c *compiler) rowsBeside(n *html.Node, next func(*html.Node) *html.Node) *html.Node {
	if n.Type != html.CommentNode || len(c.marks.controls(n.Data)) == 0 {
		return nil
	}
	for n = next(n); n != nil; n = next(n) {
		if n.Type == html.ElementNode {
			if n.DataAtom == atom.Tbody {
				return n
			}
			return nil
		}
	}
	return nil
}

// links replaces the static destinations of the document's links by names,
// and gives them in order.
func (c *compiler) links(doc *html.Node) []string {
	var list []string
	for n := range doc.Descendants() {
		if n.DataAtom != atom.A {
			continue
		}
		for i := range n.Attr {
			a := &n.Attr[i]
			link := strings.Trim(a.Val, " \t\r\n\f")
			lower := strings.ToLower(link)
			web := strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
			if a.Key != "href" || !web || len(c.marks.find(link)) > 0 {
				continue
			}
			at := slices.Index(list, link)
			if at < 0 {
				at = len(list)
				list = append(list, link)
			}
			a.Val = c.marks.put(mark{tag: "{{ " + clickName + strconv.Itoa(at) + " }}"})
		}
	}
	return list
}

// pixel adds the open beacon at the end of the body, for those who have one.
func (c *compiler) pixel(doc *html.Node) {
	for n := range doc.Descendants() {
		if n.DataAtom != atom.Body {
			continue
		}
		tag := func(text, word string) *html.Node {
			return &html.Node{Type: html.CommentNode, Data: c.marks.put(mark{tag: text, control: true, word: word})}
		}
		n.AppendChild(tag("{% if "+pixelName+" %}", "if"))
		n.AppendChild(&html.Node{Type: html.ElementNode, Data: "img", DataAtom: atom.Img, Attr: []html.Attribute{
			{Key: "src", Val: c.marks.put(mark{tag: "{{ " + pixelName + " }}"})},
			{Key: "width", Val: "1"}, {Key: "height", Val: "1"}, {Key: "alt", Val: ""},
			{Key: "style", Val: "display:block;width:1px;height:1px;border:0"},
		}})
		n.AppendChild(tag("{% endif %}", "endif"))
		return
	}
}

// program parses the finished document and checks what every mail must have.
func (c *compiler) program(doc *html.Node, links int) (*language.Program, error) {
	var out bytes.Buffer
	if err := html.Render(&out, doc); err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	markup, origin := c.marks.restore(out.String())
	known := []string{pixelName}
	for n := range links {
		known = append(known, clickName+strconv.Itoa(n))
	}
	options := c.names.layout().with(known...).options("body", language.HTML)
	options.At = func(offset int) (string, int, int) {
		from := origin(offset)
		return from.field, from.line, from.column
	}
	program, err := language.Parse(markup, options)
	if err != nil {
		return nil, err
	}
	if size := program.LiteralSize(); size > maxHTML {
		return nil, clipped(size)
	}
	needed := []string{"sender.postal_address", "links.unsubscribe"}
	if c.notice {
		needed = []string{"sender.name", "notice.reason"}
	}
	for _, name := range needed {
		if !program.Writes(name) {
			return nil, posthaste.Refuse("layout", "it must always show {{ "+name+" }}")
		}
	}
	return program, nil
}

func clipped(size int) error {
	return posthaste.Refuse("body", fmt.Sprintf(
		"its HTML is %d bytes long; over %d Gmail hides the end, with the link to unsubscribe", size, maxHTML))
}
