package templates_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates"
)

var update = flag.Bool("update", false, "write the golden files")

var attributes = []string{"city", "member", "points", "genres", "site"}

// source is a mailing around body.
func source(format posthaste.Format, body string) templates.Source {
	return templates.Source{
		Subject: "Autumn for {{ recipient.name }}", Preheader: "Tea & cake, {{ recipient.name }}",
		Body: body, Format: format, Layout: "plain",
	}
}

func values() *templates.Values {
	return &templates.Values{
		Recipient: posthaste.Recipient{Email: "ann@example.com", Name: "Ann O'Neill", Locale: "en", TimeZone: "Europe/Zurich",
			Attributes: map[string]string{"city": "Bern", "member": "gold", "points": "12", "genres": "crime, travel"}},
		Topic: "New books", Campaign: "Autumn", SenderName: "Example Books Ltd", PostalAddress: "1 High Street, Example Town",
		Unsubscribe: "https://mail.example.com/u/1?a=b&c=d", Preferences: "https://mail.example.com/p/1",
	}
}

func compile(t testing.TB, src templates.Source) *templates.Mail {
	t.Helper()
	m, err := templates.Compile(src, attributes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func render(t testing.TB, m *templates.Mail, v *templates.Values) *templates.Rendered {
	t.Helper()
	var r templates.Rendered
	if err := m.Render(&r, v); err != nil {
		t.Fatal(err)
	}
	return &r
}

// has checks that text holds all parts, in this order.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	at := 0
	for _, part := range parts {
		i := strings.Index(text[at:], part)
		if i < 0 {
			t.Fatalf("%q is missing, or out of order, in\n%s", part, text)
		}
		at += i + len(part)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	formats := map[string]posthaste.Format{"autumn.md": posthaste.Markdown, "autumn.html": posthaste.HTML}
	for file, format := range formats {
		for _, layout := range templates.Layouts() {
			t.Run(file+" "+layout, func(t *testing.T) {
				t.Parallel()
				src := source(format, read(t, file))
				src.Layout = layout
				m := compile(t, src)
				v := values()
				v.Pixel = "https://mail.example.com/o/1"
				v.Link = func(n int) string { return "https://mail.example.com/c/" + strconv.Itoa(n) }
				r := render(t, m, v)
				name := strings.TrimSuffix(strings.Replace(file, ".", "_", 1), ".") + "_" + layout
				golden(t, name+".golden.html", string(r.HTML))
				golden(t, name+".golden.txt", string(r.Text))
				if r.Subject != "Autumn for Ann O'Neill" {
					t.Errorf("the subject is %q", r.Subject)
				}
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, name), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	got := templates.Layouts()
	for _, want := range []string{"letter", "magazine", "plain"} {
		if !slices.Contains(got, want) {
			t.Errorf("the layout %s is missing in %v", want, got)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	m := compile(t, source(posthaste.HTML, `<a href="https://b.test/?x=1&amp;y=2">1</a> <a href="http://a.test">2</a>
<a href=" https://b.test/?x=1&y=2 ">3</a> <a href="mailto:a@example.com">4</a> <a href="{{ links.unsubscribe }}">5</a>
<a href="https://c.test/{{ recipient.name }}">6</a> <a href="#top">7</a> <a href="{% if recipient.name %}https://d.test{% else %}https://e.test{% endif %}">8</a>`))
	want := []string{"https://b.test/?x=1&y=2", "http://a.test"}
	if diff := cmp.Diff(want, m.Links()); diff != "" {
		t.Fatal(diff)
	}
	direct := string(render(t, m, values()).HTML)
	has(t, direct, `<a href="https://b.test/?x=1&amp;y=2"`, `>1<`, `<a href="http://a.test"`, `<a href="https://b.test/?x=1&amp;y=2"`, `>3<`,
		`href="mailto:a@example.com"`, `href="https://mail.example.com/u/1?a=b&amp;c=d"`, `href="https://c.test/Ann%20O%27Neill"`, `href="#top"`, `href="https://d.test"`)
	v := values()
	v.Link = func(n int) string { return "https://t.test/" + strconv.Itoa(n) + "?a&b" }
	r := render(t, m, v)
	has(t, string(r.HTML), `href="https://t.test/0?a&amp;b"`, `>1<`, `href="https://t.test/1?a&amp;b"`, `>2<`, `href="https://t.test/0?a&amp;b"`, `>3<`)
	if strings.Contains(string(r.Text), "t.test") {
		t.Errorf("the text part has tracked links:\n%s", r.Text)
	}
	has(t, string(r.Text), "1 (https://b.test/?x=1&y=2)", "4 (mailto:a@example.com)", "5 (https://mail.example.com/u/1?a=b&c=d)")
}

func TestPixel(t *testing.T) {
	t.Parallel()
	m := compile(t, source(posthaste.Markdown, "Hello"))
	if text := string(render(t, m, values()).HTML); strings.Contains(text, "<img") {
		t.Errorf("there is a picture without a Pixel:\n%s", text)
	}
	v := values()
	v.Pixel = "https://mail.example.com/o/a&b"
	text := string(render(t, m, v).HTML)
	has(t, text, `<img src="https://mail.example.com/o/a&amp;b" width="1" height="1" alt=""`)
	if !strings.HasSuffix(strings.TrimSpace(text), "/></body></html>") {
		t.Errorf("the pixel is not last in the body: %s", text[len(text)-80:])
	}
}

func TestEveryMailingNamesItsSender(t *testing.T) {
	t.Parallel()
	for _, layout := range templates.Layouts() {
		src := source(posthaste.Markdown, "Hello")
		src.Layout = layout
		m := compile(t, src)
		r := render(t, m, values())
		for _, part := range []string{string(r.HTML), string(r.Text)} {
			has(t, part, "Example Books Ltd")
			has(t, part, "1 High Street, Example Town")
			has(t, part, "https://mail.example.com/u/1?a=b")
		}
		for field, change := range map[string]func(*templates.Values){
			"links.unsubscribe":     func(v *templates.Values) { v.Unsubscribe = "" },
			"sender.postal_address": func(v *templates.Values) { v.PostalAddress = " " },
		} {
			v := values()
			change(v)
			err := m.Render(&templates.Rendered{}, v)
			if fields := posthaste.FieldsOf(err); len(fields) != 1 || fields[0].Name != field {
				t.Errorf("%s is empty: %v", field, err)
			}
		}
	}
}

func TestRenderedIsUsedAgain(t *testing.T) {
	t.Parallel()
	m := compile(t, source(posthaste.Markdown, "{{ recipient.name }}{% if recipient.attributes.city %}!{% endif %}"))
	var r templates.Rendered
	v := values()
	for _, name := range []string{"A much longer name", "Bo"} {
		v.Recipient.Name = name
		v.Recipient.Attributes = nil
		if err := m.Render(&r, v); err != nil {
			t.Fatal(err)
		}
		if r.Subject != "Autumn for "+name || !strings.HasPrefix(string(r.Text), name+"\n") || strings.Count(string(r.HTML), "</html>") != 1 {
			t.Errorf("got %q, %q", r.Subject, r.Text)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	body := "Hello {{ recipient.name | default: \"friend\" }}\n\n"
	for n := range 5 {
		body += strings.Repeat("Some words of a newsletter that goes on for a while. ", 20) + "[Read on](https://example.com/" + strconv.Itoa(n) + ")\n\n"
	}
	m := compile(b, source(posthaste.Markdown, body))
	v := values()
	v.Pixel = "https://mail.example.com/o/1"
	link := "https://mail.example.com/c/0123456789"
	v.Link = func(int) string { return link }
	var r templates.Rendered
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Render(&r, v); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(r.HTML) + len(r.Text)))
}

func BenchmarkCompile(b *testing.B) {
	src := source(posthaste.Markdown, read(b, "autumn.md"))
	for b.Loop() {
		compile(b, src)
	}
}
