package templates

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// table writes a table row by row. Cells of one line stand beside each other;
// a row with a longer one is layout, and its cells are written one by one.
func (w *writer) table(n *html.Node) string {
	var b strings.Builder
	w.rows(&b, n)
	return strings.TrimRight(b.String(), "\n") + "\n\n"
}

func (w *writer) rows(b *strings.Builder, n *html.Node) {
	for child := range n.ChildNodes() {
		switch {
		case child.Type == html.CommentNode:
			b.WriteString(w.tags(child))
		case child.Type != html.ElementNode || w.isHidden(child):
		case child.DataAtom == atom.Tr:
			b.WriteString(w.row(child))
		case child.DataAtom == atom.Caption:
			b.WriteString(w.blocks(child))
		default:
			w.rows(b, child)
		}
	}
}

func (w *writer) row(n *html.Node) string {
	type cell struct {
		text string
		tag  bool // of the template, between cells
	}
	var cells []cell
	layout := false
	for child := range n.ChildNodes() {
		switch {
		case child.Type == html.CommentNode:
			cells = append(cells, cell{w.tags(child), true})
		case child.Type == html.ElementNode && !w.isHidden(child):
			text := strings.TrimSpace(w.blocks(child))
			layout = layout || strings.Contains(text, "\n")
			cells = append(cells, cell{text: text})
		}
	}
	between, after := " | ", "\n"
	if layout {
		between, after = "\n\n", "\n\n"
	}
	var b strings.Builder
	first, words := true, false
	for _, c := range cells {
		if !c.tag && !first && (!layout || c.text != "") {
			b.WriteString(between)
		}
		if !c.tag && (!layout || c.text != "") {
			first = false
			words = words || c.text != ""
		}
		b.WriteString(c.text)
	}
	if !words && b.Len() < len(between)*len(cells) {
		return "" // nothing but spacers
	}
	return b.String() + after
}
