package templates

import (
	"bytes"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// steering teaches Markdown that a line of nothing but {% tags %} is no
// paragraph: it stands between the blocks, list items or table rows around it.
type steering struct{ marks *marks }

var steeringKind = ast.NewNodeKind("Steering")

// steeringLine is such a line.
type steeringLine struct {
	ast.BaseBlock
	text string // the words of its tags
}

func (*steeringLine) Kind() ast.NodeKind          { return steeringKind }
func (n *steeringLine) Dump(source []byte, l int) { ast.DumpHelper(n, source, l, nil, nil) }

// alone gives the words of a line that has nothing but steering tags, or "".
func (s *steering) alone(line []byte) string {
	var words bytes.Buffer
	rest := string(bytes.TrimSpace(line))
	at := 0
	for _, f := range s.marks.find(rest) {
		if !f.control || len(bytes.TrimSpace([]byte(rest[at:f.at]))) > 0 {
			return ""
		}
		words.WriteString(rest[f.at:f.end])
		at = f.end
	}
	if at != len(rest) {
		return ""
	}
	return words.String()
}

// Trigger is part of parser.BlockParser, as are the next five.
func (s *steering) Trigger() []byte { return []byte{s.marks.prefix[0]} }

// Open takes a line of steering tags, unless it may stand between the rows of a table.
func (s *steering) Open(_ ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	line, segment := reader.PeekLine()
	words := s.alone(line)
	if words == "" || insideTable(pc, reader.Source()) {
		return nil, parser.NoChildren
	}
	n := &steeringLine{text: words}
	n.SetPos(segment.Start)
	reader.AdvanceToEOL()
	return n, parser.NoChildren
}

// insideTable reports whether the open paragraph will become a table: whether
// it holds a delimiter row.
func insideTable(pc parser.Context, source []byte) bool {
	open := pc.OpenedBlocks()
	if len(open) == 0 {
		return false
	}
	paragraph, ok := open[len(open)-1].Node.(*ast.Paragraph)
	if !ok {
		return false
	}
	for i := 1; i < paragraph.Lines().Len(); i++ {
		segment := paragraph.Lines().At(i)
		row := bytes.TrimSpace(segment.Value(source))
		if len(row) > 0 && len(bytes.Trim(row, "-:| \t")) == 0 && bytes.ContainsRune(row, '|') && bytes.ContainsRune(row, '-') {
			return true
		}
	}
	return false
}

// Continue ends the block: it is one line.
func (s *steering) Continue(ast.Node, text.Reader, parser.Context) parser.State { return parser.Close }

// Close has nothing to do.
func (s *steering) Close(ast.Node, text.Reader, parser.Context) {}

// CanInterruptParagraph says yes.
func (s *steering) CanInterruptParagraph() bool { return true }

// CanAcceptIndentedLine says no: such a line is code.
func (s *steering) CanAcceptIndentedLine() bool { return false }

// Transform makes rows of tags into steering lines and joins lists that only
// such lines divide.
func (s *steering) Transform(doc *ast.Document, reader text.Reader, _ parser.Context) {
	var tables, parents []ast.Node
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			switch n.Kind() {
			case extast.KindTable:
				tables = append(tables, n)
			case ast.KindList:
				parents = append(parents, n.Parent())
			}
		}
		return ast.WalkContinue, nil
	})
	for _, table := range tables {
		s.rows(table, reader.Source())
	}
	for _, parent := range parents {
		s.joinLists(parent)
	}
}

// rows makes the rows of a table that hold only tags into steering lines;
// those at its end that close what was opened before it go behind it.
func (s *steering) rows(table ast.Node, source []byte) {
	for row := table.FirstChild(); row != nil; {
		next := row.NextSibling()
		if words := s.row(row, source); words != "" {
			n := &steeringLine{text: words}
			n.SetPos(row.Pos())
			table.ReplaceChild(table, row, n)
		}
		row = next
	}
	for depth := s.depth(table.FirstChild(), nil); depth != 0; depth = s.depth(table.FirstChild(), nil) {
		last, ok := table.LastChild().(*steeringLine)
		if !ok {
			return
		}
		table.RemoveChild(table, last)
		table.Parent().InsertAfter(table.Parent(), table, last)
	}
}

// row gives the words of a row that has only them, in its first cell.
func (s *steering) row(row ast.Node, source []byte) string {
	if row.Kind() != extast.KindTableRow {
		return ""
	}
	words := ""
	for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
		var content []byte
		if cell.Lines().Len() > 0 {
			segment := cell.Lines().At(0)
			content = segment.Value(source)
		}
		switch {
		case cell == row.FirstChild():
			words = s.alone(content)
		case len(bytes.TrimSpace(content)) > 0:
			return ""
		}
	}
	return words
}

// depth counts how many tags from first up to end (excluded) stay open.
func (s *steering) depth(first, end ast.Node) int {
	depth := 0
	for n := first; n != nil && n != end; n = n.NextSibling() {
		if line, ok := n.(*steeringLine); ok {
			depth += s.marks.depth(line.text)
		}
	}
	return depth
}

// joinLists makes one list of lists that only steering lines divide, where
// the tags open and close among them, and takes a loop around a list into it.
func (s *steering) joinLists(parent ast.Node) {
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		end, list := s.listRun(n)
		if end == nil {
			continue
		}
		after := end.NextSibling()
		home := ast.NewList(list.Marker)
		home.Start, home.IsTight = list.Start, list.IsTight
		parent.InsertBefore(parent, n, home)
		for part := n; part != after; {
			next := part.NextSibling()
			parent.RemoveChild(parent, part)
			if part.Kind() != ast.KindList {
				home.AppendChild(home, part)
			}
			for item := part.FirstChild(); item != nil && part.Kind() == ast.KindList; {
				following := item.NextSibling()
				home.AppendChild(home, item)
				item = following
			}
			part = next
		}
		n = home
	}
}

// listRun finds the longest run from n of lists and steering lines that can
// be one list: it has a loop or several lists, all alike, and every tag in it
// closes in it. It gives its last node and its first list.
func (s *steering) listRun(n ast.Node) (end ast.Node, first *ast.List) {
	depth, lists, steers := 0, 0, false
	loop := false
	if line, ok := n.(*steeringLine); ok {
		words := s.marks.controls(line.text)
		loop = len(words) == 1 && words[0].word == "for"
	}
	var list *ast.List
	for ; n != nil; n = n.NextSibling() {
		switch part := n.(type) {
		case *ast.List:
			if list != nil && list.Marker != part.Marker {
				return end, first
			}
			if list == nil {
				list = part
			}
			lists++
		case *steeringLine:
			steers = true
			if depth == 0 && s.marks.depth(part.text) <= 0 {
				return end, first
			}
			depth += s.marks.depth(part.text)
		default:
			return end, first
		}
		if depth == 0 && steers && list != nil && (lists > 1 || loop) {
			end, first = n, list
		}
	}
	return end, first
}

// RegisterFuncs is part of renderer.NodeRenderer.
func (s *steering) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(steeringKind, func(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		_, err := w.WriteString(n.(*steeringLine).text + "\n")
		if n.Parent().Kind() == extast.KindTable && n.NextSibling() == nil {
			_, err = w.WriteString("</tbody>\n") // which the last row would have written
		}
		return ast.WalkContinue, err
	})
}
