package templates_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"posthaste"
	"posthaste/templates"
)

// everywhere has a value at every place where one may stand.
const everywhere = `<h1 title="{{ recipient.name }}">{{ recipient.name }}</h1>
<p title='{{ recipient.attributes.site }}'><a href="{{ recipient.attributes.site }}">{{ recipient.attributes.site }}</a>
<a href="https://example.com/{{ recipient.attributes.site }}?q={{ recipient.name | url_encode }}">x</a></p>
<table><tr><td background="{{ recipient.attributes.site }}">{{ recipient.attributes.site | upcase }}</td></tr>
{% for part in recipient.attributes.site | split: "|" %}<tr><td>{{ part }}</td></tr>{% endfor %}</table>
<img src="{{ recipient.attributes.site }}" alt="{{ recipient.attributes.site }}"><textarea>{{ recipient.name }}</textarea>`

var hostileValues = []string{
	"{{ links.unsubscribe }}", "{% raw %}{{", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `'><b onmouseover='x`,
	"javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>alert(1)</script>", "\u2028<b>\u2029", "\u202emoc.live\u2066",
	"</title><script>", "</textarea></td></table>", "--><b>", "a\x00<b", "&lt;script&gt;", "q0z qx0z",
}

// shape is a document's tree: its elements with the names of their attributes.
func shape(t *testing.T, text []byte) (tree string, links []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		fmt.Fprintf(&b, "%s in %s:", n.Data, n.Parent.Data)
		for _, a := range n.Attr {
			b.WriteString(" " + a.Key)
			if a.Key == "href" || a.Key == "src" || a.Key == "background" {
				links = append(links, a.Val)
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), links
}

func TestHostileValuesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	src := source(posthaste.HTML, everywhere)
	src.Subject, src.Preheader = "News", "{{ recipient.attributes.site }}"
	for _, layout := range templates.Layouts() {
		src.Layout = layout
		m := compile(t, src)
		innocent := values()
		innocent.Recipient.Name, innocent.Recipient.Attributes["site"] = "x", "x"
		want, _ := shape(t, render(t, m, innocent).HTML)
		for _, bad := range hostileValues {
			v := values()
			v.Recipient.Name, v.Recipient.Attributes["site"] = bad, bad
			v.Recipient.Email, v.Topic, v.SenderName = bad, bad, bad
			r := render(t, m, v)
			got, links := shape(t, r.HTML)
			if got != want {
				t.Errorf("%s: %q changes the document:\n%s", layout, bad, r.HTML)
			}
			for _, link := range links {
				if link != "#" && !strings.HasPrefix(link, "https://") {
					t.Errorf("%s: %q makes the link %q", layout, bad, link)
				}
			}
			if strings.Contains(bad, "links.unsubscribe") && !strings.Contains(string(r.Text), bad) {
				t.Errorf("%q was read as a template:\n%s", bad, r.Text)
			}
			if strings.ContainsRune(string(r.HTML), 0) || strings.ContainsRune(string(r.Text), 0) {
				t.Errorf("%q is written with its NUL", bad)
			}
		}
	}
}

func TestHostileSubject(t *testing.T) {
	t.Parallel()
	m := compile(t, source(posthaste.Markdown, "Hello"))
	for _, bad := range []string{"x\r\nBcc: y@example.com", "x\ny", "x\ry", "x\x00y"} {
		v := values()
		v.Recipient.Name = bad
		err := m.Render(&templates.Rendered{}, v)
		if fields := posthaste.FieldsOf(err); len(fields) != 1 || fields[0].Name != "subject" ||
			!strings.HasPrefix(fields[0].Reason, "recipient.name holds a line break or NUL") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	v := values()
	v.Recipient.Name = "{{ recipient.email }} <b> \u202e\u2028"
	if r := render(t, m, v); r.Subject != "Autumn for "+v.Recipient.Name {
		t.Errorf("the subject is %q", r.Subject)
	}
}

// FuzzBody checks that no body makes Compile panic, and that what compiles
// renders with scripts in nobody's data.
func FuzzBody(f *testing.F) {
	f.Add("# {{ recipient.name }}\n\n| a |\n|---|\n{% if topic.name %}\n| b |\n{% endif %}\n", "<script>")
	f.Add("- a\n{% for x in topic.name | split: ',' %}\n- {{ x }}\n{% endfor %}", "x,y")
	f.Add(everywhere, "javascript:x")
	f.Add("<table>{% if topic.name %}<tr><td>x{% endif %}", "\"")
	f.Add("{% raw %}{{{% endraw %}{{ recipient.name }}{", "{")
	f.Fuzz(func(t *testing.T, body, value string) {
		for _, format := range []posthaste.Format{posthaste.Markdown, posthaste.HTML} {
			src := source(format, body)
			src.Subject = "News"
			m, err := templates.Compile(src, attributes)
			if err != nil {
				if posthaste.FieldsOf(err) == nil {
					t.Errorf("compile %q: %v", body, err)
				}
				continue
			}
			v := values()
			v.Recipient.Name, v.Topic = value, value
			var r templates.Rendered
			if err := m.Render(&r, v); err != nil {
				continue
			}
			tree, _ := shape(t, r.HTML)
			if strings.Contains(tree, "script in ") || strings.Contains(tree, " onerror") {
				t.Errorf("%q with %q renders a script:\n%s", body, value, r.HTML)
			}
		}
	})
}
