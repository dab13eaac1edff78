package language_test

import (
	"strings"
	"testing"

	"posthaste/templates/language"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "{{ x }}", "{{", "{%", "{% if x == 'a' and y contains 2 %}a{% elsif z %}b{% else %}c{% endif %}",
		"{% for a in x | split: ',' limit: 3 %}{{ forloop.index }}{{ a.b['c'] | truncate: 3, '' }}{% else %}-{% endfor %}",
		"{% raw %}{{ x }}{% endraw %}{% comment %}{% endcomment %}", "{{- x | date: '%Y-%-d' -}}", `<a href="{{ x }}?{{ y | url_encode }}">`,
		"<!-- {% if x %} --> {% endif %} -->", "<style>{% endif %}", "{%raw%}{%{%}", "{{ 1.2.3 | replace: 'a', \"b\" }}",
	} {
		f.Add(seed, "a,b")
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		for _, context := range []language.Context{language.HTML, language.Text, language.Header} {
			p, err := language.Parse(source, language.Options{Name: "body", Context: context})
			if err != nil {
				continue
			}
			if _, err := p.Append(nil, func([]string) (any, bool) { return value, true }); err != nil && context == language.Text && len(source) < 200 && len(value) < 200 {
				if !strings.Contains(err.Error(), "too much work") && !strings.Contains(err.Error(), "bytes") {
					t.Errorf("render %q with %q: %v", source, value, err)
				}
			}
			joined := ""
			for _, piece := range p.Pieces() {
				joined += piece.Text
			}
			if joined != source {
				t.Errorf("the pieces of %q are %q", source, joined)
			}
		}
	})
}

// FuzzValue checks that no value, at whatever place a template gives it,
// changes the tree of the document.
func FuzzValue(f *testing.F) {
	for _, place := range []string{
		"<p>{{ x }}</p>", `<a href="{{ x }}" title='{{ x }}'>`, "<title>{{ x }}</title>", `<table><tr>{{ x }}<td>`, `<a href="https://a/{{ x }}`,
		"<title><{{ x }}", "<!-- --!>{{ x }}-->", "<p a=b'{{ x }}'>", "<textarea></{{ x }}>", "<style><!--</style>{{ x }}", "<a/href=\"{{ x }}\"/>",
		"</p =\"{{ x }}\">", "<p =a=\"{{ x }}\">", "<?{{ x }}>{{ x }}", "<script/>{{ x }}", "<title/>{{ x }}",
	} {
		for _, value := range hostile[:4] {
			f.Add(place, value)
		}
	}
	f.Fuzz(func(t *testing.T, place, value string) {
		p, err := parseHTML(place)
		if err != nil {
			return
		}
		for _, piece := range p.Pieces() {
			if piece.Kind == language.Control || strings.Contains(piece.Text, "|") {
				return // a condition or a filter may well give another document
			}
		}
		// Words at both ends: HTML drops and moves white space by itself.
		same(t, p, "x"+value+"x", "xx")
	})
}
