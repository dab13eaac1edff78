package templates

import (
	"bytes"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"posthaste/templates/language"
)

// markdown reads a body written in Markdown: CommonMark with the tables and
// the strike-through of GitHub, and raw HTML. The tags of the template pass
// through as words and come back as tags of an HTML template.
func (c *compiler) markdown() []mapped {
	at := inSource("body", c.src.Body)
	program, err := language.Parse(c.src.Body, c.names.options("body", language.Text))
	if !c.take(err) {
		return nil
	}
	source, where := c.words(program, at)
	steps := &steering{marks: &c.marks}
	converter := goldmark.New(
		goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.Linkify),
		goldmark.WithParserOptions(
			parser.WithBlockParsers(util.Prioritized(steps, 50)),
			parser.WithASTTransformers(util.Prioritized(steps, 500)),
		),
		goldmark.WithRendererOptions(html.WithUnsafe(), renderer.WithNodeRenderers(util.Prioritized(steps, 500))),
	)
	tree := converter.Parser().Parse(text.NewReader([]byte(source)))
	c.checkMarkdown(tree, []byte(source), where)
	var out bytes.Buffer
	if err := converter.Renderer().Render(&out, []byte(source), tree); !c.take(err) || len(c.faults) > 0 {
		return nil
	}
	markup, origin := c.marks.restore(out.String())
	options := c.names.options("body", language.HTML)
	options.At = func(offset int) (string, int, int) {
		from := origin(offset)
		return from.field, from.line, from.column
	}
	program, err = language.Parse(markup, options)
	if !c.take(err) {
		return nil
	}
	return located(program, origin)
}

// checkMarkdown refuses what a mailing must not hold, where the author wrote it.
func (c *compiler) checkMarkdown(tree ast.Node, source []byte, where func(int) place) {
	lines := func(segments *text.Segments, last text.Segment) {
		var markup bytes.Buffer
		var starts [][2]int // in markup, in source
		add := func(s text.Segment) {
			starts = append(starts, [2]int{markup.Len(), s.Start})
			markup.Write(s.Value(source))
		}
		for i := range segments.Len() {
			add(segments.At(i))
		}
		if last.Start >= 0 && last.Stop > last.Start {
			add(last)
		}
		c.check(markup.String(), func(offset int) place {
			there := offset
			for _, s := range starts {
				if s[0] <= offset {
					there = s[1] + offset - s[0]
				}
			}
			return where(there)
		})
	}
	none := text.NewSegment(-1, -1)
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.HTMLBlock:
			lines(n.Lines(), n.ClosureLine)
		case *ast.RawHTML:
			lines(n.Segments, none)
		case *ast.Link:
			c.checkLink(string(n.Destination), spot{where, n.Pos()})
		case *ast.Image:
			c.checkImage(string(n.Destination), spot{where, n.Pos()})
			c.checkNoBeacon(string(n.Destination), nil, spot{where, n.Pos()})
		case *ast.AutoLink:
			if n.AutoLinkType == ast.AutoLinkURL {
				c.checkLink(string(n.URL(source)), spot{where, n.Pos()})
			}
		}
		return ast.WalkContinue, nil
	})
}
