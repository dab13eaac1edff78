package language

import "strconv"

type nodeKind uint8

const (
	literalNode nodeKind = iota
	outputNode
	ifNode
	loopNode
)

type node struct {
	kind     nodeKind
	text     string
	index    int // of a literal, among Literals
	out      *output
	branches []branch
	loop     *loop
}

type output struct {
	expr   expression
	escape escape
	name   string // as written, for errors
}

type branch struct {
	cond   *condition // nil: else
	negate bool
	body   []node
}

type loop struct {
	list      expression
	limit     int
	body      []node
	otherwise []node
}

// block reads nodes up to a closing or dividing tag, which it gives back, or to the end.
func (p *parser) block(open *segment) ([]node, *segment) {
	var nodes []node
	for p.next < len(p.segments) {
		s := &p.segments[p.next]
		p.next++
		if p.opts.Context == HTML {
			s.Place = p.html.state.place()
		}
		switch s.Kind {
		case Literal:
			p.read(s)
			if s.inner != "" {
				nodes = append(nodes, node{kind: literalNode, text: s.inner})
			}
		case Output:
			if out := p.output(s); out != nil {
				nodes = append(nodes, node{kind: outputNode, out: out})
			}
		case Control:
			switch s.word {
			case "if", "unless":
				nodes = append(nodes, p.choice(s))
			case "for":
				nodes = append(nodes, p.round(s))
			case "elsif", "else", "endif", "endunless", "endfor":
				return nodes, s
			default:
				p.unknownTag(s)
			}
		}
	}
	if open != nil {
		p.fault(open.Offset, "{%% %s %%} is never closed with {%% end%s %%}", open.word, open.word)
	}
	return nodes, nil
}

func (p *parser) unknownTag(s *segment) {
	switch s.word {
	case "endraw", "endcomment":
		p.fault(s.Offset, "{%% %s %%} without its opening tag", s.word)
	case "":
		p.fault(s.Offset, "the tag is empty")
	default:
		p.fault(s.Offset, "unknown tag %s; known are if, unless, for, comment and raw", s.word)
	}
}

// read follows the places of a literal.
func (p *parser) read(s *segment) {
	p.literal = s
	switch p.opts.Context {
	case HTML:
		p.html.read(s.inner)
	case Header:
		for i := 0; i < len(s.inner); i++ {
			if c := s.inner[i]; c == '\r' || c == '\n' || c == 0 {
				p.fault(s.innerAt+i, "this must be one line")
				return
			}
		}
	}
}

func (p *parser) faultInLiteral(index int, reason string) {
	p.fault(p.literal.innerAt+index, "%s", reason)
}

func (p *parser) line(s *segment) (*line, bool) {
	list, ok := p.tokens(s.inner, s.innerAt)
	return &line{parser: p, list: list, end: s.innerAt + len(s.inner)}, ok
}

func (p *parser) output(s *segment) *output {
	l, ok := p.line(s)
	if !ok {
		return nil
	}
	e, ok := l.expression()
	if !ok || !l.done() {
		return nil
	}
	out := &output{expr: e, name: nameOf(s.inner)}
	switch p.opts.Context {
	case Text:
		out.escape = asText
	case Header:
		out.escape = asHeader
	case HTML:
		var reason string
		if out.escape, reason = p.html.output(); reason != "" {
			p.fault(s.Offset, "%s", reason)
			return nil
		}
		p.refine(out)
	}
	return out
}

// refine lets a trusted URL stand whole, and spares a value that its author
// encodes for the URL from being encoded twice.
func (p *parser) refine(out *output) {
	e := &out.expr
	switch out.escape {
	case asURL:
		trusted := p.opts.TrustedURLs
		if trusted != nil && len(e.filters) == 0 && e.first.kind == pathOperand && trusted(e.first.path) {
			out.escape = asMarkup
		}
	case asURLPart:
		if last := len(e.filters) - 1; last >= 0 && e.filters[last].id == urlEncodeFilter {
			e.filters = e.filters[:last]
		}
	}
}

// choice reads {% if %} or {% unless %} to its end.
func (p *parser) choice(open *segment) node {
	n := node{kind: ifNode}
	defer p.nest(open)()
	before := p.html.state
	var after []state
	tag, closer, otherwise := open, "end"+open.word, false
	for {
		b := branch{negate: tag.word == "unless"}
		l, ok := p.line(tag)
		if ok {
			l.take()
			if tag.word != "else" {
				b.cond, ok = l.condition()
			}
			_ = ok && l.done()
		}
		p.html.state = before
		at := tag
		b.body, tag = p.block(open)
		n.branches = append(n.branches, b)
		after = append(after, p.html.state)
		switch {
		case tag == nil:
			return n
		case tag.word == closer:
			if !otherwise {
				after = append(after, before)
			}
			p.bare(tag)
			p.join(tag, after)
			return n
		case tag.word != "else" && tag.word != "elsif" || otherwise:
			p.fault(tag.Offset, "{%% %s %%} does not belong to the {%% %s %%} before it", tag.word, at.word)
			if tag.word != "else" && tag.word != "elsif" {
				return n
			}
		}
		otherwise = otherwise || tag.word == "else"
	}
}

// round reads {% for %} to its end.
func (p *parser) round(open *segment) node {
	defer p.nest(open)()
	n := node{kind: loopNode, loop: &loop{limit: maxRounds}}
	opened := p.loopHead(open, n.loop)
	if len(p.loops) >= maxNesting {
		p.fault(open.Offset, "loops may stand at most %d deep in each other", maxNesting)
	}
	before := p.html.state
	p.loops = append(p.loops, opened)
	body, tag := p.block(open)
	p.loops = p.loops[:len(p.loops)-1]
	n.loop.body = body
	after := []state{before, p.html.state}
	if tag != nil && tag.word == "else" {
		p.bare(tag)
		p.html.state = before
		n.loop.otherwise, tag = p.block(open)
		after = append(after, p.html.state)
	}
	switch {
	case tag == nil:
	case tag.word != "endfor":
		p.fault(tag.Offset, "{%% %s %%} does not belong to the {%% for %%} before it", tag.word)
	default:
		p.bare(tag)
		p.join(tag, after)
	}
	return n
}

// loopHead reads: for item in expression limit: n.
func (p *parser) loopHead(open *segment, to *loop) (opened openLoop) {
	l, ok := p.line(open)
	if !ok {
		return opened
	}
	l.take()
	name := l.take()
	if name.kind != nameToken || name.text == "forloop" || !l.is("in") {
		p.fault(name.at, "a loop is written: for item in list")
		return openLoop{item: name.text}
	}
	if to.list, ok = l.expression(); !ok {
		return openLoop{item: name.text}
	}
	opened = openLoop{item: name.text, path: l.listPath(to.list)}
	if l.is("limit") {
		at := l.peek().at
		t := token{}
		if l.is(":") {
			at, t = l.peek().at, l.take()
		}
		limit, err := strconv.Atoi(t.text)
		if t.kind != numberToken || err != nil || limit < 1 || limit > maxRounds {
			p.fault(at, "limit: takes a whole number from 1 to %d", maxRounds)
			return opened
		}
		to.limit = limit
	}
	l.done()
	return opened
}

// bare refuses anything after the word of a tag that stands alone.
func (p *parser) bare(s *segment) {
	if l, ok := p.line(s); ok {
		l.take()
		l.done()
	}
}

// join checks that all ways through a tag end in the same place of the HTML.
func (p *parser) join(tag *segment, after []state) {
	if p.opts.Context != HTML {
		return
	}
	for i := range after[1:] {
		if a, b := after[i], after[i+1]; a != b {
			p.fault(tag.Offset, "the ways to this {%% %s %%} end in different places of the HTML: one %s, one %s",
				tag.word, a.describe(), b.describe())
			break
		}
	}
	p.html.state = after[0]
}

// nest counts the depth of blocks; what is too deep is skipped by the caller's own end.
func (p *parser) nest(open *segment) func() {
	p.depth++
	if p.depth > maxBlocks {
		p.fault(open.Offset, "tags may stand at most %d deep in each other", maxBlocks)
		p.next = len(p.segments)
	}
	return func() { p.depth-- }
}
