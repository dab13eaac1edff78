package language

import (
	"slices"
	"strings"

	"posthaste"
)

type operandKind uint8

const (
	fixedOperand operandKind = iota
	pathOperand              // asked of the Lookup
	itemOperand              // the item of the loop at depth, and path inside it
	loopOperand              // forloop.first, last or index, of the innermost loop
)

type operand struct {
	kind  operandKind
	fixed value
	path  []string
	depth int
}

type filterCall struct {
	id   filterID
	args [2]operand
	n    int // of args
}

type expression struct {
	first   operand
	filters []filterCall
}

type comparison uint8

const (
	truth comparison = iota // a alone
	equal
	unequal
	less
	more
	atMost
	atLeast
	contains
	and // of left and right
	or
)

var comparisons = map[string]comparison{
	"==": equal, "!=": unequal, "<": less, ">": more, "<=": atMost, ">=": atLeast, "contains": contains,
}

type condition struct {
	op          comparison
	a, b        operand
	left, right *condition
}

type parser struct {
	source   string
	opts     Options
	segments []segment
	next     int // of segments
	depth    int // of blocks
	loops    []openLoop
	faults   []posthaste.Field
	html     machine
	literal  *segment // under the machine
}

// openLoop is a loop around what is being read.
type openLoop struct {
	item string   // the name of its item
	path []string // that of its list, with Item for those of loops around it; nil: it has none
}

// line reads the tokens of one tag.
type line struct {
	*parser
	list []token
	end  int // offset after the last token
}

func (l *line) peek() token {
	if len(l.list) == 0 {
		return token{at: l.end}
	}
	return l.list[0]
}

func (l *line) take() token {
	t := l.peek()
	if len(l.list) > 0 {
		l.list = l.list[1:]
	}
	return t
}

// is reports whether the next token is the given sign or word, and takes it if so.
func (l *line) is(text string) bool {
	t := l.peek()
	if (t.kind == signToken || t.kind == nameToken) && t.text == text {
		l.take()
		return true
	}
	return false
}

// done reports a fault when anything is left in the tag.
func (l *line) done() bool {
	t := l.peek()
	if t.kind == endToken {
		return true
	}
	l.fault(t.at, "%q is not expected here", t.text)
	return false
}

func (l *line) expression() (expression, bool) {
	first, ok := l.operand()
	if !ok {
		return expression{}, false
	}
	e := expression{first: first}
	for l.is("|") {
		call, ok := l.filter()
		if !ok {
			return e, false
		}
		e.filters = append(e.filters, call)
	}
	return e, true
}

func (l *line) filter() (filterCall, bool) {
	name := l.take()
	f, known := filters[name.text]
	if name.kind != nameToken || !known {
		l.fault(name.at, "unknown filter %q%s", name.text, filterHint(name.text))
		return filterCall{}, false
	}
	call := filterCall{id: f.id}
	given := 0
	if l.is(":") {
		for {
			at := l.peek().at
			arg, ok := l.operand()
			if !ok {
				return call, false
			}
			if given < len(call.args) {
				call.args[given] = arg
			}
			given++
			if f.id == dateFilter && arg.kind == fixedOperand {
				if bad := unknownDirective(arg.fixed.text()); bad != "" {
					l.fault(at, "the date format has the unknown directive %s", bad)
					return call, false
				}
			}
			if !l.is(",") {
				break
			}
		}
	}
	if given < f.min || given > f.max {
		l.fault(name.at, "the filter %s takes %s, not %d", name.text, f.wants(), given)
		return call, false
	}
	call.n = given
	return call, true
}

func (l *line) operand() (operand, bool) {
	t := l.take()
	switch t.kind {
	case stringToken:
		return operand{fixed: textValue(t.text)}, true
	case numberToken:
		return operand{fixed: numberValue(t.num)}, true
	case nameToken:
		switch t.text {
		case "true", "false":
			return operand{fixed: boolValue(t.text == "true")}, true
		case "nil":
			return operand{}, true
		case "blank":
			return operand{fixed: value{kind: blankValue}}, true
		case "empty":
			return operand{fixed: value{kind: emptyValue}}, true
		}
		return l.path(t)
	}
	l.fault(t.at, "a name, a text in quotes or a number is missing here")
	return operand{}, false
}

// path reads the rest of a name: .part or ["part"].
func (l *line) path(first token) (operand, bool) {
	path := []string{first.text}
	for {
		if l.is(".") {
			t := l.take()
			if t.kind != nameToken {
				l.fault(t.at, "a name is missing after the dot")
				return operand{}, false
			}
			path = append(path, t.text)
		} else if l.is("[") {
			t := l.take()
			if t.kind != stringToken || !l.is("]") {
				l.fault(t.at, `between brackets stands a text in quotes, as in ["shoe size"]`)
				return operand{}, false
			}
			path = append(path, t.text)
		} else {
			return l.resolve(path, first.at)
		}
	}
}

func (l *line) resolve(path []string, at int) (operand, bool) {
	if path[0] == "forloop" && len(l.loops) > 0 {
		if len(path) == 2 && (path[1] == "first" || path[1] == "last" || path[1] == "index") {
			return operand{kind: loopOperand, path: path[1:], depth: len(l.loops) - 1}, true
		}
		l.fault(at, "unknown name %s; known are forloop.first, forloop.last and forloop.index", strings.Join(path, "."))
		return operand{}, false
	}
	for i := len(l.loops) - 1; i >= 0; i-- {
		if l.loops[i].item != path[0] {
			continue
		}
		if len(path) > 1 && l.opts.Known != nil && !l.opts.Known(l.loops[i].under(path[1:])) {
			l.fault(at, "unknown name %s: the items of that list have no %s", strings.Join(path, "."), strings.Join(path[1:], "."))
			return operand{}, false
		}
		return operand{kind: itemOperand, path: path[1:], depth: i}, true
	}
	if l.opts.Known != nil && !l.opts.Known(path) {
		l.fault(at, "unknown name %s%s", strings.Join(path, "."), nameHint(strings.Join(path, "."), l.opts.Names))
		return operand{}, false
	}
	return operand{kind: pathOperand, path: path}, true
}

// under is the whole path of something in the loop's item.
func (o openLoop) under(rest []string) []string {
	return slices.Concat(o.path, []string{Item}, rest)
}

// listPath is the whole path of a list, if it is one that values have.
func (l *line) listPath(e expression) []string {
	switch {
	case len(e.filters) > 0:
		return nil
	case e.first.kind == pathOperand:
		return e.first.path
	case e.first.kind == itemOperand:
		return l.loops[e.first.depth].under(e.first.path)
	}
	return nil
}

// condition reads comparisons joined by or, which binds looser than and.
func (l *line) condition() (*condition, bool) {
	return l.joined("or", or, func() (*condition, bool) {
		return l.joined("and", and, l.comparison)
	})
}

func (l *line) joined(word string, op comparison, part func() (*condition, bool)) (*condition, bool) {
	left, ok := part()
	for ok && l.is(word) {
		var right *condition
		if right, ok = part(); ok {
			left = &condition{op: op, left: left, right: right}
		}
	}
	return left, ok
}

func (l *line) comparison() (*condition, bool) {
	a, ok := l.operand()
	if !ok {
		return nil, false
	}
	t := l.peek()
	op, known := comparisons[t.text]
	if !known || t.kind != signToken && t.kind != nameToken {
		if t.kind == signToken && t.text == "|" {
			l.fault(t.at, "a filter cannot stand in a condition")
			return nil, false
		}
		return &condition{op: truth, a: a}, true
	}
	l.take()
	b, ok := l.operand()
	return &condition{op: op, a: a, b: b}, ok
}
