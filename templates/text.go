package templates

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"posthaste/templates/language"
)

// footer ends every text part: who sends, from where, and how to stop it.
const footer = `

--------
{{ sender.name }}
{{ sender.postal_address }}

You receive this because you chose {{ topic.name }}.
Unsubscribe: {{ links.unsubscribe }}
{% if links.preferences %}Choose your topics and what we may measure: {{ links.preferences }}
{% endif %}`

// noticeFooter ends the text part of a notice: who sends, why, and, if the
// recipient can switch it off, how.
const noticeFooter = `

--------
{{ sender.name }}
{% if sender.postal_address %}{{ sender.postal_address }}
{% endif %}
You receive this because {{ notice.reason }}.
{% if links.unsubscribe %}Switch these notices off: {{ links.unsubscribe }}
{% endif %}{% if links.preferences %}Your choices: {{ links.preferences }}
{% endif %}`

// textPart is what the author wrote as such, or else made of the body.
func (c *compiler) textPart(body []*html.Node) (*language.Program, error) {
	if c.written == nil {
		return c.text(body)
	}
	return language.Parse(*c.written+noticeFooter, c.names.layout().options("text", language.Text))
}

// text makes the text part of the body: the same words, and the same tags of
// the template, without markup. Its links are direct.
func (c *compiler) text(body []*html.Node) (*language.Program, error) {
	root := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	for _, n := range body {
		root.AppendChild(n)
	}
	w := writer{marks: &c.marks}
	source, origin := c.marks.restore(strings.TrimSpace(w.blocks(root)))
	for _, n := range body {
		root.RemoveChild(n)
	}
	options := c.names.layout().options("body", language.Text)
	options.At = func(offset int) (string, int, int) {
		from := origin(offset)
		return from.field, from.line, from.column
	}
	if c.notice {
		return language.Parse(source+noticeFooter, options)
	}
	return language.Parse(source+footer, options)
}

// writer writes HTML as plain text. Marks stay where they are; blocks end
// with a blank line of their own, so that what is conditional takes its
// blank line along.
type writer struct{ marks *marks }

// hidden are elements without words.
var hidden = map[atom.Atom]bool{
	atom.Style: true, atom.Script: true, atom.Head: true, atom.Title: true, atom.Template: true, atom.Colgroup: true,
}

// inlines are the elements that stand in a line of text; all others are blocks.
var inlines = map[atom.Atom]bool{
	atom.A: true, atom.Abbr: true, atom.B: true, atom.Bdi: true, atom.Bdo: true, atom.Big: true, atom.Br: true,
	atom.Cite: true, atom.Code: true, atom.Del: true, atom.Dfn: true, atom.Em: true, atom.Font: true, atom.I: true,
	atom.Img: true, atom.Ins: true, atom.Kbd: true, atom.Label: true, atom.Mark: true, atom.Q: true, atom.S: true,
	atom.Samp: true, atom.Small: true, atom.Span: true, atom.Strike: true, atom.Strong: true, atom.Sub: true,
	atom.Sup: true, atom.Time: true, atom.Tt: true, atom.U: true, atom.Var: true, atom.Wbr: true,
}

// blocks writes what stands in n, lines of text and blocks.
func (w *writer) blocks(n *html.Node) string {
	var out, line strings.Builder
	flush := func() {
		if text := tidy(line.String()); text != "" {
			out.WriteString(text + "\n\n")
		}
		line.Reset()
	}
	for child := range n.ChildNodes() {
		switch {
		case w.isHidden(child):
		case child.Type == html.CommentNode && strings.TrimSpace(line.String()) == "":
			line.Reset()
			out.WriteString(w.tags(child))
		case w.isInline(child):
			line.WriteString(w.inline(child))
		default:
			flush()
			out.WriteString(w.block(child))
		}
	}
	flush()
	return out.String()
}

// tags gives the marks of a comment; what else it holds is no text.
func (w *writer) tags(n *html.Node) string {
	var b strings.Builder
	for _, f := range w.marks.controls(n.Data) {
		b.WriteString(n.Data[f.at:f.end])
	}
	return b.String()
}

func (w *writer) isHidden(n *html.Node) bool {
	if n.Type != html.ElementNode {
		return n.Type == html.DoctypeNode
	}
	style := strings.ReplaceAll(strings.ToLower(attribute(n, "style")), " ", "")
	return hidden[n.DataAtom] || strings.Contains(style, "display:none")
}

// isInline reports whether n stands in a line: no block is in it, but a link is always one.
func (w *writer) isInline(n *html.Node) bool {
	if n.Type != html.ElementNode || n.DataAtom == atom.A {
		return true
	}
	if !inlines[n.DataAtom] {
		return false
	}
	for child := range n.ChildNodes() {
		if !w.isInline(child) {
			return false
		}
	}
	return true
}

// inline writes n as a part of a line.
func (w *writer) inline(n *html.Node) string {
	switch {
	case n.Type == html.TextNode:
		return spaced(n.Data)
	case n.Type == html.CommentNode:
		return w.tags(n)
	case w.isHidden(n):
		return ""
	case n.DataAtom == atom.Br:
		return "\n"
	case n.DataAtom == atom.Img:
		return spaced(attribute(n, "alt"))
	}
	var b strings.Builder
	for child := range n.ChildNodes() {
		b.WriteString(w.inline(child))
		if child.Type == html.ElementNode && !inlines[child.DataAtom] {
			b.WriteByte(' ')
		}
	}
	if n.DataAtom == atom.A {
		return link(b.String(), strings.TrimSpace(attribute(n, "href")))
	}
	return b.String()
}

// link writes: words (https://…), and only the address where the words are the address.
func link(words, address string) string {
	short := address
	for _, scheme := range []string{"mailto:", "tel:", "https://", "http://"} {
		short = strings.TrimPrefix(short, scheme)
	}
	text := strings.TrimSpace(words)
	switch {
	case address == "" || strings.HasPrefix(address, "#"):
		return words
	case text == "":
		return address
	case text == address || text == strings.TrimSuffix(short, "/"):
		return strings.Replace(words, text, strings.TrimPrefix(strings.TrimPrefix(address, "mailto:"), "tel:"), 1)
	}
	return strings.Replace(words, text, text+" ("+address+")", 1)
}

// block writes an element that stands by itself.
func (w *writer) block(n *html.Node) string {
	switch n.DataAtom {
	case atom.H1, atom.H2:
		text := strings.TrimSpace(w.blocks(n))
		if text == "" {
			return ""
		}
		under := "-"
		if n.DataAtom == atom.H1 {
			under = "="
		}
		return text + "\n" + strings.Repeat(under, w.width(text)) + "\n\n"
	case atom.Ul, atom.Ol:
		return w.list(n)
	case atom.Blockquote:
		return prefixed(strings.TrimSpace(w.blocks(n)), "> ", "> ") + "\n\n"
	case atom.Pre:
		return strings.Trim(w.verbatim(n), "\n") + "\n\n"
	case atom.Table:
		return w.table(n)
	case atom.Hr:
		return strings.Repeat("-", 40) + "\n\n"
	}
	return w.blocks(n)
}

// width is the length of the longest line, with a guess for each output.
func (w *writer) width(text string) int {
	const guess = 10
	var seen strings.Builder
	at := 0
	for _, f := range w.marks.find(text) {
		seen.WriteString(text[at:f.at])
		if !f.control {
			seen.WriteString(strings.Repeat("x", guess))
		}
		at = f.end
	}
	seen.WriteString(text[at:])
	longest := 3
	for line := range strings.SplitSeq(seen.String(), "\n") {
		longest = max(longest, len([]rune(line)))
	}
	return min(longest, 60)
}

// list writes the items of n, numbered or not.
func (w *writer) list(n *html.Node) string {
	var b strings.Builder
	number := 1
	if start, err := strconv.Atoi(attribute(n, "start")); err == nil {
		number = start
	}
	for child := range n.ChildNodes() {
		switch {
		case child.Type == html.CommentNode:
			b.WriteString(w.tags(child))
		case child.Type == html.ElementNode:
			bullet := "- "
			if n.DataAtom == atom.Ol {
				bullet = strconv.Itoa(number) + ". "
				number++
			}
			text := strings.TrimSpace(w.blocks(child))
			b.WriteString(prefixed(tight(text), bullet, strings.Repeat(" ", len(bullet))) + "\n")
		case strings.TrimSpace(child.Data) != "":
			b.WriteString(tidy(spaced(child.Data)))
		}
	}
	return b.String() + "\n"
}

// tight takes the blank line out before a list within an item.
func tight(text string) string {
	text = strings.ReplaceAll(text, "\n\n- ", "\n- ")
	return strings.ReplaceAll(text, "\n\n1. ", "\n1. ")
}

// prefixed puts first before the first line of text, and rest before the others.
func prefixed(text, first, rest string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		before := rest
		if i == 0 {
			before = first
		}
		lines[i] = strings.TrimRight(before+lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// verbatim is the text of n with its line ends.
func (w *writer) verbatim(n *html.Node) string {
	switch {
	case n.Type == html.TextNode:
		return n.Data
	case n.Type == html.CommentNode:
		return w.tags(n)
	case n.DataAtom == atom.Br:
		return "\n"
	}
	var b strings.Builder
	for child := range n.ChildNodes() {
		b.WriteString(w.verbatim(child))
	}
	return b.String()
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// spaced makes each run of HTML white space one space.
func spaced(text string) string {
	const white = " \t\r\n\f"
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(white, r) })
	if len(fields) == 0 {
		if text == "" {
			return ""
		}
		return " "
	}
	joined := strings.Join(fields, " ")
	if strings.ContainsRune(white, rune(text[0])) {
		joined = " " + joined
	}
	if strings.ContainsRune(white, rune(text[len(text)-1])) {
		joined += " "
	}
	return joined
}

// tidy drops the spaces around line ends, and double ones.
func tidy(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for strings.Contains(line, "  ") {
			line = strings.ReplaceAll(line, "  ", " ")
		}
		lines[i] = strings.Trim(line, " ")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
