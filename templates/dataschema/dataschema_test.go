package dataschema_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates/dataschema"
)

func compile(tb testing.TB, source string) *dataschema.Schema {
	tb.Helper()
	s, err := dataschema.Compile([]byte(source))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// object is a schema with these properties, and more keywords.
func object(properties, more string) string {
	return `{"type": "object", "properties": {` + properties + `}` + more + `}`
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	doubling := ""
	for level := range "abcdefghijklmnopqrst" {
		name, next := string("abcdefghijklmnopqrstu"[level]), string("abcdefghijklmnopqrstu"[level+1])
		doubling += `"` + name + `": {"allOf": [{"$ref": "#/$defs/` + next + `"}, {"$ref": "#/$defs/` + next + `"}]}, `
	}
	tests := []struct{ name, in, want string }{
		{"nothing", ``, "is not JSON: EOF"},
		{"cut off", `{"type": "object"`, "is not JSON: unexpected EOF"},
		{"two", `{"type": "object"}{}`, "is not JSON: "},
		{"a list", `["object"]`, `must describe an object: {"type": "object", "properties": {…}}`},
		{"true", `true`, "must describe an object: "},
		{"another type", `{"type": "string"}`, "must describe an object: "},
		{"one of two types", `{"type": ["object", "null"]}`, "must describe an object: "},
		{"properties are a list", `{"type": "object", "properties": []}`, "is no JSON Schema: /properties got array, want object"},
		{"no such type", object(`"a": {"type": "strin"}`, ""), "is no JSON Schema: /properties/a/type value must be one of "},
		{"limit is a text", object(`"a": {"minimum": "1"}`, ""), "is no JSON Schema: /properties/a/minimum got string, want number"},
		{"bad pattern", object(`"a": {"pattern": "("}`, ""), "is no JSON Schema: /properties/a/pattern is no valid regex"},
		{"bad pattern of a name", object(``, `, "patternProperties": {"(": true}`), "is no JSON Schema: "},
		{"other site", object(`"a": {"$ref": "https://example.com/a.json#/b"}`, ""), `is no JSON Schema: refers to "https://example.com/a.json"; a schema may refer only to its own $defs`},
		{"other file", object(`"a": {"$ref": "other.json"}`, ""), `is no JSON Schema: refers to "other.json"; a schema may refer only to its own $defs`},
		{"file of this machine", object(`"a": {"$ref": "file:///etc/passwd"}`, ""), `is no JSON Schema: refers to "file:///etc/passwd"; a schema may refer only to its own $defs`},
		{"other language", `{"type": "object", "$schema": "https://example.com/meta"}`, `is no JSON Schema: refers to "https://example.com/meta"; a schema may refer only to its own $defs`},
		{"no such part", object(`"a": {"$ref": "#/$defs/none"}`, ""), `is no JSON Schema: json-pointer in "#/$defs/none" not found`},
		{"no such anchor", object(`"a": {"$ref": "#none"}`, ""), `is no JSON Schema: anchor in "#none" not found in schema ""`},
		{"bad id", object(`"a": {"$id": "://x"}`, ""), `is no JSON Schema: error in parsing id at "#/properties/a"`},
		{"leads to itself", `{"type": "object", "$ref": "#"}`, `leads from "#" back to itself`},
		{"leads to itself by two", object(`"a": {"$ref": "#/$defs/b"}`, `, "$defs": {"b": {"$ref": "#/$defs/c"}, "c": {"anyOf": [true, {"$ref": "#/$defs/b"}]}}`),
			`leads from "#/$defs/b" back to itself`},
		{"leads to itself in an item", object(`"a": {"items": {"not": {"$ref": "#/properties/a/items"}}}`, ""), `leads from "#/properties/a/items" back to itself`},
		{"leads to itself on a condition", object(`"a": {"dependentSchemas": {"b": {"$ref": "#/properties/a"}}}`, ""), `leads from "#/properties/a" back to itself`},
		{"leads to itself in other fields", object(``, `, "additionalProperties": {"if": {"$ref": "#/additionalProperties"}}`), `leads from "#/additionalProperties" back to itself`},
		{"doubles at every step", object(`"a": {"$ref": "#/$defs/a"}`, `, "$defs": {`+doubling+`"u": true}`), "tries more than 1000 schemas on one value"},
		{"a limit of a million digits", object(`"a": {"maximum": 1e999999}`, ""), "/properties/a/maximum is a number beyond 1e400 or that close to 0"},
		{"deep", object(strings.Repeat(`"a": {"properties": {`, 40)+strings.Repeat("}}", 40), ""), " stands more than 64 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := dataschema.Compile([]byte(tt.in))
			fields := posthaste.FieldsOf(err)
			if !errors.Is(err, posthaste.Invalid) || len(fields) != 1 || fields[0].Name != "schema" {
				t.Fatalf("got %v", err)
			}
			got, open := fields[0].Reason, strings.HasSuffix(tt.want, " ") || strings.HasPrefix(tt.want, " ")
			if got != tt.want && (!open || !strings.Contains(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(got, "dataschema") || strings.Contains(got, "schema:") {
				t.Errorf("it tells of this machine or of our own names: %s", got)
			}
		})
	}
}

func TestCompileRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	head := `{"type": "object", "description": "`
	fits := head + strings.Repeat("a", most-len(head)-2) + `"}`
	compile(t, fits)
	_, err := dataschema.Compile([]byte(fits + " "))
	if fields := posthaste.FieldsOf(err); len(fields) != 1 || fields[0].Reason != "is 65537 bytes long; at most 65536 are possible" {
		t.Errorf("one byte more: %v", err)
	}
}

func TestCompileTakes(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in string }{
		{"anything", `{"type": "object"}`},
		{"a tree", object(`"left": {"$ref": "#"}, "right": {"$ref": "#"}`, "")},
		{"a list of itself", object(`"children": {"type": "array", "items": {"$ref": "#"}}`, "")},
		{"one part twice", object(`"a": {"allOf": [{"$ref": "#/$defs/d"}, {"$ref": "#/$defs/d"}]}`, `, "$defs": {"d": {"type": "string"}}`)},
		{"its own address", object(`"a": {"$ref": "https://example.com/x#/$defs/d"}`, `, "$id": "https://example.com/x", "$defs": {"d": true}`)},
		{"the language's own", object(`"a": {"$ref": "https://json-schema.org/draft/2020-12/schema"}`, `, "$schema": "https://json-schema.org/draft/2020-12/schema"`)},
		{"five hundred kinds", object(`"a": {"anyOf": [`+strings.Repeat(`{"type": "string"}, `, 499)+`true]}`, "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			compile(t, tt.in)
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     map[string]any
	}{
		{"empty", `{}`, map[string]any{}},
		{"numbers stay as they are written", `{"a": 12.50, "b": 1e3, "c": -0, "d": 7}`, map[string]any{"a": "12.50", "b": "1e3", "c": "-0", "d": "7"}},
		{"large ones too", `{"a": 12345678901234567890.123456789, "b": 9007199254740993}`, map[string]any{"a": "12345678901234567890.123456789", "b": "9007199254740993"}},
		{"other kinds", `{"a": "x", "b": true, "c": null, "d": "1.0"}`, map[string]any{"a": "x", "b": true, "c": nil, "d": "1.0"}},
		{"nested", `{"a": {"b": [1.0, {"c": 2.00}, [3.10]]}}`, map[string]any{"a": map[string]any{"b": []any{"1.0", map[string]any{"c": "2.00"}, []any{"3.10"}}}}},
	}
	for _, tt := range tests {
		got, err := dataschema.Values([]byte(tt.in))
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, d)
		}
	}
	for _, bad := range []string{``, `[]`, `"a"`, `{"a"`} {
		if got, err := dataschema.Values([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// FuzzSchema checks that no schema and no data make anything panic or take
// long, that each fault is under the prefix and quotes no value, and that what
// is a hint is known.
func FuzzSchema(f *testing.F) {
	const order = `{"order": {"id": "A-7", "items": [{"name": "Tea", "price": 12.5}]}}`
	f.Add(orderSchema, order)
	f.Add(object(`"left": {"$ref": "#"}, "right": {"$ref": "#"}`, ""), `{"left": {"left": {}}, "right": 1}`)
	f.Add(object(`"a": {"type": "array", "uniqueItems": true, "items": {"multipleOf": 0.1}}`, ""), `{"a": [1e9999999, 2, 3]}`)
	f.Add(object(`"a": {"oneOf": [{"const": 1}, {"minimum": 3}], "not": {"enum": [5]}}`, `, "required": ["b"], "additionalProperties": false`), `{"a": 2, "c~/d": 0}`)
	f.Add(object(`"a": {"$dynamicRef": "#n"}`, `, "$defs": {"n": {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}}`), `{"a": [[[]]]}`)
	f.Add(object(``, `, "propertyNames": {"pattern": "^a"}, "dependentSchemas": {"a": {"required": ["b"]}}, "unevaluatedProperties": false`), `{"x": 1, "a": 2}`)
	f.Add(object(`"a": {"prefixItems": [{"format": "date"}], "contains": {"type": "string"}, "unevaluatedItems": false}`, ""), `{"a": ["x", 1]}`)
	f.Add(`{"type": "object", "$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"items": [true, {"$ref": "#"}]}}, "dependencies": {"a": ["b"]}}`, `{"a": []}`)
	f.Fuzz(func(t *testing.T, source, data string) {
		began := time.Now()
		s, err := dataschema.Compile([]byte(source))
		if err != nil {
			if fields := posthaste.FieldsOf(err); len(fields) != 1 || fields[0].Name != "schema" {
				t.Fatalf("compile %q: %v", source, err)
			}
			return
		}
		for _, fault := range s.Check("/data", []byte(data)) {
			if fault.Reason == "" || fault.Name != "/data" && !strings.HasPrefix(fault.Name, "/data/") {
				t.Errorf("fault %q of %q by %q", fault, data, source)
			}
		}
		names := s.Names()
		for _, name := range names {
			if path := strings.Split(name, "."); !strings.Contains(name, "..") && !s.Knows(path) && plainNames(source) {
				t.Errorf("%q is a name of %q and not known", name, source)
			}
		}
		s.Knows([]string{"a", "[]", "[]", "b"})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q and %q took %s", source, data, took)
		}
	})
}

// plainNames reports whether no property of a source can have a dot in its
// name, be called as an item is, or be without a value.
func plainNames(source string) bool {
	return !strings.ContainsAny(source, `.\`) && !strings.Contains(source, "[]") && !strings.Contains(source, "false") && !strings.Contains(source, `""`)
}
