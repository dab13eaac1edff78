package dataschema

import (
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"posthaste/templates/language"
)

// Limits of the names that are hints.
const (
	hintDepth = 4 // deeper ones are no good hint
	maxHints  = 300
)

// schemas are those that describe one value together.
type schemas []*jsonschema.Schema

// Knows reports whether data may have what a path of names leads to; language.Item stands for an item of a list.
// It goes by what the schema names: properties, items, and what $ref, allOf,
// anyOf, oneOf, then, else and dependentSchemas add to them.
func (s *Schema) Knows(path []string) bool {
	at := together(s.root)
	for _, part := range path {
		if part == language.Item {
			at = at.items()
		} else {
			at = at.property(part)
		}
	}
	return len(at) > 0
}

// Names gives the names of data's properties, dotted and without those of
// lists' items, sorted: what may be meant by one that is not known. There are
// at most some hundreds.
func (s *Schema) Names() []string {
	type place struct {
		prefix string
		at     schemas
	}
	var names []string
	level := []place{{"", together(s.root)}}
	for range hintDepth {
		var next []place
		for _, p := range level {
			for _, key := range p.at.properties() {
				if len(names) == maxHints {
					break
				}
				names = append(names, p.prefix+key)
				next = append(next, place{p.prefix + key + ".", p.at.property(key)})
			}
		}
		level = next
	}
	slices.Sort(names)
	return names
}

func (s schemas) property(key string) schemas {
	var found schemas
	for _, one := range s {
		found = append(found, one.Properties[key])
	}
	return together(found...)
}

func (s schemas) properties() []string {
	keys := map[string]bool{}
	for _, one := range s {
		for key := range one.Properties {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

func (s schemas) items() schemas {
	var found schemas
	for _, one := range s {
		found = append(append(found, one.Items2020), one.PrefixItems...)
		switch items := one.Items.(type) { // of older drafts
		case *jsonschema.Schema:
			found = append(found, items)
		case []*jsonschema.Schema:
			found = append(found, items...)
		}
	}
	return together(found...)
}

// together gives the schemas, without nil and false, and all that add to them.
func together(all ...*jsonschema.Schema) schemas {
	seen := map[*jsonschema.Schema]bool{}
	var found schemas
	for len(all) > 0 {
		one := all[0]
		all = all[1:]
		if one == nil || seen[one] || one.Bool != nil && !*one.Bool {
			continue
		}
		seen[one] = true
		found = append(found, one)
		all = append(all, adding(one)...)
	}
	return found
}

// adding gives the schemas that say more of a value that s is valid for.
func adding(s *jsonschema.Schema) schemas {
	list := slices.Concat(schemas{s.Ref, s.RecursiveRef, s.Then, s.Else}, s.AllOf, s.AnyOf, s.OneOf, slices.Collect(maps.Values(s.DependentSchemas)))
	if s.DynamicRef != nil {
		list = append(list, s.DynamicRef.Ref)
	}
	for _, one := range s.Dependencies {
		list = appendSchema(list, one)
	}
	return list
}

// appendSchema appends what is one where the library has several types.
func appendSchema(list schemas, one any) schemas {
	switch one := one.(type) {
	case *jsonschema.Schema:
		return append(list, one)
	case []*jsonschema.Schema:
		return append(list, one...)
	}
	return list
}
