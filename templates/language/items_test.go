package language_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates/language"
)

// TestNamesOfItems: what a list's items have is asked for by the list's path
// and language.Item, however deep the loop stands.
func TestNamesOfItems(t *testing.T) {
	t.Parallel()
	known := []string{"name", "data.lines", "data.lines.[].title", "data.lines.[].tags", "data.lines.[].tags.[].word", "data.pairs", "data.pairs.[].[].x"}
	tests := []struct{ name, in, want string }{
		{"a field of an item", "{% for l in data.lines %}{{ l.title }}{% endfor %}", ""},
		{"the item itself", "{% for l in data.lines %}{{ l }}{% endfor %}", ""},
		{"in brackets", `{% for l in data["lines"] %}{{ l["title"] }}{% endfor %}`, ""},
		{"a loop within", "{% for l in data.lines %}{% for t in l.tags %}{{ t.word }}{% endfor %}{% endfor %}", ""},
		{"a list of lists", "{% for a in data.pairs %}{% for b in a %}{{ b.x }}{% endfor %}{% endfor %}", ""},
		{"the same name within", "{% for l in data.lines %}{% for l in l.tags %}{{ l.word }}{% endfor %}{{ l.title }}{% endfor %}", ""},
		{"in a condition", "{% for l in data.lines %}{% if l.title == l.tags %}{% endif %}{% endfor %}", ""},
		{"in a filter", "{% for l in data.lines %}{{ name | default: l.title }}{% endfor %}", ""},
		{"with a limit", "{% for l in data.lines limit: 2 %}{{ l.title }}{% else %}{{ name }}{% endfor %}", ""},
		{"one that is misspelt", "{% for l in data.lines %}\n {{ l.titel }}{% endfor %}", "line 2, column 5: unknown name l.titel: the items of that list have no titel"},
		{"misspelt in a condition", "{% for l in data.lines %}{% unless l.none %}{% endunless %}{% endfor %}", "line 1, column 36: unknown name l.none: the items of that list have no none"},
		{"misspelt in a filter", "{% for l in data.lines %}{{ name | default: l.none }}{% endfor %}", "line 1, column 45: unknown name l.none: the items of that list have no none"},
		{"misspelt within", "{% for l in data.lines %}{% for t in l.tags %}{{ t.title }}{% endfor %}{% endfor %}", "line 1, column 50: unknown name t.title: the items of that list have no title"},
		{"a field of a field", "{% for l in data.lines %}{{ l.title.x }}{% endfor %}", "line 1, column 29: unknown name l.title.x: the items of that list have no title.x"},
		{"a list that items have not", "{% for l in data.lines %}{% for t in l.none %}{{ t }}{% endfor %}{% endfor %}", "line 1, column 38: unknown name l.none: the items of that list have no none"},
		{"a list that is not known", "{% for l in data.none %}{{ l }}{% endfor %}", "line 1, column 13: unknown name data.none; known are name"},
		{"the other loop's item", "{% for l in data.lines %}{% endfor %}{{ l.title }}", "line 1, column 41: unknown name l.title; known are name"},
		{"in the else of its loop", "{% for l in data.lines %}{% else %}{{ l.title }}{% endfor %}", "line 1, column 39: unknown name l.title; known are name"},
		{"a field of a made list's item", "{% for l in name | split: ',' %}{{ l }}{{ l.x }}{% endfor %}", "line 1, column 43: unknown name l.x: the items of that list have no x"},
		{"a field of a letter", "{% for l in 'abc' %}{{ l.x }}{% endfor %}", "line 1, column 24: unknown name l.x: the items of that list have no x"},
		{"a field of a text's item", "{% for l in name %}{{ l.x }}{% endfor %}", "line 1, column 23: unknown name l.x: the items of that list have no x"},
		{"a field of a count", "{% for l in data.lines %}{% for f in forloop.index %}{{ f.x }}{% endfor %}{% endfor %}", "line 1, column 57: unknown name f.x: the items of that list have no x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := language.Parse(tt.in, language.Options{Name: "body", Context: language.Text, Names: known[:1],
				Known: func(path []string) bool { return slices.Contains(known, strings.Join(path, ".")) }})
			var want []posthaste.Field
			if tt.want != "" {
				want = []posthaste.Field{{Name: "body", Reason: tt.want}}
			}
			if d := cmp.Diff(want, posthaste.FieldsOf(err)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestKnownIsAskedWithTheWholePath: each name once, an item's under its list.
func TestKnownIsAskedWithTheWholePath(t *testing.T) {
	t.Parallel()
	var asked []string
	_, err := language.Parse(`{{ a.b }}{% for x in l %}{% for y in x.m %}{{ y.z["w v"] }}{{ x.q }}{{ y }}{{ forloop.first }}{% endfor %}{% endfor %}`,
		language.Options{Context: language.Text, Known: func(path []string) bool {
			asked = append(asked, strings.Join(path, "/"))
			return true
		}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/b", "l", "l/[]/m", "l/[]/m/[]/z/w v", "l/[]/q"}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
}

// TestItemsWithoutKnown: who asks for no names gets none refused.
func TestItemsWithoutKnown(t *testing.T) {
	t.Parallel()
	got, err := render(t, "{% for b in books %}{{ b.title }}{{ b.no.such }};{% endfor %}", language.Options{Context: language.Text}, sample)
	if err != nil || got != "Emma;Dune;" {
		t.Errorf("got %q, %v", got, err)
	}
}
