package language_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"posthaste"
	"posthaste/templates/language"
)

// hostile are values that try to become more than text.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `'><img src=x onerror=alert(1)>`, "</title><b>", "</textarea><i>",
	"javascript:alert(1)", " java\nscript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,<script>", "vbscript:x", "//evil.test", "\\\\evil.test",
	"\r\nBcc: x@example.com", "\u2028\u2029", "\u202e\u2066moc", "{{ links.unsubscribe }}", "{% raw %}", "&lt;script&gt;", "&#106;avascript:x",
	"--><script>", "]]>", "\x00<b\x00>", "` onmouseover=x", "a b\tc", "%3Cscript%3E", "é", "\xff\xfe<",
}

func trusted(path []string) bool { return path[0] == "links" }

func parseHTML(source string) (*language.Program, error) {
	return language.Parse(source, language.Options{Name: "body", Context: language.HTML, TrustedURLs: trusted})
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, value, want string }{
		{"text", "<p>{{ x }}</p>", `<&>"'`, "<p>&lt;&amp;&gt;&#34;&#39;</p>"},
		{"double quotes", `<p title="a {{ x }}">`, `"'<`, `<p title="a &#34;&#39;&lt;">`},
		{"single quotes", `<p title='{{ x }}'>`, `"'<`, `<p title='&#34;&#39;&lt;'>`},
		{"title", `<title>{{ x }}</title>`, `</title>`, `<title>&lt;/title&gt;</title>`},
		{"nul", `<p>{{ x }}`, "a\x00b", `<p>ab`},
		{"url", `<a href="{{ x }}">`, "https://example.com/?a=1&b='2'", `<a href="https://example.com/?a=1&amp;b=&#39;2&#39;">`},
		{"url with spaces", `<a href=" {{ x }}">`, " https://example.com/a b\"<é ", `<a href=" https://example.com/a%20b%22%3C%C3%A9">`},
		{"mailto", `<a href='{{ x }}'>`, "MAILTO:a@example.com", `<a href='MAILTO:a@example.com'>`},
		{"tel", `<a href="{{ x }}">`, "tel:+41790000000", `<a href="tel:+41790000000">`},
		{"script", `<a href="{{ x }}">`, "javascript:alert(1)", `<a href="#">`},
		{"hidden script", `<a HREF = "{{ x }}">`, "java\tscript:alert(1)", `<a HREF = "#">`},
		{"no url", `<img src="{{ x }}">`, "evil.test", `<img src="#">`},
		{"empty url", `<img src="{{ x }}">`, "", `<img src="#">`},
		{"part", `<a href="https://example.com/{{ x }}">`, "a/b?c&d:e é", `<a href="https://example.com/a%2Fb%3Fc%26d%3Ae%20%C3%A9">`},
		{"encoded once", `<a href="https://example.com/?q={{ x | url_encode }}">`, "a b", `<a href="https://example.com/?q=a%20b">`},
		{"relative part", `<a href="page{{ x }}">`, ":alert(1)", `<a href="page%3Aalert%281%29">`},
		{"two", `<a href="{{ x }}?a={{ x }}">`, "https://a.test", `<a href="https://a.test?a=https%3A%2F%2Fa.test">`},
		{"trusted", `<a href="{{ links.x }}">`, "cid:a&b\"", `<a href="cid:a&amp;b&#34;">`},
		{"trusted but filtered", `<a href="{{ links.x | downcase }}">`, "cid:a", `<a href="#">`},
		{"trusted in text", `<p>{{ links.x }}`, "<b>", `<p>&lt;b&gt;`},
		{"trusted later", `<a href="https://example.com/?u={{ links.x }}">`, "https://a.test", `<a href="https://example.com/?u=https%3A%2F%2Fa.test">`},
		{"condition in a value", `<a href="{% if x %}https://a.test/{% else %}{{ x }}{% endif %}{{ x }}">`, "?", `<a href="https://a.test/%3F">`},
		{"condition in a tag", `<a {% if x %}class="b"{% endif %} id="c">`, "1", `<a class="b" id="c">`},
		{"xlink", `<a xlink:href="{{ x }}">`, "javascript:x", `<a xlink:href="#">`},
		{"after a comment", `<!-- <a href=" --><p>{{ x }}<!--> {{ x }} <!---> {{ x }}`, "<", `<!-- <a href=" --><p>&lt;<!--> &lt; <!---> &lt;`},
		{"after a style", `<style>a > b {}</ style></style>{{ x }}`, "<", `<style>a > b {}</ style></style>&lt;`},
		{"a lone less-than", `1 < 2 {{ x }}`, "<", `1 < 2 &lt;`},
		{"number", `<td width="{{ 5 }}">{{ 5 }}`, "", `<td width="5">5`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, tt.in, language.Options{TrustedURLs: trusted}, data{"x": tt.value, "links.x": tt.value})
			if err != nil || got != tt.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestPlacesRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"script", "<p>\n<script>{{ x }}</script>", "line 2, column 9: a value cannot stand in <script>"},
		{"style", "<style>{{ x }}</style>", "line 1, column 8: a value cannot stand in <style>"},
		{"style attribute", `<p style="color:{{ x }}">`, "line 1, column 17: a value cannot stand in the attribute style of <p>"},
		{"event", `<p onClick="{{ x }}">`, "line 1, column 13: a value cannot stand in the attribute onclick of <p>"},
		{"srcset", `<img srcset='{{ x }}'>`, "line 1, column 14: a value cannot stand in the attribute srcset of <img>"},
		{"refresh", `<meta http-equiv="refresh" content="0;url={{ x }}">`, "line 1, column 43: a value cannot stand in the attribute content of <meta>"},
		{"unquoted", `<p title={{ x }}>`, "line 1, column 10: a value cannot stand in an attribute value without quotes"},
		{"unquoted later", `<p title=a{{ x }}>`, "line 1, column 11: a value cannot stand in an attribute value without quotes"},
		{"tag name", `<{{ x }}>`, "line 1, column 2: a value cannot stand in the name of a tag"},
		{"end tag name", `<p></p{{ x }}>`, "line 1, column 7: a value cannot stand in the name of a tag"},
		{"attribute name", `<p {{ x }}="1">`, "line 1, column 4: a value cannot stand inside a tag, outside of an attribute's quotes"},
		{"comment", `<!-- {{ x }} -->`, "line 1, column 6: a value cannot stand in an HTML comment"},
		{"comment that goes on", `<!-- > --{{ x }}`, "line 1, column 10: a value cannot stand in an HTML comment"},
		{"declaration", `<!doctype {{ x }}>`, "line 1, column 11: a value cannot stand in a declaration"},
		{"half an end tag", `<title></ti{{ x }}></title>`, "line 1, column 12: a value cannot stand in <title>"},
		{"scheme", `<a href="javascript:{{ x }}">`, "line 1, column 21: a value cannot follow javascript: in a URL: start it with https://, http://, mailto: or tel:"},
		{"written scheme", `<a href="java&#115;cript:{{ x }}">`, "line 1, column 26: a value cannot follow java&#115;cript: in a URL: start it with https://, http://, mailto: or tel:"},
		{"half a reference", `<a href="&{{ x }}">`, "line 1, column 11: a value cannot follow & in a URL: start it with https://, http://, mailto: or tel:"},
		{"svg", "<svg>", "line 1, column 2: the element <svg> cannot be used"},
		{"noscript", "<noscript>", "line 1, column 2: the element <noscript> cannot be used"},
		{"hidden end of a script", "<script><!-- <script> </script>", "line 1, column 9: a script cannot hold <!"},
		{"open end", `<p title="`, "line 1, column 11: the text ends in an attribute value (title)"},
		{"branches", `<p title="{% if x %}">{% endif %}`, "line 1, column 23: the ways to this {% endif %} end in different places of the HTML: one in text, one in an attribute value (title)"},
		{"branches in a URL", `<a href="{% if x %}https://a.test/{% endif %}{{ x }}">`, "line 1, column 35: the ways to this {% endif %} end in different places of the HTML: one in an attribute value (href), after the start of its URL, one in an attribute value (href)"},
		{"loop", `{% for a in x %}<p {% endfor %}>`, "line 1, column 20: the ways to this {% endfor %} end in different places of the HTML: one in text, one inside a tag, outside of an attribute's quotes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseHTML(tt.in)
			fields := posthaste.FieldsOf(err)
			if !slices.ContainsFunc(fields, func(f posthaste.Field) bool { return f.Reason == tt.want }) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// shape is the tree of an HTML text without its words: elements with the
// names of their attributes, and comments.
func shape(text string) string {
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			return
		case html.ElementNode:
			fmt.Fprintf(&b, "<%s", n.Data)
			for _, a := range n.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteByte('>')
		case html.CommentNode, html.DoctypeNode:
			fmt.Fprintf(&b, "<!%s>", n.Data)
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
		b.WriteByte('/')
	}
	walk(doc)
	return b.String()
}

func TestHostileValuesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	places := []string{
		"<p>{{ x }}</p>", `<p title="{{ x }}">a</p>`, `<p title='{{ x }}'>a</p>`, "<title>{{ x }}</title>", "<textarea>{{ x }}</textarea>",
		`<a href="{{ x }}">a</a>`, `<a href='https://example.com/{{ x }}'>a</a>`, `<img src="{{ x }}" alt="{{ x }}">`,
		`<td background="{{ x }}">{{ x | upcase }}</td>`, `<a href="{{ links.x }}">b</a>`, `{% for c in x | split: "" %}<li>{{ c }}</li>{% endfor %}`,
	}
	for _, place := range places {
		p, err := parseHTML(place)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range hostile {
			innocent := strings.Repeat("x", len([]rune(bad)))
			same(t, p, bad, innocent)
			out, _ := p.Append(nil, data{"x": bad}.lookup)
			checkLinks(t, string(out))
		}
	}
}

// same reports a value that changes the shape of what p renders.
func same(t *testing.T, p *language.Program, bad, innocent string) {
	t.Helper()
	got, err := p.Append(nil, data{"x": bad, "links.x": bad}.lookup)
	if err != nil {
		return
	}
	want, err := p.Append(nil, data{"x": innocent, "links.x": innocent}.lookup)
	if err != nil {
		return
	}
	if shape(string(got)) != shape(string(want)) {
		t.Errorf("the value %q gives\n%s\nand %q gives\n%s", bad, got, innocent, want)
	}
}

// checkLinks reports a link that runs a script, as a browser would read it.
func checkLinks(t *testing.T, text string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key != "href" && a.Key != "src" && a.Key != "background" {
				continue
			}
			link := strings.Map(func(r rune) rune {
				if r <= ' ' {
					return -1
				}
				return r
			}, strings.ToLower(a.Val))
			ok := link == "#" || link == "" || slices.ContainsFunc([]string{"https:", "http:", "mailto:", "tel:"},
				func(scheme string) bool { return strings.HasPrefix(link, scheme) })
			if !ok {
				t.Errorf("the link %q is written in %s", a.Val, text)
			}
		}
	}
}
