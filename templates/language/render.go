package language

import (
	"fmt"
	"strconv"
	"strings"

	"posthaste"
)

// Append renders the program with the values of lookup and appends the result
// to dst. On error dst is given back as it was. An error about a value, or
// about a limit, is a *posthaste.Error that names the field.
func (p *Program) Append(dst []byte, lookup Lookup) ([]byte, error) {
	r := rendering{program: p, lookup: lookup, dst: dst, before: len(dst)}
	r.nodes(p.nodes)
	if r.err != nil {
		return dst, r.err
	}
	return r.dst, nil
}

// Write renders the program into a sink instead: the same bytes as Append
// gives, in their parts. scratch is memory for values; it is given back, to be
// used again. After an error what the sink got is of no use.
func (p *Program) Write(to Sink, lookup Lookup, scratch []byte) ([]byte, error) {
	r := rendering{program: p, lookup: lookup, sink: to, dst: scratch[:0]}
	r.nodes(p.nodes)
	return r.dst[:0], r.err
}

type rendering struct {
	program *Program
	lookup  Lookup
	sink    Sink   // nil: everything is appended to dst
	dst     []byte // with a sink, the value that is being written
	before  int    // what dst held before this render
	passed  int    // bytes that went to the sink
	work    int
	loops   [maxNesting]pass
	err     error // the first; nothing is written after it
}

// pass is one round of a loop.
type pass struct {
	item    value
	index   int // from 0
	of      int
	started bool
}

func (r *rendering) nodes(nodes []node) {
	for i := range nodes {
		if r.err != nil {
			return
		}
		n := &nodes[i]
		r.spend(16)
		switch n.kind {
		case literalNode:
			r.literal(n)
		case outputNode:
			r.write(n.out)
			r.pass()
		case ifNode:
			r.choose(n.branches)
		case loopNode:
			r.repeat(n.loop)
		}
		if len(r.dst)-r.before+r.passed > maxOutput {
			r.refuse(posthaste.TooLarge, fmt.Sprintf("what it renders is over %d bytes", maxOutput))
		}
	}
}

func (r *rendering) literal(n *node) {
	if r.sink == nil {
		r.dst = append(r.dst, n.text...)
		return
	}
	r.sink.Literal(n.index)
	r.passed += len(n.text)
}

// pass gives a value to the sink, if there is one.
func (r *rendering) pass() {
	if r.sink == nil || len(r.dst) == 0 {
		return
	}
	r.sink.Value(r.dst)
	r.passed += len(r.dst)
	r.dst = r.dst[:0]
}

// spend counts work, so that no template and no value can keep a render busy.
func (r *rendering) spend(bytes int) {
	r.work += bytes
	if r.work > maxWork {
		r.refuse(posthaste.TooLarge, "it takes too much work to render: fewer rounds or filters are needed")
	}
}

func (r *rendering) refuse(kind posthaste.Kind, reason string) {
	if r.err == nil {
		r.err = &posthaste.Error{Kind: kind, Message: "the template cannot be rendered",
			Fields: []posthaste.Field{{Name: r.program.name, Reason: reason}}}
	}
}

func (r *rendering) write(out *output) {
	v := r.evaluate(&out.expr)
	if r.err != nil {
		return
	}
	var scratch [32]byte
	text := v.str
	switch v.kind {
	case textKind:
	case numberKind:
		if out.escape != asURL {
			r.dst = append(r.dst, strconv.AppendFloat(scratch[:0], v.num, 'f', -1, 64)...)
			return
		}
		text = v.text()
	default:
		text = v.text()
	}
	switch out.escape {
	case asMarkup:
		r.dst = appendMarkup(r.dst, text)
	case asURL:
		r.dst = appendURL(r.dst, text)
	case asURLPart:
		r.dst = appendURLPart(r.dst, text)
	case asText:
		r.dst = appendText(r.dst, text)
	case asHeader:
		if strings.ContainsAny(text, "\r\n\x00") {
			r.refuse(posthaste.Invalid, out.name+" holds a line break or NUL, which cannot stand in a header")
			return
		}
		r.dst = append(r.dst, text...)
	}
}

func (r *rendering) choose(branches []branch) {
	for i := range branches {
		b := &branches[i]
		if b.cond == nil || r.holds(b.cond) != b.negate {
			if r.err == nil {
				r.nodes(b.body)
			}
			return
		}
	}
}

func (r *rendering) holds(c *condition) bool {
	switch c.op {
	case and:
		return r.holds(c.left) && r.holds(c.right)
	case or:
		return r.holds(c.left) || r.holds(c.right)
	}
	a := r.value(&c.a)
	if c.op == truth {
		return !a.empty()
	}
	b := r.value(&c.b)
	r.spend(16 + len(a.str) + len(b.str) + 16*a.length())
	return compare(c.op, a, b)
}

func (r *rendering) repeat(l *loop) {
	list := r.evaluate(&l.list)
	n := list.length()
	if list.kind != listKind && !list.empty() {
		n = 1 // anything else is its own only item
	}
	n = min(n, l.limit)
	if n == 0 {
		r.nodes(l.otherwise)
		return
	}
	depth := 0
	for r.loops[depth].started {
		depth++
	}
	for i := range n {
		item, err := list.at(i)
		if err != nil && r.err == nil {
			r.err = err
		}
		r.spend(16)
		if r.err != nil {
			return
		}
		r.loops[depth] = pass{item: item, index: i, of: n, started: true}
		r.nodes(l.body)
	}
	r.loops[depth] = pass{}
}

func (r *rendering) evaluate(e *expression) value {
	v := r.value(&e.first)
	for i := range e.filters {
		if r.err != nil {
			return value{}
		}
		f := &e.filters[i]
		a, b := value{}, value{}
		if f.n > 0 {
			a = r.value(&f.args[0])
		}
		if f.n > 1 {
			b = r.value(&f.args[1])
		}
		before := v.length() + len(v.str)
		var ok bool
		if v, ok = f.apply(v, a, b); !ok {
			r.refuse(posthaste.TooLarge, fmt.Sprintf("a value is over %d bytes", maxOutput))
			return value{}
		}
		r.spend(16 + before + len(v.str) + 16*v.length())
	}
	return v
}

func (r *rendering) value(o *operand) value {
	var v value
	var err error
	switch o.kind {
	case fixedOperand:
		return o.fixed
	case pathOperand:
		if data, ok := r.lookup(o.path); ok {
			v, err = valueOf(data)
		}
	case itemOperand:
		v, err = r.loops[o.depth].item.under(o.path)
	case loopOperand:
		p := &r.loops[o.depth]
		switch o.path[0] {
		case "first":
			return boolValue(p.index == 0)
		case "last":
			return boolValue(p.index == p.of-1)
		}
		return numberValue(float64(p.index + 1))
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}
