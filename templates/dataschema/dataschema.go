// Package dataschema reads the JSON Schema (draft 2020-12) that a notice type
// has for its data: it checks data against it, and tells which names a template
// may use. A schema refers to nothing outside of itself.
package dataschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	textlanguage "golang.org/x/text/language"
	"golang.org/x/text/message"

	"posthaste"
	"posthaste/templates/language"
)

// Limits of a schema.
const (
	maxSize   = 64 << 10 // bytes of its source
	maxDepth  = 32       // references and properties followed for one name
	maxFaults = 20       // reported at once
)

// Schema is a compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
	document map[string]any
}

// name is what the schema is called within the library.
const name = "data.json"

// noLoader keeps a schema from fetching others.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("refers to %q; a schema may refer only to its own $defs", url)
}

// Compile reads a schema. What is wrong with it is an Invalid error about the field "schema".
func Compile(source []byte) (*Schema, error) {
	if len(source) > maxSize {
		return nil, refuse("is %d bytes long; at most %d are possible", len(source), maxSize)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		return nil, refuse("is not JSON: %v", err)
	}
	document, ok := raw.(map[string]any)
	if !ok || document["type"] != "object" {
		return nil, refuse(`must describe an object: {"type": "object", "properties": {…}}`)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(name, document); err != nil {
		return nil, refuse("%v", err)
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return nil, refuse("is no JSON Schema: %s", reason(err))
	}
	return &Schema{compiled, document}, nil
}

func refuse(format string, args ...any) error {
	return posthaste.Refuse("schema", fmt.Sprintf(format, args...))
}

// reason makes one line of what the library says.
func reason(err error) string {
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = invalid.Err
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for _, f := range faults("", invalid) {
			return f.Name + " " + f.Reason
		}
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(text, "file://", "")
}

// Check gives what is wrong with data, each fault under a JSON pointer (RFC
// 6901) that begins with prefix. No fault quotes a value.
func (s *Schema) Check(prefix string, data []byte) []posthaste.Field {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []posthaste.Field{{Name: prefix, Reason: "is not JSON"}}
	}
	err = s.compiled.Validate(value)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return faults(prefix, invalid)
	}
	return nil
}

var english = message.NewPrinter(textlanguage.English)

// faults gives the innermost causes.
func faults(prefix string, e *jsonschema.ValidationError) (fields []posthaste.Field) {
	at := prefix + pointer(e.InstanceLocation)
	if missing, ok := e.ErrorKind.(*kind.Required); ok {
		for _, property := range missing.Missing {
			fields = append(fields, posthaste.Field{Name: at + pointer([]string{property}), Reason: "is missing"})
		}
		return fields
	}
	if len(e.Causes) == 0 {
		return []posthaste.Field{{Name: at, Reason: told(e.ErrorKind)}}
	}
	for _, cause := range e.Causes {
		if fields = append(fields, faults(prefix, cause)...); len(fields) >= maxFaults {
			return fields[:maxFaults]
		}
	}
	return fields
}

// told says what is wrong; some of the library's texts quote the value, which may be a secret.
func told(what jsonschema.ErrorKind) string {
	switch k := what.(type) {
	case *kind.Format:
		return "is no valid " + k.Want
	case *kind.Pattern:
		return "does not match the pattern " + k.Want
	case *kind.FalseSchema:
		return "is not a field of this type's data"
	case *kind.AdditionalProperties:
		return "has fields that the schema does not: " + strings.Join(k.Properties, ", ")
	}
	return what.LocalizedString(english)
}

func pointer(path []string) string {
	var b strings.Builder
	for _, part := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

// Knows reports whether data may have what a path of names leads to; language.Item stands for an item of a list.
func (s *Schema) Knows(path []string) bool { return s.knows(s.document, path, 0) }

func (s *Schema) knows(schema any, path []string, depth int) bool {
	node, ok := schema.(map[string]any)
	if !ok || depth > maxDepth {
		return false
	}
	if len(path) == 0 {
		return true
	}
	if ref, ok := node["$ref"].(string); ok && s.knows(s.resolve(ref), path, depth+1) {
		return true
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		if all, ok := node[word].([]any); ok && slices.ContainsFunc(all, func(one any) bool { return s.knows(one, path, depth+1) }) {
			return true
		}
	}
	if path[0] == language.Item {
		return s.knows(node["items"], path[1:], depth+1)
	}
	properties, _ := node["properties"].(map[string]any)
	return s.knows(properties[path[0]], path[1:], depth+1)
}

// resolve follows a reference within the document.
func (s *Schema) resolve(ref string) any {
	at, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	var node any = s.document
	for part := range strings.SplitSeq(at, "/") {
		object, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return node
}

// Names gives the names of data's properties, dotted and without those of
// lists' items, sorted: what may be meant by one that is not known.
func (s *Schema) Names() []string {
	names := s.names(s.document, "", 0)
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Schema) names(schema any, prefix string, depth int) (names []string) {
	node, ok := schema.(map[string]any)
	if !ok || depth > 4 { // deeper ones are no good hint
		return nil
	}
	if ref, ok := node["$ref"].(string); ok {
		names = append(names, s.names(s.resolve(ref), prefix, depth+1)...)
	}
	properties, _ := node["properties"].(map[string]any)
	for key, property := range properties {
		names = append(append(names, prefix+key), s.names(property, prefix+key+".", depth+1)...)
	}
	return names
}

// Values reads data for a template. A number stays as its author wrote it.
func Values(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	for key, v := range values {
		values[key] = plain(v)
	}
	return values, nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	}
	return v
}
