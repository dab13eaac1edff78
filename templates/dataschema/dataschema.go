// Package dataschema reads the JSON Schema (draft 2020-12) that a notice type
// has for its data: it checks data against it, and tells which names a template
// may use. A schema refers to nothing outside of itself.
package dataschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"posthaste"
)

// Limits of a schema and of data.
const (
	maxSize   = 64 << 10 // bytes of a schema's source
	maxTried  = 1000     // schemas that are tried on one value
	maxDeep   = 64       // objects and lists of data in each other
	maxDigits = 400      // of a number, and of its exponent's value
	maxFaults = 20       // reported at once
	maxListed = 10       // names in one fault
)

// Schema is a compiled schema. It is immutable and safe for concurrent use.
type Schema struct{ root *jsonschema.Schema }

// The library knows a schema by a URL, which is one of no site and no file, so
// that no error tells of this machine.
const (
	base    = "schema:///"
	address = base + "data"
)

// noLoader keeps a schema from fetching others.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("refers to %q; a schema may refer only to its own $defs", strings.TrimPrefix(url, base))
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
	for _, f := range excesses("", document, nil) {
		return nil, refuse("%s %s", f.Name, f.Reason)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(address, document); err != nil {
		return nil, refuse("is no JSON Schema: %s", reason(err))
	}
	root, err := compiler.Compile(address)
	if err != nil {
		return nil, refuse("is no JSON Schema: %s", reason(err))
	}
	if err := bounded(root); err != nil {
		return nil, err
	}
	return &Schema{root}, nil
}

func refuse(format string, args ...any) error {
	return posthaste.Refuse("schema", fmt.Sprintf(format, args...))
}

// reason makes one line of what the library says.
func reason(err error) string {
	if unloaded, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return unloaded.Err.Error()
	}
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = invalid.Err
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for _, f := range faults("", invalid) {
			return f.Name + " " + f.Reason
		}
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(strings.ReplaceAll(text, address, ""), base, "")
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
