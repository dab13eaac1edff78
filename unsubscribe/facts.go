package unsubscribe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"posthaste"
)

// facts are what a table has no column for: keys of labels and values in turn,
// one to a line. A fact without a value is left out.
func facts(word func(string) string, labelsAndValues ...string) string {
	var all []string
	for i := 0; i+1 < len(labelsAndValues); i += 2 {
		if value := labelsAndValues[i+1]; value != "" {
			all = append(all, fact(word, word(labelsAndValues[i]), value))
		}
	}
	return lines(all...)
}

// fact has the colon of the language: French puts a space before it.
func fact(word func(string) string, label, value string) string {
	return label + word("colon") + " " + value
}

// lines joins texts, of which any may be empty.
func lines(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n")
}

// attempts are what became of each try to hand a notice over, one to a line.
func attempts(list []posthaste.ExportAttempt, word func(string) string) string {
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = both(day(a.At)+" · "+word(string(a.State)), a.Answer)
	}
	return lines(all...)
}

// noted is what the caller wanted to find again with a notice.
func noted(metadata map[string]string, word func(string) string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		all = append(all, fact(word, both(word("metadata"), name), metadata[name]))
	}
	return lines(all...)
}

// filledIn are the data of a notice, each value with the way to it: "order.items.1.title".
func filledIn(data map[string]any, word func(string) string) string {
	var all []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		within := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(within(name), v[name])
			}
		case []any:
			for i, item := range v {
				walk(within(fmt.Sprint(i+1)), item)
			}
		case string:
			all = append(all, fact(word, both(word("filled_in"), path), v))
		default:
			text, _ := json.Marshal(v) // a number or truth value, which the file has in this form too
			all = append(all, fact(word, both(word("filled_in"), path), string(text)))
		}
	}
	walk("", data)
	return lines(all...)
}

// count is a number of which 0 says nothing.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func words[T ~string](keys []T, word func(string) string) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = word(string(key))
	}
	return all
}
