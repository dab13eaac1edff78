package templates_test

import (
	"strings"
	"testing"

	"posthaste"
	"posthaste/templates"
)

// TestTagsAmongBlocks checks what tags on lines of their own make of lists,
// tables and paragraphs, with city set and not, and with two genres.
func TestTagsAmongBlocks(t *testing.T) {
	t.Parallel()
	const yes, end = "{% if recipient.attributes.city %}", "{% endif %}"
	const each, done = "{% for g in recipient.attributes.genres | split: ',' %}", "{% endfor %}"
	row := func(cell string) string { return "<tr><td>" + cell + "</td></tr>" }
	tests := []struct {
		name          string
		format        posthaste.Format
		in            string
		with, without string
	}{
		{"paragraphs", posthaste.Markdown, "a\n" + yes + "\nb\n\nc\n" + end + "\nd", "<p>a</p><p>b</p><p>c</p><p>d</p>", "<p>a</p><p>d</p>"},
		{"heading", posthaste.Markdown, yes + "\n## b\n" + end, "<h2>b</h2>", ""},
		{"in a line", posthaste.Markdown, "a " + yes + "*b*" + end + " c", "<p>a <em>b</em> c</p>", "<p>a c</p>"},
		{"whole list", posthaste.Markdown, yes + "\n- a\n- b\n" + end, "<ul><li>a</li><li>b</li></ul>", ""},
		{"items", posthaste.Markdown, "- a\n" + yes + "\n- b\n" + end + "\n- c", "<ul><li>a</li><li>b</li><li>c</li></ul>", "<ul><li>a</li><li>c</li></ul>"},
		{"either item", posthaste.Markdown, yes + "\n- a\n{% else %}\n- b\n" + end, "<ul><li>a</li></ul>", "<ul><li>b</li></ul>"},
		{"loop of items", posthaste.Markdown, each + "\n- {{ g }}\n" + done, "<ul><li>x</li><li>y</li></ul>", "<ul></ul>"},
		{"loop after items", posthaste.Markdown, "1. a\n" + each + "\n1. {{ g }}\n" + done, "<ol><li>a</li><li>x</li><li>y</li></ol>", "<ol><li>a</li></ol>"},
		{"rows of a Markdown table", posthaste.Markdown, "|h|\n|-|\n" + each + "\n|{{ g | upcase }}|\n" + done + "\n|z|",
			"<table><thead><tr><th>h</th></tr></thead><tbody>" + row("X") + row("Y") + row("z") + "</tbody></table>",
			"<table><thead><tr><th>h</th></tr></thead><tbody>" + row("z") + "</tbody></table>"},
		{"last rows", posthaste.Markdown, "|h|\n|-|\n" + yes + "\n|z|\n" + end,
			"<table><thead><tr><th>h</th></tr></thead><tbody>" + row("z") + "</tbody></table>",
			"<table><thead><tr><th>h</th></tr></thead><tbody></tbody></table>"},
		{"whole table", posthaste.Markdown, yes + "\n\n|h|\n|-|\n|z|\n" + end + "\n\nb",
			"<table><thead><tr><th>h</th></tr></thead><tbody>" + row("z") + "</tbody></table><p>b</p>", "<p>b</p>"},
		{"code", posthaste.Markdown, "    " + yes + "a" + end, "<pre><code>a</code></pre>", "<pre><code></code></pre>"},
		{"rows of an HTML table", posthaste.HTML, "<table>" + each + row("{{ g }}") + done + "</table>",
			"<table><tbody>" + row("x") + row("y") + "</tbody></table>", "<table><tbody></tbody></table>"},
		{"after rows", posthaste.HTML, "<table>" + row("a") + yes + row("b") + end + "</table>",
			"<table><tbody>" + row("a") + row("b") + "</tbody></table>", "<table><tbody>" + row("a") + "</tbody></table>"},
		{"two loops", posthaste.HTML, "<table>" + yes + each + row("{{ g }}") + done + end + "</table>",
			"<table><tbody>" + row("x") + row("y") + "</tbody></table>", "<table><tbody></tbody></table>"},
		{"whole tbody", posthaste.HTML, "<table>" + yes + "<tbody>" + row("a") + "</tbody>" + end + "</table>",
			"<table><tbody>" + row("a") + "</tbody></table>", "<table></table>"},
		{"cells", posthaste.HTML, "<table><tr>" + yes + "<td>a</td>" + end + "<td>b</td></tr></table>",
			"<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>", "<table><tbody><tr><td>b</td></tr></tbody></table>"},
		{"attribute", posthaste.HTML, `<p title="` + yes + "a" + end + `">b</p>`, `<p title="a">b</p>`, `<p title="">b</p>`},
		{"braces", posthaste.HTML, "<p>&#123;&#123; x }} {% raw %}{% y %}{% endraw %}</p>", "<p>{{ x }} {% y %}</p>", "<p>{{ x }} {% y %}</p>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, source(tt.format, tt.in))
			v := values()
			v.Recipient.Attributes = map[string]string{"city": "Bern", "genres": "x,y"}
			if got := content(t, render(t, m, v)); got != tt.with {
				t.Errorf("with:\ngot  %s\nwant %s", got, tt.with)
			}
			v.Recipient.Attributes = nil
			if got := content(t, render(t, m, v)); got != tt.without {
				t.Errorf("without:\ngot  %s\nwant %s", got, tt.without)
			}
		})
	}
}

// content gives what stands in the layout's content cell, without styles and
// without the white space between elements.
func content(t *testing.T, r *templates.Rendered) string {
	t.Helper()
	_, text, ok := strings.Cut(string(r.HTML), `class="content"`)
	if !ok {
		t.Fatalf("there is no content in\n%s", r.HTML)
	}
	_, text, _ = strings.Cut(text, ">")
	text, _, _ = strings.Cut(text, `<tr><td class="foot"`)
	text = strings.TrimSuffix(strings.TrimSpace(text), "</td></tr>")
	for {
		before, rest, found := strings.Cut(text, ` style="`)
		if !found {
			break
		}
		_, after, _ := strings.Cut(rest, `"`)
		text = before + after
	}
	text = strings.ReplaceAll(text, "\n", "")
	return strings.ReplaceAll(strings.TrimSpace(text), "a  c", "a c")
}
