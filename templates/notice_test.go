package templates_test

import (
	"errors"
	"strings"
	"testing"

	"posthaste"
	"posthaste/templates"
	"posthaste/templates/dataschema"
)

// receiptSchema is of the data of a receipt and of an alert.
const receiptSchema = `{"type": "object", "properties": {
	"order": {"type": "object", "properties": {"id": {"type": "string"}, "placed": {"type": "string"}, "url": {"type": "string"}, "total": {"type": "number"},
		"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}}},
	"discount": {"type": "number"}, "parcels": {"type": "array", "items": {"type": "object", "properties": {"contents": {"type": "array", "items": {"type": "string"}}}}},
	"place": {"type": "string"}, "at": {"type": "string"}, "known": {"type": "boolean"}, "user": {"type": "string"}, "code": {"type": "string"}, "promo_code": {"type": "string"}},
	"$defs": {"item": {"type": "object", "properties": {"name": {"type": "string"}, "note": {"type": "string"}, "quantity": {"type": "integer"}, "price": {"type": "number"}}}}}`

const receiptData = `{"order": {"id": "A-7", "placed": "2026-11-24", "url": "https://shop.example/orders/7?a=1&b=2", "total": 1234567.50,
	"items": [{"name": "Tea & cake", "quantity": 2, "price": 12.50}, {"name": "Cup", "note": "blue", "price": 1234542.50}]}, "discount": 5,
	"parcels": [{"contents": ["tea", "cake"]}, {"contents": ["cup"]}]}`

func schema(tb testing.TB) *dataschema.Schema {
	tb.Helper()
	s, err := dataschema.Compile([]byte(receiptSchema))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func compileNotice(tb testing.TB, src templates.NoticeSource) *templates.Notice {
	tb.Helper()
	n, err := templates.CompileNotice(src, schema(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// noticeValues are those of a necessary notice.
func noticeValues(tb testing.TB, data string) *templates.NoticeValues {
	tb.Helper()
	values, err := dataschema.Values([]byte(data))
	if err != nil {
		tb.Fatal(err)
	}
	return &templates.NoticeValues{Recipient: posthaste.Recipient{Email: "ann@example.com", Name: "Ann O'Neill", Locale: "en"}, Data: values,
		Name: "Receipts", Reason: "you bought something from us", SenderName: "Example Books Ltd", PostalAddress: "1 High Street, Example Town"}
}

func renderNotice(tb testing.TB, n *templates.Notice, v *templates.NoticeValues) *templates.Rendered {
	tb.Helper()
	var r templates.Rendered
	if err := n.Render(&r, v); err != nil {
		tb.Fatal(err)
	}
	return &r
}

func TestNoticeGolden(t *testing.T) {
	t.Parallel()
	receipt := compileNotice(t, templates.NoticeSource{Subject: "Receipt {{ data.order.id }}", Body: read(t, "receipt.md"), Format: posthaste.Markdown})
	r := renderNotice(t, receipt, noticeValues(t, receiptData))
	golden(t, "notice_necessary.golden.html", string(r.HTML))
	golden(t, "notice_necessary.golden.txt", string(r.Text))
	if r.Subject != "Receipt A-7" {
		t.Errorf("the subject is %q", r.Subject)
	}

	alert := compileNotice(t, templates.NoticeSource{Subject: "New sign-in", Body: read(t, "alert.html"), Format: posthaste.HTML})
	v := noticeValues(t, `{"place": "Bern <CH>", "at": "2026-11-24T09:05:00Z", "user": "ann/1", "code": "847 261"}`)
	v.Name, v.Reason = "Sign-ins & devices", "you have an account with us"
	v.Unsubscribe, v.Preferences = "https://mail.example.com/u/TOKEN?a=b&c=d", "https://mail.example.com/p/TOKEN"
	r = renderNotice(t, alert, v)
	golden(t, "notice_optional.golden.html", string(r.HTML))
	golden(t, "notice_optional.golden.txt", string(r.Text))
}

// TestNoticeIsRenderedAgain: nothing of one copy is in the next.
func TestNoticeIsRenderedAgain(t *testing.T) {
	t.Parallel()
	n := compileNotice(t, templates.NoticeSource{Subject: "{{ data.code }}", Body: "{{ data.code }}{% for item in data.order.items %} {{ item.name }}{% endfor %}", Format: posthaste.Markdown})
	var r templates.Rendered
	for _, data := range []string{`{"code": "a much longer one", "order": {"items": [{"name": "Teapot"}]}}`, `{"code": "b"}`} {
		v := noticeValues(t, data)
		if err := n.Render(&r, v); err != nil {
			t.Fatal(err)
		}
		if r.Subject != v.Data["code"] || !strings.HasPrefix(string(r.Text), r.Subject) || strings.Count(string(r.HTML), "</html>") != 1 {
			t.Errorf("got %q, %q", r.Subject, r.Text)
		}
	}
	if strings.Contains(string(r.Text), "Teapot") || strings.Contains(string(r.HTML), "longer") {
		t.Errorf("the first copy is in the second:\n%s\n%s", r.Text, r.HTML)
	}
}

func TestNoticeTextOfItsAuthor(t *testing.T) {
	t.Parallel()
	src := templates.NoticeSource{Subject: "s", Body: "# Words of the body", Format: posthaste.Markdown,
		Text: "Code: {{ data.code }}\n\n\n{% for item in data.order.items %}\n* {{ item.name }} & {{ item.price }}\n{% endfor %}"}
	r := renderNotice(t, compileNotice(t, src), noticeValues(t, receiptData))
	has(t, string(r.Text), "Code:", "* Tea & cake & 12.50", "* Cup & 1234542.50", "--------\nExample Books Ltd\n1 High Street, Example Town\n\nYou receive this because you bought something from us.")
	if strings.Contains(string(r.Text), "Words of the body") {
		t.Errorf("the text part has the body too:\n%s", r.Text)
	}
	has(t, string(r.HTML), ">Words of the body<")
	if strings.Contains(string(r.HTML), "Code:") {
		t.Errorf("the HTML has the text part too:\n%s", r.HTML)
	}
	src.Text = " \n"
	r = renderNotice(t, compileNotice(t, src), noticeValues(t, receiptData))
	has(t, string(r.Text), "Words of the body\n=======")
}

// TestNoticeFooter has the links to switch the type off and to choose only when there are some.
func TestNoticeFooter(t *testing.T) {
	t.Parallel()
	const unsubscribe, preferences = "https://mail.example.com/u/T", "https://mail.example.com/p/T"
	for _, source := range []templates.NoticeSource{{Subject: "s", Body: "b", Format: posthaste.Markdown}, {Subject: "s", Body: "<p>b</p>", Format: posthaste.HTML, Text: "written"}} {
		n := compileNotice(t, source)
		for _, tt := range []struct {
			name                     string
			unsubscribe, preferences string
		}{{"mandatory", "", ""}, {"necessary", "", preferences}, {"optional", unsubscribe, preferences}} {
			v := noticeValues(t, `{}`)
			v.Unsubscribe, v.Preferences = tt.unsubscribe, tt.preferences
			r := renderNotice(t, n, v)
			for _, part := range []struct{ name, text, off, choices string }{
				{"text", string(r.Text), "Switch these notices off: " + unsubscribe, "Your choices: " + preferences},
				{"HTML", string(r.HTML), `<a href="` + unsubscribe + `"`, `<a href="` + preferences + `"`},
			} {
				if got := strings.Contains(part.text, part.off); got != (tt.unsubscribe != "") || !got && strings.Contains(strings.ToLower(part.text), "switch") {
					t.Errorf("%s: to switch it off in the %s: %v\n%s", tt.name, part.name, got, part.text)
				}
				if got := strings.Contains(part.text, part.choices); got != (tt.preferences != "") || !got && strings.Contains(part.text, "choices") {
					t.Errorf("%s: choices in the %s: %v\n%s", tt.name, part.name, got, part.text)
				}
				has(t, part.text, "You receive this because you bought something from us.")
				for _, bad := range []string{"<img", "links.click", "Unsubscribe"} {
					if strings.Contains(part.text, bad) {
						t.Errorf("%s: %s in the %s", tt.name, bad, part.name)
					}
				}
			}
		}
	}
	v := noticeValues(t, `{}`)
	v.PostalAddress = "" // which a notice need not have
	r := renderNotice(t, compileNotice(t, templates.NoticeSource{Subject: "s", Body: "b", Format: posthaste.Markdown}), v)
	has(t, string(r.Text), "--------\nExample Books Ltd\n\nYou receive")
	has(t, string(r.HTML), "<p", ">Example Books Ltd</p>")
}

func TestNoticeRenderRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, subject, data, field, want string }{
		{"empty subject", "{{ data.code }}", `{}`, "subject", "is empty with these data"},
		{"blank subject", " {{ data.code }} ", `{"code": " \t"}`, "subject", "is empty with these data"},
		{"line break", "Code {{ data.code }}", `{"code": "x\r\nBcc: y@example.com"}`, "subject", "data.code holds a line break or NUL"},
		{"line feed", "Code {{ data.code }}", `{"code": "x\ny"}`, "subject", "data.code holds a line break or NUL"},
		{"NUL", "Code {{ data.code }}", `{"code": "x\u0000y"}`, "subject", "data.code holds a line break or NUL"},
		{"line break in an item", "{% for i in data.order.items %}{{ i.name }}{% endfor %}", `{"order": {"items": [{"name": "a"}, {"name": "b\n"}]}}`, "subject", "i.name holds a line break or NUL"},
		{"name of the recipient", "{{ recipient.name }}", `{}`, "subject", "recipient.name holds a line break or NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := compileNotice(t, templates.NoticeSource{Subject: tt.subject, Body: "b", Format: posthaste.Markdown})
			v := noticeValues(t, tt.data)
			v.Recipient.Name = "Ann\nBcc: x"
			err := n.Render(&templates.Rendered{}, v)
			fields := posthaste.FieldsOf(err)
			if !errors.Is(err, posthaste.Invalid) || len(fields) != 1 || fields[0].Name != tt.field || !strings.HasPrefix(fields[0].Reason, tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// everywhereInNotice has a value of the data at every place where one may stand.
const everywhereInNotice = `<h1 title="{{ data.code }}">{{ data.code }}</h1>
<p title='{{ data.user }}'><a href="{{ data.user }}">{{ data.user }}</a> <a href="https://example.com/{{ data.user }}?q={{ data.code | url_encode }}">x</a></p>
<table><tr><th>x</th></tr>{% for item in data.order.items %}<tr><td title="{{ item.name }}">{{ item.name | upcase }}</td></tr>{% endfor %}</table>
<img src="https://example.com/logo.png" alt="{{ data.code }}"><textarea>{{ data.code }}</textarea>`

func TestHostileDataStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	n := compileNotice(t, templates.NoticeSource{Subject: "Code {{ data.place }}", Body: everywhereInNotice, Format: posthaste.HTML})
	filled := func(value string) *templates.NoticeValues {
		v := noticeValues(t, `{}`)
		v.Data = map[string]any{"code": value, "user": value, "order": map[string]any{"items": []any{map[string]any{"name": value}}}}
		v.Name, v.Reason, v.SenderName, v.PostalAddress, v.Recipient.Email, v.Recipient.Name = value, value, value, value, value, value
		v.Unsubscribe = "https://mail.example.com/u/T"
		return v
	}
	want, _ := shape(t, renderNotice(t, n, filled("x")).HTML)
	for _, bad := range hostileValues {
		r := renderNotice(t, n, filled(bad))
		got, links := shape(t, r.HTML)
		if got != want {
			t.Errorf("%q changes the document:\n%s", bad, r.HTML)
		}
		for _, link := range links {
			if link != "#" && !strings.HasPrefix(link, "https://") {
				t.Errorf("%q makes the link %q", bad, link)
			}
		}
		if strings.Contains(bad, "links.unsubscribe") && strings.Count(string(r.Text), bad) < 5 {
			t.Errorf("%q was read as a template:\n%s", bad, r.Text)
		}
		if strings.ContainsRune(string(r.HTML), 0) || strings.ContainsRune(string(r.Text), 0) {
			t.Errorf("%q is written with its NUL", bad)
		}
	}
	v := filled("x")
	v.Data["place"] = "{{ recipient.email }} <b> \u202e\u2028"
	if r := renderNotice(t, n, v); r.Subject != "Code {{ recipient.email }} <b> \u202e\u2028" {
		t.Errorf("the subject is %q", r.Subject)
	}
}
