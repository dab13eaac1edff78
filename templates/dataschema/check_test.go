package dataschema_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
)

const orderSchema = `{"type": "object", "required": ["order"], "properties": {"order": {"type": "object", "required": ["id", "items"], "properties": {
	"id": {"type": "string", "pattern": "^[A-Z]-[0-9]+$"},
	"items": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/item"}}}}},
	"$defs": {"item": {"type": "object", "required": ["name", "price"], "additionalProperties": false, "properties": {
		"name": {"type": "string", "maxLength": 20}, "price": {"type": "number", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}}}}}}`

func TestCheck(t *testing.T) {
	t.Parallel()
	type faults = []posthaste.Field
	const item = `{"name": "Tea", "price": 1}`
	tests := []struct {
		name, schema, data string
		want               faults
	}{
		{"all is well", orderSchema, `{"order": {"id": "A-7", "items": [` + item + `]}}`, nil},
		{"not JSON", orderSchema, `{"order"`, faults{{Name: "/data", Reason: "is not JSON"}}},
		{"nothing", orderSchema, ``, faults{{Name: "/data", Reason: "is not JSON"}}},
		{"two", orderSchema, `{}{}`, faults{{Name: "/data", Reason: "is not JSON"}}},
		{"no object", orderSchema, `[]`, faults{{Name: "/data", Reason: "got array, want object"}}},
		{"missing", orderSchema, `{}`, faults{{Name: "/data/order", Reason: "is missing"}}},
		{"missing one by one", orderSchema, `{"order": {}}`, faults{{Name: "/data/order/id", Reason: "is missing"}, {Name: "/data/order/items", Reason: "is missing"}}},
		{"in lists", orderSchema, `{"order": {"id": "A-7", "items": [` + item + `, {"name": 7}, {"name": "", "price": -1, "tags": ["a", 1]}]}}`, faults{
			{Name: "/data/order/items/1/name", Reason: "got number, want string"}, {Name: "/data/order/items/1/price", Reason: "is missing"},
			{Name: "/data/order/items/2/price", Reason: "must be at least 0"}, {Name: "/data/order/items/2/tags/1", Reason: "got number, want string"}}},
		{"pattern", orderSchema, `{"order": {"id": "a-7", "items": []}}`, faults{{Name: "/data/order/id", Reason: "does not match the pattern ^[A-Z]-[0-9]+$"}}},
		{"too many", orderSchema, `{"order": {"id": "A-7", "items": [` + strings.Repeat(item+", ", 3) + item + `]}}`, faults{{Name: "/data/order/items", Reason: "maxItems: got 4, want 3"}}},
		{"fields too many", orderSchema, `{"order": {"id": "A-7", "items": [{"name": "", "price": 0, "z": 1, "a": 2}]}}`,
			faults{{Name: "/data/order/items/0", Reason: "has fields that the schema does not: a, z"}}},
		{"slash and tilde", object(`"a/b": {"type": "object", "required": ["c~d"], "properties": {"~1": {"type": "string"}}}`, ""), `{"a/b": {"~1": 1}}`,
			faults{{Name: "/data/a~1b/c~0d", Reason: "is missing"}, {Name: "/data/a~1b/~01", Reason: "got number, want string"}}},
		{"fields that are a number or empty", object(`"0": {"type": "object", "required": [""]}`, ""), `{"0": {}}`, faults{{Name: "/data/0/", Reason: "is missing"}}},
		{"no such field", object(`"a": false`, ""), `{"a": 1}`, faults{{Name: "/data/a", Reason: "is not a field of this type's data"}}},
		{"one of", object(`"a": {"enum": ["x", 2, null]}`, ""), `{"a": "y"}`, faults{{Name: "/data/a", Reason: "value must be one of 'x', 2, <nil>"}}},
		{"format", object(`"a": {"format": "date"}`, ""), `{"a": "2026-02-30"}`, faults{{Name: "/data/a", Reason: "is no valid date"}}},
		{"every branch is told", object(`"a": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["b"]}]}`, ""), `{"a": {}}`,
			faults{{Name: "/data/a", Reason: "got object, want string"}, {Name: "/data/a/b", Reason: "is missing"}}},
		{"both of one", object(`"a": {"oneOf": [true, {"type": "string"}]}`, ""), `{"a": "x"}`, faults{{Name: "/data/a", Reason: "'oneOf' failed, subschemas 0, 1 matched"}}},
		{"above", object(`"a": {"exclusiveMinimum": 2.5}`, ""), `{"a": 2.5}`, faults{{Name: "/data/a", Reason: "must be more than 2.5"}}},
		{"below", object(`"a": {"exclusiveMaximum": 2}`, ""), `{"a": 2}`, faults{{Name: "/data/a", Reason: "must be less than 2"}}},
		{"at most", object(`"a": {"maximum": 1000000}`, ""), `{"a": 1000001}`, faults{{Name: "/data/a", Reason: "must be at most 1e+06"}}},
		{"steps", object(`"a": {"multipleOf": 0.05}`, ""), `{"a": 0.07}`, faults{{Name: "/data/a", Reason: "must be a multiple of 0.05"}}},
		{"whole numbers", object(`"a": {"type": "integer"}`, ""), `{"a": 1.5}`, faults{{Name: "/data/a", Reason: "got number, want integer"}}},
		{"a whole number with zeros", object(`"a": {"type": "integer"}`, ""), `{"a": 12.00}`, nil},
		{"name of a field", object(`"b": {"type": "object"}`, `, "additionalProperties": {"type": "object", "propertyNames": {"maxLength": 2}}`), `{"a": {"long": 1}, "b": {}}`,
			faults{{Name: "/data", Reason: "has a field of a name that the schema does not allow: long"}}},
		{"number beyond bounds", object(`"a": {"type": "array", "uniqueItems": true, "items": {"minimum": 0}}`, ""), `{"a": [1, 1e401, 1E-9999999999999999999, 1e400]}`,
			faults{{Name: "/data/a/1", Reason: "is a number beyond 1e400 or that close to 0"}, {Name: "/data/a/2", Reason: "is a number beyond 1e400 or that close to 0"}}},
		{"number of many digits", `{"type": "object"}`, `{"a": ` + strings.Repeat("1", 401) + `, "b": ` + strings.Repeat("1", 400) + `}`, faults{{Name: "/data/a", Reason: "is a number of more than 400 digits"}}},
		{"too deep", `{"type": "object"}`, `{"x": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
			faults{{Name: "/data/x" + strings.Repeat("/0", 63), Reason: "stands more than 64 deep"}}},
		{"just as deep as can be", `{"type": "object"}`, `{"x": ` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, tt.schema)
			for range 3 { // objects are walked in any order
				if d := cmp.Diff(tt.want, s.Check("/data", []byte(tt.data))); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestCheckBoundsWhatItTells(t *testing.T) {
	t.Parallel()
	wide := map[string]int{}
	for i := range 500 {
		wide[fmt.Sprintf("f%03d", i)] = i
	}
	data, err := json.Marshal(wide)
	if err != nil {
		t.Fatal(err)
	}
	got := compile(t, `{"type": "object", "additionalProperties": {"type": "string"}}`).Check("", data)
	if len(got) != 20 || !slices.IsSortedFunc(got, func(a, b posthaste.Field) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d faults: %v", len(got), got)
	}
	got = compile(t, object("", `, "additionalProperties": false`)).Check("/to/3/data", data)
	want := []posthaste.Field{{Name: "/to/3/data", Reason: "has fields that the schema does not: f000, f001, f002, f003, f004, f005, f006, f007, f008, f009 and 490 more"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestNoFaultQuotesAValue breaks every keyword by a value that nobody may see.
func TestNoFaultQuotesAValue(t *testing.T) {
	t.Parallel()
	const text, digits = "s3cret", "847261"
	keywords := []string{
		`"type": "boolean"`, `"type": "object"`, `"type": ["null", "array"]`, `"const": 5`, `"const": {"a": 1}`, `"enum": ["a", 5]`, `"enum": [{}, []]`,
		`"minimum": 10000000`, `"maximum": 5`, `"exclusiveMinimum": 10000000`, `"exclusiveMaximum": 5`, `"multipleOf": 7000000`,
		`"minLength": 2000`, `"maxLength": 1`, `"pattern": "^x$"`, `"format": "date"`, `"format": "email"`, `"format": "uri"`, `"format": "uuid"`, `"format": "ipv4"`,
		`"format": "date-time"`, `"format": "duration"`, `"format": "json-pointer"`, `"format": "ipv6"`,
		`"contentEncoding": "base64", "contentMediaType": "application/json"`,
		`"minItems": 9`, `"maxItems": 1`, `"uniqueItems": true`, `"contains": {"type": "null"}`, `"contains": true, "maxContains": 1`, `"contains": {"type": "null"}, "minContains": 2`,
		`"items": {"type": "null"}`, `"items": false`, `"prefixItems": [false]`, `"unevaluatedItems": false`,
		`"properties": {"k": {"const": 1}}`, `"properties": {"k": false}`, `"additionalProperties": false`, `"additionalProperties": {"maximum": 1, "maxLength": 1}`,
		`"patternProperties": {".": {"type": "null"}}`, `"minProperties": 9`, `"maxProperties": 0`, `"required": ["z"]`, `"dependentRequired": {"k": ["z"]}`, `"dependentSchemas": {"k": false}`,
		`"propertyNames": {"maxLength": 0}`, `"unevaluatedProperties": false`, `"not": {}`, `"allOf": [{"maximum": 1}, {"maxLength": 1}]`, `"anyOf": [{"const": 1}, {"type": "null"}]`,
		`"oneOf": [{"const": 1}, {"maximum": 2}]`, `"oneOf": [true, true]`, `"if": true, "then": {"enum": [null]}`,
	}
	broken := map[string]bool{}
	for _, keyword := range keywords {
		s := compile(t, object(`"v": {`+keyword+`}`, ""))
		for _, value := range []string{`"` + text + `"`, digits, `-` + digits + `.5`, `["` + text + `", "` + text + `", ` + digits + `]`, `{"k": "` + text + `"}`, `{"k": ` + digits + `}`} {
			for _, fault := range s.Check("/data", []byte(`{"v": `+value+`}`)) {
				broken[keyword] = true
				bare := strings.NewReplacer(",", "", " ", "", "'", "").Replace(fault.Name + fault.Reason)
				if strings.Contains(bare, text) || strings.Contains(bare, digits) {
					t.Errorf("%s: %s %s", keyword, fault.Name, fault.Reason)
				}
			}
		}
		if !broken[keyword] && !strings.Contains(keyword, "content") {
			t.Errorf("nothing breaks %s", keyword)
		}
	}
}

// TestCheckIsQuick: neither a deep place of a fault nor many numbers take long.
func TestCheckIsQuick(t *testing.T) {
	t.Parallel()
	tree := compile(t, object(`"c": {"$ref": "#"}`, `, "additionalProperties": false`))
	numbers := compile(t, object(`"n": {"type": "array", "uniqueItems": true, "items": {"type": "integer", "multipleOf": 3}}`, ""))
	for name, check := range map[string]func() []posthaste.Field{
		"deep": func() []posthaste.Field {
			return tree.Check("", []byte(strings.Repeat(`{"c":`, 9000)+`{"x":1}`+strings.Repeat("}", 9000)))
		},
		"numbers": func() []posthaste.Field {
			return numbers.Check("", []byte(`{"n": [`+strings.Repeat("1e999999, ", 50_000)+`3]}`))
		},
	} {
		began := time.Now()
		if got := check(); len(got) == 0 {
			t.Errorf("%s: no fault", name)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestKnows(t *testing.T) {
	t.Parallel()
	const more = `, "$defs": {"address": {"type": "object", "properties": {"city": {"type": "string"}}}, "a b": {"properties": {"odd": true}},
		"node": {"$anchor": "node", "properties": {"word": {}, "next": {"$ref": "#/$defs/node"}, "all": {"items": {"$ref": "#node"}}}}}`
	everything := compile(t, object(`"order": {"type": "object", "properties": {"id": {"type": "string"}, "none": false,
			"items": {"type": "array", "items": {"type": "object", "properties": {"name": {}, "tags": {"items": {"type": "string"}}}}}}},
		"to": {"$ref": "#/$defs/address"}, "odd": {"$ref": "#/$defs/a%20b"}, "tree": {"$ref": "#node"}, "self": {"$ref": "#"},
		"both": {"allOf": [{"$ref": "#/$defs/address"}, {"properties": {"zip": true}}], "properties": {"own": true}},
		"any": {"anyOf": [{"properties": {"card": {"properties": {"last": {}}}}}, {"properties": {"iban": {}}}]},
		"one": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"properties": {"x": {}}}}]},
		"cond": {"if": {"properties": {"kind": {"const": 1}}}, "then": {"properties": {"yes": {}}}, "else": {"properties": {"no": {}}}, "not": {"properties": {"not": {}}}},
		"dep": {"dependentSchemas": {"a": {"properties": {"because": {}}}}},
		"pair": {"prefixItems": [{"properties": {"first": {}}}], "items": {"properties": {"other": {}}}},
		"free": {"type": "object", "additionalProperties": {"properties": {"x": {}}}}`, more))
	const item = "[]"
	tests := []struct {
		path string // parted by spaces
		want bool
	}{
		{"", true}, {"order", true}, {"order id", true}, {"order none", false}, {"order nothing", false}, {"id", false}, {"order id x", false},
		{"order items", true}, {"order items []", true}, {"order items [] name", true}, {"order items [] price", false}, {"order items name", false},
		{"order items [] tags", true}, {"order items [] tags []", true}, {"order items [] tags [] x", false}, {"order items [] []", false}, {"order []", false}, {"order id []", false},
		{"to city", true}, {"to zip", false}, {"odd odd", true}, {"both city", true}, {"both zip", true}, {"both own", true}, {"both none", false},
		{"any card", true}, {"any card last", true}, {"any iban", true}, {"any iban last", false}, {"one [] x", true}, {"one x", false}, {"one [] y", false},
		{"cond yes", true}, {"cond no", true}, {"cond kind", false}, {"cond not", false}, {"dep because", true}, {"pair [] first", true}, {"pair [] other", true}, {"pair [] none", false},
		{"free", true}, {"free anything", false}, {"tree word", true}, {"tree next next next word", true}, {"tree all [] all [] next word", true}, {"tree all word", false},
		{"self self self order id", true}, {"self self nothing", false}, {"tree " + strings.Repeat("next ", 5000) + "word", true}, {"tree " + strings.Repeat("next ", 5000) + "x", false},
	}
	for _, tt := range tests {
		if got := everything.Knows(strings.Fields(tt.path)); got != tt.want {
			t.Errorf("%.60q: %v", tt.path, got)
		}
	}
	if item != "[]" || everything.Knows([]string{"free", ""}) {
		t.Error("an empty name is known")
	}
}

// TestKnowsIsQuick asks for names that two branches of every step may have.
func TestKnowsIsQuick(t *testing.T) {
	t.Parallel()
	s := compile(t, object(`"a": {"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#/$defs/same"}]}]}`, `, "$defs": {"same": {"properties": {"a": {"oneOf": [{"$ref": "#/$defs/same"}, {"$ref": "#"}]}}}}`))
	began := time.Now()
	if !s.Knows(slices.Repeat([]string{"a"}, 1000)) || s.Knows(append(slices.Repeat([]string{"a"}, 1000), "b")) {
		t.Error("wrong")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []string
	}{
		{"none", `{"type": "object"}`, nil},
		{"order", orderSchema, []string{"order", "order.id", "order.items"}},
		{"branches", object(`"b": {"anyOf": [{"properties": {"x": {}}}, {"properties": {"x": {}, "y": {}}}]}, "a": {"$ref": "#/$defs/d"}`, `, "$defs": {"d": {"properties": {"z": true}}}`),
			[]string{"a", "a.z", "b", "b.x", "b.y"}},
		{"endless", object(`"n": {"$ref": "#"}`, ""), []string{"n", "n.n", "n.n.n", "n.n.n.n"}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, compile(t, tt.in).Names()); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	wide := make([]string, 900)
	for i := range wide {
		wide[i] = fmt.Sprintf(`"p%d": {"$ref": "#"}`, i)
	}
	if got := compile(t, object(strings.Join(wide, ", "), "")).Names(); len(got) != 300 {
		t.Errorf("%d names of a schema that has endlessly many", len(got))
	}
}
