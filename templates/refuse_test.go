package templates_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"posthaste"
	"posthaste/templates"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	const md, htm = posthaste.Markdown, posthaste.HTML
	tests := []struct {
		name   string
		format posthaste.Format
		body   string
		want   string // of the body's reasons
	}{
		{"unknown name", md, "a\n\nb {{ recipient.nmae }}", "line 3, column 6: unknown name recipient.nmae; did you mean recipient.name?"},
		{"unknown attribute", htm, "<p>{{ recipient.attributes.citty }}", "line 1, column 7: unknown name recipient.attributes.citty; did you mean recipient.attributes.city?"},
		{"layout's name", md, "{{ content }}", "line 1, column 4: unknown name content; known are "},
		{"own name", md, "{{ links.pixel }}", "line 1, column 4: unknown name links.pixel; known are "},
		{"script", htm, "<p>\n  <SCRIPT>x</script>", "line 2, column 3: the element <script> cannot be used: mail clients run no scripts"},
		{"script in Markdown", md, "a\n\n- b <script>x</script>", "line 3, column 5: the element <script> cannot be used: mail clients run no scripts"},
		{"block in Markdown", md, "{{ recipient.name }}\n\n<div>\n<form>\n</div>", "line 4, column 1: the element <form> cannot be used: mail clients show no forms"},
		{"base", htm, `<base href="https://a.test">`, "line 1, column 1: the element <base> cannot be used: it would change every link"},
		{"iframe", htm, `a<iframe></iframe>`, "line 1, column 2: the element <iframe> cannot be used"},
		{"object", htm, `<object></object>`, "line 1, column 1: the element <object> cannot be used"},
		{"embed", md, `a <embed>`, "line 1, column 3: the element <embed> cannot be used"},
		{"link", htm, `<link rel="stylesheet">`, "line 1, column 1: the element <link> cannot be used: style sheets cannot be fetched from a mail: use <style>"},
		{"event", htm, "<p\nonclick='x'>", "line 1, column 1: the attribute onclick of <p> cannot be used: mail clients run no scripts"},
		{"event after tags", md, "{% if recipient.name %}{{ recipient.name }}{% endif %} <b onload=x>", "line 1, column 56: the attribute onload of <b> cannot be used: mail clients run no scripts"},
		{"javascript", htm, `<a href="java&#115;cript:x">`, `line 1, column 1: the link "javascript:x" must start with https://, http://, mailto: or tel:`},
		{"data", htm, `<a href="data:text/html,x">`, `line 1, column 1: the link "data:text/html,x" must start with https://, http://, mailto: or tel:`},
		{"Markdown link", md, "a\nb [c](javascript:x)", `line 2, column 3: the link "javascript:x" must start with https://, http://, mailto: or tel:`},
		{"relative link", md, "[c](/news)", `line 1, column 1: the link "/news" must start with https://, http://, mailto: or tel:`},
		{"autolink", md, "é <ftp://a.test>", `line 1, column 3: the link "ftp://a.test" must start with https://, http://, mailto: or tel:`},
		{"no site", htm, `<a href="https:///x">`, `line 1, column 1: the link "https:///x" names no site`},
		{"picture", md, "![a](data:image/png;base64,x)", `line 1, column 1: the picture "data:image/png;base64,x" must start with https:// or http://`},
		{"whole document", htm, "<!doctype html>\n<html><body>x</body></html>", "line 2, column 1: the body is a whole document: leave out <!doctype>, <html>, <head> and <body>, the layout brings them"},
		{"import", htm, "<style>@import url(x)</style>", "line 1, column 8: @import cannot be used: style sheets cannot be fetched from a mail"},
		{"value in style", htm, `<p style="color:{{ recipient.name }}">`, "line 1, column 1: a tag of the template cannot stand in a style"},
		{"value in an attribute's name", md, `<p {{ recipient.name }}>`, "line 1, column 1: a tag of the template cannot stand among the attributes of <p>; put it inside the quotes of a value"},
		{"value without quotes", htm, `<p title={{ recipient.name }}>`, "line 1, column 10: a value cannot stand in an attribute value without quotes"},
		{"value without quotes in Markdown", md, "a\n\n<p title={{ recipient.name }}>", "line 3, column 10: a value cannot stand in an attribute value without quotes"},
		{"half an element", htm, "{% if recipient.name %}<div>{% endif %}x</div>", "line 1, column 1: this {% if %} and its {% endif %} must enclose whole elements"},
		{"half a list", md, "- a\n  {% if recipient.name %}\n- b\n\n{% endif %}", "line 2, column 3: this {% if %} and its {% endif %} must enclose whole elements"},
		{"unclosed", md, "a\n{% if recipient.name %}", "line 2, column 1: {% if %} is never closed with {% endif %}"},
		{"tag in a comment of HTML", htm, "<!-- {{ recipient.name }} -->", "line 1, column 6: a value cannot stand in an HTML comment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := templates.Compile(source(tt.format, tt.body), attributes)
			ok := slices.ContainsFunc(posthaste.FieldsOf(err), func(f posthaste.Field) bool {
				return f.Name == "body" && (f.Reason == tt.want || strings.HasSuffix(tt.want, " ") && strings.HasPrefix(f.Reason, tt.want))
			})
			if !ok || !errors.Is(err, posthaste.Invalid) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCompileRefusesFields(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*templates.Source)
		field  string
		want   string
	}{
		{"answer", func(s *templates.Source) { s.Subject = "RE: your order" }, "subject", `line 1, column 1: this mail is no answer: it cannot begin with "RE:"`},
		{"forwarded", func(s *templates.Source) { s.Subject = " Fwd: your order" }, "subject", `line 1, column 1: this mail is no answer: it cannot begin with "Fwd:"`},
		{"no subject", func(s *templates.Source) { s.Subject = " " }, "subject", "is empty"},
		{"two lines", func(s *templates.Source) { s.Subject = "a\nb" }, "subject", "line 1, column 2: this must be one line"},
		{"unknown name", func(s *templates.Source) { s.Preheader = "a {{ x.y.z }}" }, "preheader", "line 1, column 6: unknown name x.y.z; known are "},
		{"layout", func(s *templates.Source) { s.Layout = "../pages/page" }, "layout", `is "../pages/page"; known are `},
		{"format", func(s *templates.Source) { s.Format = "mjml" }, "format", `is "mjml"; it must be markdown or html`},
		{"body", func(s *templates.Source) { s.Body = strings.Repeat("a", 257<<10) }, "body", "is 263168 bytes long; at most 262144 are possible"},
		{"deep", func(s *templates.Source) { s.Body = strings.Repeat("<b>", 600) }, "body", "its elements or lists stand too deep in each other"},
		{"style", func(s *templates.Source) { s.Body = "<style>" + strings.Repeat("p {}\n", 4000) + "</style>" }, "body", "line 1, column 8: the style is 2"},
		{"clipped by styles", func(s *templates.Source) { s.Body = strings.Repeat("a\n\n", 5000) }, "body", "its HTML is 1"},
		{"clipped", func(s *templates.Source) { s.Body = strings.Repeat("some words ", 10_000) }, "body", "its HTML is 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := source(posthaste.Markdown, "Hello")
			tt.change(&src)
			_, err := templates.Compile(src, attributes)
			fields := posthaste.FieldsOf(err)
			if len(fields) != 1 || fields[0].Name != tt.field || !strings.HasPrefix(fields[0].Reason, tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCompileReportsAllFields(t *testing.T) {
	t.Parallel()
	_, err := templates.Compile(templates.Source{Subject: "Re: {{ a }}", Preheader: "{{ b }}", Body: "{{ c }}\n{{ d }}",
		Format: posthaste.Markdown, Layout: "plain"}, nil)
	var got []string
	for _, f := range posthaste.FieldsOf(err) {
		got = append(got, f.Name)
	}
	if want := []string{"subject", "preheader", "body", "body"}; !slices.Equal(got, want) {
		t.Errorf("faults of %v, want %v: %v", got, want, err)
	}
}
