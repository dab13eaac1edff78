package language_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/templates/language"
)

// data are the values of these tests, by dotted name.
type data map[string]any

func (d data) lookup(path []string) (any, bool) {
	v, ok := d[strings.Join(path, ".")]
	return v, ok
}

var sample = data{
	"name": "Ann", "empty": "", "blank": " \t", "yes": true, "no": false, "n": 3, "price": "12.50", "old": "9",
	"tags": []string{"red", "green", "blue"}, "none": []string{}, "csv": "a,b,c", "day": "2026-03-05",
	"instant": time.Date(2026, 11, 2, 15, 4, 5, 0, time.UTC), "stamp": "2026-11-02T09:05:00+02:00",
	"books": []any{map[string]any{"title": "Emma", "price": 8.5}, map[string]string{"title": "Dune"}},
}

func render(t *testing.T, source string, opts language.Options, d data) (string, error) {
	t.Helper()
	p, err := language.Parse(source, opts)
	if err != nil {
		t.Fatalf("parse %q: %v", source, err)
	}
	out, err := p.Append([]byte("before "), d.lookup)
	text, kept := strings.CutPrefix(string(out), "before ")
	if !kept {
		t.Fatalf("render %q lost what was in dst: %q", source, out)
	}
	if err != nil && text != "" {
		t.Fatalf("render %q gave %q and an error", source, text)
	}
	return text, err
}

func TestRender(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"literal", "a { b } %} }}", "a { b } %} }}"},
		{"output", "{{ name }}, {{name}}!", "Ann, Ann!"},
		{"strings", `{{ "it's" }}{{ 'a "b"' }}{{ "}}" }}`, `it'sa "b"}}`},
		{"numbers", "{{ 7 }} {{ -1.50 }} {{ n }}", "7 -1.5 3"},
		{"list and truth", "{{ tags }} {{ yes }} {{ missing }}", "red, green, blue true "},
		{"brackets", `{{ a["b"] }}`, ""},
		{"if", "{% if yes %}1{% endif %}{% if no %}2{% endif %}{% if empty %}3{% endif %}{% if none %}4{% endif %}", "1"},
		{"elsif", "{% if no %}1{% elsif name == 'Ann' %}2{% elsif yes %}3{% else %}4{% endif %}", "2"},
		{"else", "{% if no %}1{% else %}2{% endif %}", "2"},
		{"unless", "{% unless no %}1{% elsif yes %}2{% endunless %}{% unless yes %}3{% else %}4{% endunless %}", "14"},
		{"unless elsif", "{% unless yes %}1{% elsif yes %}2{% endunless %}", "2"},
		{"and binds tighter", "{% if yes or no and no %}1{% endif %}{% if no and no or yes %}2{% endif %}", "12"},
		{"compare texts", "{% if 'a' < 'b' %}1{% endif %}{% if name != 'Bob' %}2{% endif %}{% if '10' < '9' %}3{% endif %}", "123"},
		{"compare numbers", "{% if price > 9 %}1{% endif %}{% if old < 10.5 %}2{% endif %}{% if n >= 3 and n <= 3 %}3{% endif %}", "123"},
		{"number and text", "{% if price == 12.5 %}1{% endif %}{% if name == 0 %}2{% endif %}{% if name < 1 %}3{% endif %}", "1"},
		{"contains", "{% if csv contains 'b' %}1{% endif %}{% if tags contains 'red' %}2{% endif %}{% if tags contains 're' %}3{% endif %}", "12"},
		{"nil and empty", "{% if missing == nil %}1{% endif %}{% if empty == nil %}2{% endif %}{% if empty == empty %}3{% endif %}{% if none == empty %}4{% endif %}", "134"},
		{"blank", "{% if blank == blank %}1{% endif %}{% if missing == blank %}2{% endif %}{% if name == blank %}3{% endif %}", "12"},
		{"empty word", "{% if '' == empty %}1{% endif %}{% if ' ' == empty %}2{% endif %}", "1"},
		{"for", "{% for t in tags %}{{ forloop.index }}{{ t }}{% unless forloop.last %},{% endunless %}{% endfor %}", "1red,2green,3blue"},
		{"for limit", "{% for t in csv | split: ',' limit: 2 %}{{ t }}{% endfor %}", "ab"},
		{"for else", "{% for t in none %}x{% else %}nothing{% endfor %}{% for t in missing %}x{% else %}!{% endfor %}", "nothing!"},
		{"for one", "{% for t in name %}[{{ t }}]{% endfor %}", "[Ann]"},
		{"for maps", "{% for b in books %}{% if forloop.first %}*{% endif %}{{ b.title }} {{ b.price | default: '?' }};{% endfor %}", "*Emma 8.5;Dune ?;"},
		{"nested", "{% for a in tags limit: 2 %}{% for b in csv | split: ',' %}{{ a | first }}{{ a | truncate: 1, '' }}{{ b }}{{ forloop.index }} {% endfor %}{{ forloop.index }}{% endfor %}", "ra1 rb2 rc3 1ga1 gb2 gc3 2"},
		{"comment", "a{% comment %}{{ x }} {% if %}{% endcomment %}b", "ab"},
		{"raw", "{% raw %}{{ name }}{% if %}{% endraw %}!", "{{ name }}{% if %}!"},
		{"trim", "a \n {{- name -}} \n b {%- if yes -%} c {%- endif %} d", "aAnnbc d"},
		{"trim raw and comment", "a {%- raw -%} b {%- endraw -%} c {%- comment %}x{% endcomment -%} d", "abcd"},
		{"values are no templates", "{{ '{{ name }}' }}", "{{ name }}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, tt.in, language.Options{Name: "body", Context: language.Text}, sample)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"default", "{{ empty | default: 'x' }}{{ missing | default: name }}{{ no | default: 1 }}{{ name | default: 'x' }}", "xAnn1Ann"},
		{"case", "{{ 'straé É' | upcase }} {{ 'ÉA' | downcase }} {{ 'éCOLE' | capitalize }}{{ '' | capitalize }}", "STRAÉ É éa École"},
		{"truncate", "{{ 'abcdef' | truncate: 5 }} {{ 'abcdef' | truncate: 6 }} {{ 'äöüäöü' | truncate: 3, '…' }} {{ 'abc' | truncate: 1 }}", "ab... abcdef äö… ..."},
		{"strip", "[{{ '  a ' | strip }}]", "[a]"},
		{"append", "{{ name | append: '!' | prepend: '<' }}", "<Ann!"},
		{"replace", "{{ 'a-b-c' | replace: '-', '+' }}{{ 'ab' | replace: '', 'x' }}", "a+b+cab"},
		{"split join", "{{ csv | split: ',' | join: ' / ' }} {{ tags | join }}{{ empty | split: ',' | size }}", "a / b / c red green blue0"},
		{"first last", "{{ tags | first }} {{ csv | split: ',' | last }}{{ none | first }}{{ name | first }}", "red c"},
		{"size", "{{ tags | size }} {{ 'äö' | size }} {{ missing | size }}", "3 2 0"},
		{"date", "{{ day | date: '%d.%m.%Y' }} {{ day | date: '%-d %B %y, %A %a %b %j' }}", "05.03.2026 5 March 26, Thursday Thu Mar 064"},
		{"time", "{{ stamp | date: '%H:%M:%S %I %p %-I %z %F %e %%' }}", "09:05:00 09 AM 9 +0200 2026-11-02  2 %"},
		{"moment", "{{ instant | date: '%FT%T' }} {{ instant }}", "2026-11-02T15:04:05 2026-11-02T15:04:05Z"},
		{"no date", "{{ name | date: '%Y' }}{{ missing | date: '%Y' }}", "Ann"},
		{"url_encode", "{{ 'a b&c/ä' | url_encode }}", "a+b%26c%2F%C3%A4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, tt.in, language.Options{Name: "body", Context: language.Text}, sample)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"unknown name", "a\nb {{ recipient.nmae }}", "line 2, column 6: unknown name recipient.nmae; did you mean recipient.name?"},
		{"far name", "{{ qqqqqqqq }}", "line 1, column 4: unknown name qqqqqqqq; known are recipient.name, topic.name"},
		{"column in characters", "äöü {{ x }}", "line 1, column 8: unknown name x; known are recipient.name, topic.name"},
		{"unknown filter", "{{ topic.name | upcas }}", `line 1, column 17: unknown filter "upcas"; did you mean upcase?`},
		{"escape", "{{ topic.name | escape }}", `line 1, column 17: unknown filter "escape": escaping is automatic`},
		{"arguments", "{{ topic.name | replace: 'a' }}", "line 1, column 17: the filter replace takes 2 arguments, not 1"},
		{"no argument", "{{ topic.name | upcase: 1 }}", "line 1, column 17: the filter upcase takes no argument, not 1"},
		{"directive", "{{ topic.name | date: '%Y %Q' }}", "line 1, column 23: the date format has the unknown directive %Q"},
		{"unclosed output", "a {{ topic.name", "line 1, column 3: {{ is never closed with }}"},
		{"unclosed quote", "{{ 'a }}", "line 1, column 4: the quote ' is never closed"},
		{"unclosed if", "a{% if topic.name %}b", "line 1, column 2: {% if %} is never closed with {% endif %}"},
		{"unclosed raw", "{% raw %}b", "line 1, column 1: {% raw %} is never closed with {% endraw %}"},
		{"stray end", "a{% endif %}", "line 1, column 2: {% endif %} without its opening tag"},
		{"wrong end", "{% if topic.name %}{% endfor %}", "line 1, column 20: {% endfor %} does not belong to the {% if %} before it"},
		{"two else", "{% if topic.name %}{% else %}{% else %}{% endif %}", "line 1, column 30: {% else %} does not belong to the {% else %} before it"},
		{"unknown tag", "{% include 'x' %}", "line 1, column 1: unknown tag include; known are if, unless, for, comment and raw"},
		{"assign", "{% assign x = 1 %}", "line 1, column 1: unknown tag assign; known are if, unless, for, comment and raw"},
		{"empty output", "{{ }}", "line 1, column 4: a name, a text in quotes or a number is missing here"},
		{"rest", "{{ topic.name topic.name }}", `line 1, column 15: "topic" is not expected here`},
		{"sign", "{{ topic.name ? }}", "line 1, column 15: '?' has no meaning here"},
		{"filter in condition", "{% if topic.name | size %}{% endif %}", "line 1, column 18: a filter cannot stand in a condition"},
		{"limit", "{% for a in topic.name limit: 101 %}{% endfor %}", "line 1, column 31: limit: takes a whole number from 1 to 100"},
		{"loop name outside", "{% for a in topic.name %}{{ a }}{% endfor %}{{ a }}", "line 1, column 48: unknown name a; known are recipient.name, topic.name"},
		{"forloop", "{% for a in topic.name %}{{ forloop.length }}{% endfor %}", "line 1, column 29: unknown name forloop.length; known are forloop.first, forloop.last and forloop.index"},
		{"forloop outside", "{{ forloop.first }}", "line 1, column 4: unknown name forloop.first; known are recipient.name, topic.name"},
		{"too deep", strings.Repeat("{% for a in topic.name %}", 5) + strings.Repeat("{% endfor %}", 5), "line 1, column 101: loops may stand at most 4 deep in each other"},
		{"else with words", "{% if topic.name %}{% else if %}{% endif %}", `line 1, column 28: "if" is not expected here`},
	}
	names := []string{"recipient.name", "topic.name"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := language.Parse(tt.in, language.Options{Name: "body", Context: language.Text, Names: names,
				Known: func(path []string) bool {
					dotted := strings.Join(path, ".")
					return dotted == names[0] || dotted == names[1]
				}})
			fields := posthaste.FieldsOf(err)
			if !errors.Is(err, posthaste.Invalid) || len(fields) != 1 || fields[0].Name != "body" || fields[0].Reason != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseReportsSeveral(t *testing.T) {
	t.Parallel()
	_, err := language.Parse("{{ a | x }}\n{{ 'b' | y }}\n{% z %}", language.Options{Name: "body", Context: language.Text})
	if n := len(posthaste.FieldsOf(err)); n != 3 {
		t.Errorf("%d faults reported, want 3: %v", n, err)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	opts := language.Options{Name: "subject", Context: language.Header}
	for _, bad := range []string{"a\r\nBcc: x", "a\nb", "a\rb", "a\x00b"} {
		_, err := render(t, "Hi {{ name | default: 'x' }}", opts, data{"name": bad})
		fields := posthaste.FieldsOf(err)
		if len(fields) != 1 || fields[0].Name != "subject" || !strings.HasPrefix(fields[0].Reason, "name holds a line break") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	got, err := render(t, "Hi {{ name }}", opts, data{"name": "<Ann> & \u202e\u2028"})
	if err != nil || got != "Hi <Ann> & \u202e\u2028" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := language.Parse("a\nb", opts); posthaste.FieldsOf(err) == nil {
		t.Error("a subject of two lines is accepted")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 20<<10)
	many := strings.TrimSuffix(strings.Repeat("x,", 500), ",")
	tests := []struct{ name, in string }{
		{"output", "{% for a in many | split: ',' %}{{ long }}{% endfor %}"},
		{"value", "{{ long | replace: 'a', '0123456789012345678901234567890123456789012345678901234567890' }}"},
		{"work", "{% for a in m %}{% for b in m %}{% for c in m %}{% for d in m %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}"},
		{"filter work", "{% for a in m %}{% for b in m %}{% if long contains 'b' %}{% endif %}{% endfor %}{% endfor %}"},
	}
	d := data{"long": long, "many": many, "m": strings.Split(many, ",")}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t, tt.in, language.Options{Name: "body", Context: language.Text}, d)
			if !errors.Is(err, posthaste.TooLarge) || posthaste.FieldsOf(err)[0].Name != "body" {
				t.Errorf("got %v", err)
			}
		})
	}
	got, err := render(t, "{% for a in m %}x{% endfor %}", language.Options{Context: language.Text}, d)
	if err != nil || len(got) != 100 {
		t.Errorf("a loop ran %d rounds, want 100: %v", len(got), err)
	}
}

func TestProgramIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	p, err := language.Parse("{% for t in tags %}{{ t | upcase }}{% endfor %}", language.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if out, err := p.Append(nil, sample.lookup); err != nil || string(out) != "REDGREENBLUE" {
					t.Errorf("got %q, %v", out, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestPieces(t *testing.T) {
	t.Parallel()
	source := `<p title="{% if a %}x{% endif %}">{{ b }}{% raw %}{{ c }}{% endraw %}{% comment %}d{% endcomment %}</p><title>{{ e }}</title>`
	p, err := language.Parse(source, language.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	var outputs []language.Place
	for _, piece := range p.Pieces() {
		if piece.Offset != all.Len() {
			t.Errorf("%q is at %d, not %d", piece.Text, all.Len(), piece.Offset)
		}
		all.WriteString(piece.Text)
		if piece.Kind == language.Output || piece.Kind == language.Control {
			outputs = append(outputs, piece.Place)
		}
	}
	if all.String() != source {
		t.Errorf("the pieces are %q", all.String())
	}
	want := []language.Place{language.Words, language.Words, language.Content, language.Words}
	if len(outputs) != len(want) {
		t.Fatalf("places %v, want %v", outputs, want)
	}
	for i := range want {
		if outputs[i] != want[i] {
			t.Errorf("places %v, want %v", outputs, want)
		}
	}
	if !p.Writes("b") || p.Writes("a") || p.Writes("c") {
		t.Error("Writes is wrong about what is always output")
	}
}
