package language

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type valueKind uint8

const (
	nilValue valueKind = iota
	textKind
	numberKind
	boolKind
	timeKind
	listKind   // data is []string or []any
	mapKind    // data is map[string]string or map[string]any
	blankValue // the word blank
	emptyValue // the word empty
)

type value struct {
	kind valueKind
	str  string
	num  float64 // a bool is 0 or 1
	data any
}

func textValue(s string) value    { return value{kind: textKind, str: s} }
func numberValue(n float64) value { return value{kind: numberKind, num: n} }

func boolValue(b bool) value {
	if b {
		return value{kind: boolKind, num: 1}
	}
	return value{kind: boolKind}
}

// valueOf takes what a Lookup gives.
func valueOf(data any) (value, error) {
	switch d := data.(type) {
	case nil:
		return value{}, nil
	case string:
		return textValue(d), nil
	case *string:
		return textValue(*d), nil
	case bool:
		return boolValue(d), nil
	case int:
		return numberValue(float64(d)), nil
	case int64:
		return numberValue(float64(d)), nil
	case float64:
		return numberValue(d), nil
	case time.Time:
		return value{kind: timeKind, data: d}, nil
	case []string, []any:
		return value{kind: listKind, data: d}, nil
	case map[string]string, map[string]any:
		return value{kind: mapKind, data: d}, nil
	}
	return value{}, fmt.Errorf("look up a template's name: %T is no type of value", data)
}

func (v value) length() int {
	switch d := v.data.(type) {
	case []string:
		return len(d)
	case []any:
		return len(d)
	}
	return 0
}

// at gives an item of a list.
func (v value) at(i int) (value, error) {
	switch d := v.data.(type) {
	case []string:
		return textValue(d[i]), nil
	case []any:
		return valueOf(d[i])
	}
	return v, nil
}

// under follows path into maps; what is not there is nil.
func (v value) under(path []string) (value, error) {
	for _, part := range path {
		var err error
		switch d := v.data.(type) {
		case map[string]string:
			s, ok := d[part]
			if !ok {
				return value{}, nil
			}
			v = textValue(s)
		case map[string]any:
			if v, err = valueOf(d[part]); err != nil {
				return v, err
			}
		default:
			return value{}, nil
		}
	}
	return v, nil
}

// text is how the value reads. The items of a list are joined by ", ".
func (v value) text() string {
	switch v.kind {
	case textKind:
		return v.str
	case numberKind:
		return strconv.FormatFloat(v.num, 'f', -1, 64)
	case boolKind:
		return strconv.FormatBool(v.num != 0)
	case timeKind:
		return v.data.(time.Time).Format(time.RFC3339)
	case listKind:
		return v.join(", ")
	}
	return ""
}

func (v value) join(between string) string {
	switch d := v.data.(type) {
	case []string:
		return strings.Join(d, between)
	case []any:
		texts := make([]string, 0, len(d))
		for _, item := range d {
			if t, err := valueOf(item); err == nil && t.kind != listKind {
				texts = append(texts, t.text())
			}
		}
		return strings.Join(texts, between)
	}
	return v.text()
}

// size is the number of characters or items.
func (v value) size() int {
	if v.kind == listKind {
		return v.length()
	}
	return utf8.RuneCountInString(v.text())
}

// empty: nil, false, a text or list without content.
func (v value) empty() bool {
	switch v.kind {
	case nilValue, blankValue, emptyValue:
		return true
	case boolKind:
		return v.num == 0
	case textKind:
		return v.str == ""
	case listKind:
		return v.length() == 0
	}
	return false
}

// compare evaluates a op b.
func compare(op comparison, a, b value) bool {
	switch op {
	case truth:
		return !a.empty()
	case equal:
		return same(a, b)
	case unequal:
		return !same(a, b)
	case contains:
		return holds(a, b)
	}
	order, ok := order(a, b)
	if !ok {
		return false
	}
	switch op {
	case less:
		return order < 0
	case more:
		return order > 0
	case atMost:
		return order <= 0
	}
	return order >= 0
}

func same(a, b value) bool {
	if a.kind == blankValue || a.kind == emptyValue {
		a, b = b, a
	}
	switch b.kind {
	case emptyValue:
		return a.kind == emptyValue || a.kind == textKind && a.str == "" || a.kind == listKind && a.length() == 0
	case blankValue:
		return a.empty() || a.kind == textKind && strings.TrimSpace(a.str) == ""
	}
	if a.kind == listKind || b.kind == listKind || a.kind == mapKind || b.kind == mapKind {
		return false
	}
	if a.kind != b.kind {
		x, okX := a.number()
		y, okY := b.number()
		return okX && okY && x == y
	}
	if a.kind == timeKind {
		return a.data.(time.Time).Equal(b.data.(time.Time))
	}
	return a.str == b.str && a.num == b.num
}

// number reads a number, or a text that is one.
func (v value) number() (float64, bool) {
	switch v.kind {
	case numberKind:
		return v.num, true
	case textKind:
		n, err := strconv.ParseFloat(strings.TrimSpace(v.str), 64)
		return n, err == nil
	}
	return 0, false
}

// order is negative, 0 or positive. Two texts compare by their characters; a
// number compares with what reads as a number; anything else has no order.
func order(a, b value) (int, bool) {
	if a.kind == textKind && b.kind == textKind {
		return strings.Compare(a.str, b.str), true
	}
	if a.kind == timeKind && b.kind == timeKind {
		return a.data.(time.Time).Compare(b.data.(time.Time)), true
	}
	x, okX := a.number()
	y, okY := b.number()
	switch {
	case !okX || !okY || x != x || y != y: // NaN
		return 0, false
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

// holds: a text holds a part, a list an item.
func holds(a, b value) bool {
	if a.kind == listKind {
		for i := range a.length() {
			if item, err := a.at(i); err == nil && same(item, b) {
				return true
			}
		}
		return false
	}
	part := b.text()
	return part != "" && strings.Contains(a.text(), part)
}
