package language_test

import (
	"strings"
	"testing"

	"posthaste/templates/language"
)

// BenchmarkAppend renders 10 kB with 6 outputs into a buffer that is used again.
func BenchmarkAppend(b *testing.B) {
	part := "<p>" + strings.Repeat("Some words of a newsletter. ", 60) + "</p>"
	source := part + `<p>{{ name }}</p>` + part + `{{ city | default: "town" }}` + part + `<a href="{{ links.x }}">{{ name }}</a>` +
		part + `{% if city %}<b title="{{ city }}">{% else %}<b>{% endif %}x</b>` + part + part + `<a href="https://example.com/{{ name }}">y</a>`
	p, err := language.Parse(source, language.Options{Name: "body", TrustedURLs: trusted})
	if err != nil {
		b.Fatal(err)
	}
	name, city, link := "Ann O'Neill", "Bern", "https://example.com/u/abcdef"
	lookup := func(path []string) (any, bool) {
		switch path[0] {
		case "name":
			return &name, true
		case "city":
			return &city, true
		}
		return &link, true
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if out, err = p.Append(out[:0], lookup); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(out)))
}

// BenchmarkParse reads the template of BenchmarkAppend's kind.
func BenchmarkParse(b *testing.B) {
	source := strings.Repeat(`<p title="{{ name }}">Some words {% if city %}of {{ city | upcase }}{% endif %}.</p>`, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := language.Parse(source, language.Options{Name: "body"}); err != nil {
			b.Fatal(err)
		}
	}
}
