package templates_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"posthaste"
	"posthaste/templates"
	"posthaste/templates/language"
)

// parts puts a spliced copy together again.
type parts struct {
	mail *templates.Mail
	templates.Rendered
}

type partSink struct {
	literals []string
	into     *[]byte
}

func (s partSink) Literal(n int)     { *s.into = append(*s.into, s.literals[n]...) }
func (s partSink) Value(text []byte) { *s.into = append(*s.into, text...) }

func (p *parts) Text(subject string) (language.Sink, error) {
	p.Subject = subject
	return partSink{p.mail.TextLiterals(), &p.Rendered.Text}, nil
}

func (p *parts) HTML() language.Sink { return partSink{p.mail.HTMLLiterals(), &p.Rendered.HTML} }

// TestSpliceGivesWhatRenderGives puts random templates together from tags and
// texts, and fills in random recipients.
func TestSpliceGivesWhatRenderGives(t *testing.T) {
	t.Parallel()
	fragment := rapid.SampledFrom([]string{
		"Hello ", "\n\n", "\n", "- a\n", "# Title\n\n", "**bold** ", ".", " \n", "{{ recipient.name }}", "{{ recipient.attributes.city | upcase }}",
		"\n\n{% if recipient.attributes.city %}\n\nfrom {{ recipient.attributes.city }}\n\n{% else %}\n\n{% endif %}\n\n",
		"{% unless recipient.name == blank %}x{% endunless %}", "\n\n{% for g in recipient.attributes.genres | split: \",\" %}\n- {{ g }}\n{% endfor %}\n\n",
		"\n\n{% if recipient.attributes.site %}\n\nno\n\n{% endif %}\n\n{% if recipient.attributes.site %}\n\nno\n\n{% endif %}\n\n",
		"[here](https://example.com/a?b=1&c=2) ", "[them](https://example.com/{{ recipient.name | url_encode }}) ", "{% raw %}{{ x }}{% endraw %}", "é日",
	})
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "\n", "\n\n\n", "a\n\n\n\nb", "\r\n\r\n\r\n", ".", "<b>", "x,y,z", "\x00"}), rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		body := "x"
		for _, f := range rapid.SliceOfN(fragment, 1, 12).Draw(rt, "body") {
			body += f
		}
		src := source(posthaste.Markdown, body)
		src.Subject = "Hello {{ recipient.attributes.city | truncate: 5 }}"
		src.Layout = rapid.SampledFrom(templates.Layouts()).Draw(rt, "layout")
		m, err := templates.Compile(src, attributes)
		if err != nil {
			rt.Fatal(err)
		}
		v := values()
		v.Recipient.Name = value.Draw(rt, "name")
		v.Recipient.Attributes = map[string]string{"city": value.Draw(rt, "city"), "genres": value.Draw(rt, "genres")}
		if rapid.Bool().Draw(rt, "tracked") {
			v.Pixel, v.Link = "https://mail.example.com/o/1", func(int) string { return "https://mail.example.com/c/1" }
		}
		var want templates.Rendered
		wantErr := m.Render(&want, v)
		got := parts{mail: m}
		gotErr := m.Splice(&got, v)
		if diff := cmp.Diff(posthaste.FieldsOf(wantErr), posthaste.FieldsOf(gotErr)); diff != "" {
			rt.Fatalf("refusals (-Render +Splice):\n%s", diff)
		}
		if wantErr != nil {
			return
		}
		for _, part := range [][2]string{{want.Subject, got.Subject}, {string(want.HTML), string(got.Rendered.HTML)}, {string(want.Text), string(got.Rendered.Text)}} {
			if part[0] != part[1] {
				rt.Fatalf("(-Render +Splice):\n%s", cmp.Diff(part[0], part[1]))
			}
		}
	})
}

func TestSpliceRefusesWhatRenderRefuses(t *testing.T) {
	t.Parallel()
	m := compile(t, source(posthaste.Markdown, "x"))
	for _, change := range []func(*templates.Values){
		func(v *templates.Values) { v.Unsubscribe = "" },
		func(v *templates.Values) { v.PostalAddress = " " },
		func(v *templates.Values) { v.Recipient.Name = "a\r\nBcc: b" },
	} {
		v := values()
		change(v)
		if err := m.Splice(&parts{mail: m}, v); len(posthaste.FieldsOf(err)) != 1 {
			t.Errorf("%+v: %v", v, err)
		}
	}
}
