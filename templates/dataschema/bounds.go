package dataschema

import (
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// bounded refuses a schema that leads back to itself without a step into the
// value, and one of which so many parts are tried on one value that nobody
// would wait for it.
func bounded(root *jsonschema.Schema) error {
	const begun = -1
	tried := map[*jsonschema.Schema]int{}
	var count func(s *jsonschema.Schema) (int, error)
	count = func(s *jsonschema.Schema) (int, error) {
		if s == nil {
			return 0, nil
		}
		if n, known := tried[s]; known {
			if n == begun {
				return 0, refuse("leads from %q back to itself", strings.TrimPrefix(s.Location, address))
			}
			return n, nil
		}
		tried[s] = begun
		all := 1
		for _, one := range append(adding(s), s.Not, s.If) {
			n, err := count(one)
			if err != nil {
				return 0, err
			}
			if all += n; all > maxTried {
				return 0, refuse("tries more than %d schemas on one value", maxTried)
			}
		}
		tried[s] = all
		return all, nil
	}
	waiting := schemas{root}
	seen := map[*jsonschema.Schema]bool{nil: true}
	for len(waiting) > 0 {
		s := waiting[0]
		waiting = waiting[1:]
		if seen[s] {
			continue
		}
		seen[s] = true
		if _, err := count(s); err != nil {
			return err
		}
		waiting = append(append(append(waiting, adding(s)...), s.Not, s.If), within(s)...)
	}
	return nil
}

// within gives the schemas for what stands in a value of s.
func within(s *jsonschema.Schema) schemas {
	list := slices.Concat(schemas{s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems}, s.PrefixItems,
		slices.Collect(maps.Values(s.Properties)), slices.Collect(maps.Values(s.PatternProperties)))
	for _, one := range []any{s.AdditionalProperties, s.Items, s.AdditionalItems} {
		list = appendSchema(list, one)
	}
	return list
}
