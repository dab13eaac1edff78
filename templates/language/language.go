// Package language is the template language of campaign texts. It looks like
// Liquid: {{ name | filter: "x" }}, {% if %}, {% unless %}, {% for %},
// {% comment %}, {% raw %} and whitespace control with a dash. A template is
// parsed once and rendered many times.
//
// It differs from Liquid where mail needs it:
//   - an unknown name, filter or tag is an error at parse, never an empty text;
//   - escaping is chosen at parse by the place of the output (text, attribute,
//     URL), and a place that cannot be made safe is refused;
//   - an empty text and an empty list count as false, like nil;
//   - "and" binds tighter than "or"; there are no parentheses;
//   - a text that reads as a number is compared as one when the other side is a number.
//
// There is no assignment, no include and no filter that reads files, the
// environment, the network or the clock. Values are never parsed as template.
// HTML places follow the tokenizer of the WHATWG HTML standard (section 13.2.5),
// percent-encoding follows RFC 3986 section 2. The package checks no element
// against any policy beyond what it needs to know the place of an output.
package language

import (
	"fmt"
	"slices"
	"strings"

	"posthaste"
)

// Context says what a rendered template becomes part of.
type Context uint8

// The contexts.
const (
	// HTML: a document or a run of whole elements; values are escaped for their place.
	HTML Context = iota
	// Text: plain text; values are written as they are, without NUL.
	Text
	// Header: one line of a message header; a CR, LF or NUL in a value is an
	// error of the render, never silently changed.
	Header
)

// Item stands in a path for each item of a list.
const Item = "[]"

// Options of Parse. Only Name is needed.
type Options struct {
	// Name is the field that errors name: "body".
	Name    string
	Context Context
	// Known reports whether a name, as its parts between the dots, may be
	// used; Item stands for an item of a list. Nil: every name may.
	Known func(path []string) bool
	// Names are the dotted names from which errors suggest the nearest.
	Names []string
	// TrustedURLs reports whether the value of a name is a whole URL made by
	// us: at the start of a URL attribute, and without filters, it is
	// HTML-escaped only. Nil: none is.
	TrustedURLs func(path []string) bool
	// At translates a byte offset of the source to a place its author knows.
	// Nil: Name, and the line and column in the source.
	At func(offset int) (name string, line, column int)
}

// Limits of a template and of one render.
const (
	maxOutput  = 1 << 20  // bytes of one render, and of any value on the way
	maxRounds  = 100      // of one loop; what is past it is not shown
	maxNesting = 4        // loops within loops
	maxBlocks  = 50       // tags within tags of any kind
	maxWork    = 16 << 20 // bytes handled by one render, roughly: keeps it under some ten milliseconds
	maxTags    = 5000     // of one template
	maxFaults  = 20       // reported at once
)

// Lookup gives the value of a name: nil, a string, *string (spares an
// allocation), bool, int, int64, float64, time.Time, []string, []any,
// map[string]string or map[string]any. ok is false when there is none: nil.
// It must not keep or change path.
type Lookup func(path []string) (value any, ok bool)

// Program is a parsed template. It is immutable and safe for concurrent use.
type Program struct {
	name     string
	context  Context
	nodes    []node
	pieces   []Piece
	literals []string
}

// Sink takes a render in its parts, in order.
type Sink interface {
	// Literal is the nth of the program's Literals, from 0.
	Literal(n int)
	// Value is what an output writes, escaped for its place. It is good until
	// the call returns.
	Value(text []byte)
}

// Parse reads a template. All faults it finds, up to 20, are reported at once
// as a *posthaste.Error of kind Invalid, each with its line and column (in
// characters, from 1).
func Parse(source string, opts Options) (*Program, error) {
	p := &parser{source: source, opts: opts}
	p.html.fault = p.faultInLiteral
	p.segments = p.split()
	nodes, end := p.block(nil)
	if end != nil {
		p.fault(end.Offset, "{%% %s %%} without its opening tag", end.word)
	}
	if opts.Context == HTML && len(p.faults) == 0 && p.html.state.at != inText {
		p.fault(len(source), "the text ends %s", p.html.state.describe())
	}
	if err := posthaste.RefuseAll(p.faults); err != nil {
		return nil, err
	}
	pieces := make([]Piece, len(p.segments))
	for i := range p.segments {
		pieces[i] = p.segments[i].Piece
	}
	program := &Program{name: opts.Name, context: opts.Context, nodes: nodes, pieces: pieces}
	program.number(nodes)
	return program, nil
}

// number gives the literals their places in the program's list.
func (p *Program) number(nodes []node) {
	for i := range nodes {
		n := &nodes[i]
		if n.kind == literalNode {
			n.index = len(p.literals)
			p.literals = append(p.literals, n.text)
		}
		for _, b := range n.branches {
			p.number(b.body)
		}
		if n.loop != nil {
			p.number(n.loop.body)
			p.number(n.loop.otherwise)
		}
	}
}

// Literals gives the fixed texts, those of every branch. The caller must not change them.
func (p *Program) Literals() []string { return p.literals }

// Pieces gives the source in its parts, in order; their texts together are
// the source. The caller must not change them.
func (p *Program) Pieces() []Piece { return p.pieces }

// LiteralSize is the number of bytes of fixed text, of all branches together.
func (p *Program) LiteralSize() (size int) {
	for _, text := range p.literals {
		size += len(text)
	}
	return size
}

// Writes reports whether every render writes the value of the dotted name:
// whether it is output outside every condition and loop.
func (p *Program) Writes(name string) bool {
	return slices.ContainsFunc(p.nodes, func(n node) bool {
		return n.kind == outputNode && strings.Join(n.out.expr.first.path, ".") == name
	})
}

// LineColumn gives the line and the column, in characters, of a byte offset; both from 1.
func LineColumn(source string, offset int) (line, column int) {
	before := source[:min(offset, len(source))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, len([]rune(before[start:])) + 1
}

func (p *parser) fault(offset int, format string, args ...any) {
	if len(p.faults) >= maxFaults {
		return
	}
	name := p.opts.Name
	line, column := 0, 0
	if p.opts.At != nil {
		name, line, column = p.opts.At(offset)
	} else {
		line, column = LineColumn(p.source, offset)
	}
	reason := fmt.Sprintf("line %d, column %d: ", line, column) + fmt.Sprintf(format, args...)
	p.faults = append(p.faults, posthaste.Field{Name: name, Reason: reason})
}
