package dataschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	textlanguage "golang.org/x/text/language"
	"golang.org/x/text/message"

	"posthaste"
)

// Check gives what is wrong with data, each fault under a JSON pointer (RFC
// 6901) that begins with prefix, in their order. No fault quotes a value.
func (s *Schema) Check(prefix string, data []byte) []posthaste.Field {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []posthaste.Field{{Name: prefix, Reason: "is not JSON"}}
	}
	fields := excesses(prefix, value, nil)
	if len(fields) == 0 { // else the library would not bear it
		err = s.root.Validate(value)
		if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
			fields = faults(prefix, invalid)
		}
	}
	slices.SortStableFunc(fields, func(a, b posthaste.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields[:min(len(fields), maxFaults)]
}

// excesses gives the numbers that would take too long to compute with, and what
// stands too deep.
func excesses(prefix string, value any, path []string) (fields []posthaste.Field) {
	if reason := excess(value, len(path)); reason != "" {
		return []posthaste.Field{{Name: prefix + pointer(path), Reason: reason}}
	}
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			fields = append(fields, excesses(prefix, item, append(path, strconv.Itoa(i)))...)
		}
	case map[string]any:
		for key, item := range v {
			fields = append(fields, excesses(prefix, item, append(path, key))...)
		}
	}
	return fields
}

func excess(value any, depth int) string {
	switch v := value.(type) {
	case []any, map[string]any:
		if depth >= maxDeep {
			return fmt.Sprintf("stands more than %d deep", maxDeep)
		}
	case json.Number:
		if _, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e"); exponent != "" {
			if n, err := strconv.Atoi(exponent); err != nil || n > maxDigits || n < -maxDigits {
				return fmt.Sprintf("is a number beyond 1e%d or that close to 0", maxDigits)
			}
		}
		if len(v) > maxDigits {
			return fmt.Sprintf("is a number of more than %d digits", maxDigits)
		}
	}
	return ""
}

var english = message.NewPrinter(textlanguage.English)

// faults gives the innermost causes.
func faults(prefix string, e *jsonschema.ValidationError) (fields []posthaste.Field) {
	at := prefix + pointer(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, property := range k.Missing {
			fields = append(fields, posthaste.Field{Name: at + pointer([]string{property}), Reason: "is missing"})
		}
		return fields
	case *kind.PropertyNames: // whose causes, and often itself, have no place
		return []posthaste.Field{{Name: prefix, Reason: "has a field of a name that the schema does not allow: " + k.Property}}
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
		return "has fields that the schema does not: " + listed(k.Properties)
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	}
	return what.LocalizedString(english)
}

func number(n *big.Rat) string {
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// listed gives the first of names, sorted.
func listed(names []string) string {
	slices.Sort(names)
	if more := len(names) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), more)
	}
	return strings.Join(names, ", ")
}

func pointer(path []string) string {
	var b strings.Builder
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, part := range path {
		b.WriteString("/" + escape.Replace(part))
	}
	return b.String()
}
