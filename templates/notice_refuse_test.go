package templates_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates"
)

// refusals are the faults of an Invalid error, each in one line; none of no error.
func refusals(tb testing.TB, err error) []string {
	tb.Helper()
	if err != nil && !errors.Is(err, posthaste.Invalid) {
		tb.Fatalf("got %v, want an Invalid error", err)
	}
	var lines []string
	for _, f := range posthaste.FieldsOf(err) {
		lines = append(lines, f.Name+" "+f.Reason)
	}
	return lines
}

// openEnded lets a wanted line that ends with a space be only the beginning.
func openEnded() cmp.Option {
	return cmp.Comparer(func(a, b string) bool {
		return a == b || strings.HasSuffix(a, " ") && strings.HasPrefix(b, a) || strings.HasSuffix(b, " ") && strings.HasPrefix(a, b)
	})
}

func TestNoticeRefusesUnknownNames(t *testing.T) {
	t.Parallel()
	const md, htm = posthaste.Markdown, posthaste.HTML
	tests := []struct {
		name   string
		format posthaste.Format
		body   string
		want   []string // none: it is taken
	}{
		{"names that are known", md, "{{ recipient.name }} {{ recipient.email }} {{ recipient.locale }} {{ sender.name }} {{ sender.postal_address }} {{ data.code }} {{ data.order.id }}", nil},
		{"fields of items", htm, "{% for item in data.order.items %}{{ item.price }}{% if item.note %}{{ item.note }}{% endif %}{% endfor %}", nil},
		{"loops in loops", md, "{% for p in data.parcels %}{% for c in p.contents %}{{ c }}{% endfor %}{% endfor %}", nil},
		{"misspelt", md, "a\n\n  b {{ data.ordre.id }}", []string{"body line 3, column 8: unknown name data.ordre.id; did you mean data.order.id?"}},
		{"not in the data", htm, "<p>\n{{ data.total }}</p>", []string{"body line 2, column 4: unknown name data.total; known are "}},
		{"without data", md, "{{ code }}", []string{"body line 1, column 4: unknown name code; known are recipient.name, recipient.email, recipient.locale, sender.name, sender.postal_address, data.at, "}},
		{"the data themselves", md, "{{ data }}", []string{"body line 1, column 4: unknown name data; known are "}},
		{"field of an item", md, "{% for item in data.order.items %}\n- {{ item.prise }}\n{% endfor %}", []string{"body line 2, column 6: unknown name item.prise: the items of that list have no prise"}},
		{"field of an item in HTML", htm, "<ul>{% for item in data.order.items %}<li>{{ item.prise }}</li>{% endfor %}</ul>", []string{"body line 1, column 46: unknown name item.prise: the items of that list have no prise"}},
		{"field of an item in an attribute", htm, `{% for item in data.order.items %}<a href="https://a.test/{{ item.id }}">x</a>{% endfor %}`, []string{"body line 1, column 62: unknown name item.id: the items of that list have no id"}},
		{"field of the inner loop's item", md, "{% for p in data.parcels %}{% for c in p.contents %}{{ c.name }}{% endfor %}{% endfor %}", []string{"body line 1, column 56: unknown name c.name: the items of that list have no name"}},
		{"list of an item", md, "{% for p in data.parcels %}{% for c in p.content %}{{ c }}{% endfor %}{% endfor %}", []string{"body line 1, column 40: unknown name p.content: the items of that list have no content"}},
		{"list that is not there", md, "{% for item in data.items %}{{ item }}{% endfor %}", []string{"body line 1, column 16: unknown name data.items; known are "}},
		{"items of a list that is not there", md, "{% for item in data.items %}{{ item.price }}{% endfor %}",
			[]string{"body line 1, column 16: unknown name data.items; known are ", "body line 1, column 32: unknown name item.price: the items of that list have no price"}},
		{"the items as if they were one", md, "{{ data.order.items.price }}", []string{"body line 1, column 4: unknown name data.order.items.price; known are "}},
		{"field of a text", md, "{{ recipient.name.first }}", []string{"body line 1, column 4: unknown name recipient.name.first; known are "}},
		{"attribute", md, "{{ recipient.attributes.city }}", []string{"body line 1, column 4: unknown name recipient.attributes.city; known are recipient.name, "}},
		{"time zone", md, "{{ recipient.time_zone }}", []string{"body line 1, column 4: unknown name recipient.time_zone; known are "}},
		{"topic", md, "{{ topic.name }}", []string{"body line 1, column 4: unknown name topic.name; known are "}},
		{"campaign", md, "{{ campaign.name }}", []string{"body line 1, column 4: unknown name campaign.name; known are "}},
		{"link to unsubscribe", md, "[x]({{ links.unsubscribe }})", []string{"body line 1, column 8: unknown name links.unsubscribe; known are "}},
		{"link to choices", htm, `<a href="{{ links.preferences }}">x</a>`, []string{"body line 1, column 13: unknown name links.preferences; known are "}},
		{"name of the layout", md, "{{ notice.reason }}", []string{"body line 1, column 4: unknown name notice.reason; known are "}},
		{"several", md, "{{ a }}\n{{ data.code }}\n{{ b.c }}", []string{"body line 1, column 4: unknown name a; ", "body line 3, column 4: unknown name b.c; "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := templates.CompileNotice(templates.NoticeSource{Subject: "s", Body: tt.body, Format: tt.format}, schema(t))
			got := refusals(t, err)
			if d := cmp.Diff(tt.want, got, openEnded()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNoticeRefusesFields(t *testing.T) {
	t.Parallel()
	type source = templates.NoticeSource
	good := source{Subject: "s", Body: "b", Format: posthaste.Markdown}
	tests := []struct {
		name   string
		change func(*source)
		want   []string
	}{
		{"name in the subject", func(s *source) { s.Subject = "a {{ data.cod }}" }, []string{"subject line 1, column 6: unknown name data.cod; did you mean data.code?"}},
		{"item in the subject", func(s *source) { s.Subject = "{% for i in data.order.items %}{{ i.x }}{% endfor %}" }, []string{"subject line 1, column 35: unknown name i.x: the items of that list have no x"}},
		{"name in the text", func(s *source) { s.Text = "a\n b {{ topic.name }}" }, []string{"text line 2, column 7: unknown name topic.name; known are "}},
		{"open tag in the text", func(s *source) { s.Text = "a\n{% if data.code %}" }, []string{"text line 2, column 1: {% if %} is never closed with {% endif %}"}},
		{"no subject", func(s *source) { s.Subject = " " }, []string{"subject is empty"}},
		{"answer", func(s *source) { s.Subject = "re: your order" }, []string{`subject line 1, column 1: this mail is no answer: it cannot begin with "re:"`}},
		{"two lines", func(s *source) { s.Subject = "a\nb" }, []string{"subject line 1, column 2: this must be one line"}},
		{"format", func(s *source) { s.Format = posthaste.AsGiven }, []string{`format is "as_given"; it must be markdown or html`}},
		{"long text", func(s *source) { s.Text = strings.Repeat("a", 256<<10+1) }, []string{"text is 262145 bytes long; at most 262144 are possible"}},
		{"long body", func(s *source) { s.Body = strings.Repeat("a", 256<<10+1) }, []string{"body is 262145 bytes long; at most 262144 are possible"}},
		{"script", func(s *source) { s.Body = "a\n\n<script>x</script>" }, []string{"body line 3, column 1: the element <script> cannot be used: mail clients run no scripts"}},
		{"all at once", func(s *source) {
			*s = source{Subject: "{{ a.b.c }}", Body: "{{ d.e.f }}", Text: "{{ g.h.i }}", Format: posthaste.HTML}
		}, []string{
			"text line 1, column 4: unknown name g.h.i; ", "subject line 1, column 4: unknown name a.b.c; ", "body line 1, column 4: unknown name d.e.f; "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := good
			tt.change(&src)
			_, err := templates.CompileNotice(src, schema(t))
			got := refusals(t, err)
			if d := cmp.Diff(tt.want, got, openEnded()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNoticeRefusesTracking(t *testing.T) {
	t.Parallel()
	const md, htm = posthaste.Markdown, posthaste.HTML
	campaign := func(at, name string) string {
		return "body line " + at + ": the link bears the campaign parameter " + name + "; links of notices are not tracked"
	}
	beacon := func(at, size string) string {
		return "body line " + at + ": a picture of " + size + " pixels is a beacon; notices are not tracked"
	}
	const differs = ": the picture's address differs from recipient to recipient, as a beacon's; notices are not tracked"
	tests := []struct {
		name   string
		format posthaste.Format
		body   string
		want   string // empty: it is taken
	}{
		{"Markdown link", md, "a\nb [c](https://a.test/?x=1&utm_source=mail)", campaign("2, column 3", "utm_source")},
		{"autolink", md, "<https://a.test/?UTM_Medium=email>", campaign("1, column 1", "UTM_Medium")},
		{"bare link", md, "see\nhttps://a.test/?utm_id=1 there", campaign("2, column 1", "utm_id")},
		{"HTML in Markdown", md, "a\n\n<a href=\"https://a.test/?gclid=1\">x</a>", campaign("3, column 1", "gclid")},
		{"escaped", htm, `<p><a href="https://a.test/?x=1&amp;utm_source=mail">x</a>`, campaign("1, column 4", "utm_source")},
		{"escaped in Markdown", md, "[c](https://a.test/?x=1&amp;utm_source=mail)", campaign("1, column 1", "utm_source")},
		{"escaped by number", htm, `<a href="https://a.test/?x=1&#38;utm_term=mail">x</a>`, campaign("1, column 1", "utm_term")},
		{"fragment", htm, `<a href="https://a.test/#utm_source=mail">x</a>`, campaign("1, column 1", "utm_source")},
		{"area", htm, `<map><area href="https://a.test/?fbclid=1"></map>`, campaign("1, column 6", "fbclid")},
		{"behind a value", htm, `<a href="{{ data.order.url }}?utm_source=mail">x</a>`, campaign("1, column 1", "utm_source")},
		{"behind a value in Markdown", md, "[x]({{ data.order.url }}&utm_source=mail)", campaign("1, column 1", "utm_source")},
		{"behind a site that is a value", htm, `<a href="https://{{ data.user }}/%zz?mc_eid=1">x</a>`, campaign("1, column 1", "mc_eid")},
		{"Mailchimp", md, "[c](https://a.test/?mc_cid=1)", campaign("1, column 1", "mc_cid")},
		{"Microsoft", md, "[c](https://a.test/?msclkid=1)", campaign("1, column 1", "msclkid")},
		{"Marketo", md, "[c](https://a.test/?mkt_tok=1)", campaign("1, column 1", "mkt_tok")},
		{"innocent parameters", md, "[c](https://a.test/utm_source/?order=7&outm_source=1&token={{ data.code }}&gclids=2#top)", ""},
		{"words like one", md, "Your utm_source is set, tom&utm too.", ""},

		{"width of 1", htm, `a <img src="https://a.test/x.png" width=1 height="20">`, beacon("1, column 3", "width 1")},
		{"height of 0", htm, `<img height="0" src="https://a.test/x.png">`, beacon("1, column 1", "height 0")},
		{"pixels in words", htm, `<img width=" 1PX" src="https://a.test/x.png">`, beacon("1, column 1", "width 1")},
		{"in Markdown", md, "a\n\nb <img src=\"https://a.test/x.png\" width=\"1\">", beacon("3, column 3", "width 1")},
		{"by its style", htm, `<img src="https://a.test/x.png" style="border:0; width: 1px">`, beacon("1, column 1", "width: 1px")},
		{"by its style with more", htm, `<img src="https://a.test/x.png" style="max-height:0;border:0">`, beacon("1, column 1", "height:0")},
		{"of the sender's own", htm, `<img src="cid:dot@a" width="1">`, beacon("1, column 1", "width 1")},
		{"pictures of other sizes", htm, `<img src="https://a.test/x.png" width="10" height="100"><img src="https://a.test/y.png" width="100%" style="width:100px;line-height:1;border-width:11px">`, ""},
		{"address with a tag", htm, `<img src="https://a.test/{{ data.user }}.png">`, "body line 1, column 1" + differs},
		{"address that is a value", htm, `<img src="{{ data.user }}">`, "body line 1, column 1" + differs},
		{"address with a tag in Markdown", md, "a\n\n![x](https://a.test/{{ recipient.email }})", "body line 3, column 1" + differs},
		{"HTML in Markdown with a tag", md, `a <img src="https://a.test/?{{ data.user }}">`, "body line 1, column 3" + differs},
		{"background with a tag", htm, `<table><tr><td background="https://a.test/{{ data.user }}">x</td></tr></table>`, "body line 1, column 12" + differs},
		{"address by a condition", htm, `<img src="{% if data.known %}https://a.test/1{% else %}https://a.test/2{% endif %}">`, "body line 1, column 1" + differs},
		{"attached picture", htm, `<img src="cid:logo@a" alt="{{ data.code }}">`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := templates.CompileNotice(templates.NoticeSource{Subject: "s", Body: tt.body, Format: tt.format}, schema(t))
			got := refusals(t, err)
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || got[0] != tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	_, err := templates.CompileNotice(templates.NoticeSource{Subject: "s", Body: "b", Format: md, Text: "a\nhttps://a.test/?id={{ data.user }}&utm_source=x"}, schema(t))
	want := []string{"text line 2, column 36: the link bears the campaign parameter utm_source; links of notices are not tracked"}
	if d := cmp.Diff(want, refusals(t, err)); d != "" {
		t.Errorf("a link in the text part: %s", d)
	}
	if _, err := templates.Compile(source(md, "[c](https://a.test/?utm_source=mail) <img src=\"https://a.test/x.png\" width=\"1\">"), attributes); err != nil {
		t.Errorf("a mailing, which may, is refused: %v", err)
	}
}

func TestNoticeRefusesOffers(t *testing.T) {
	t.Parallel()
	offers := []string{
		"20% off", "5 % Off", "special offer", "Special  Offers", "exclusive deal", "limited-time offer", "LIMITED TIME ONLY", "Buy now", "shop\nnow", "Don't miss out", "don’t miss this", "sale ends",
		"Black Friday", "cyber monday", "promo code", "voucher codes", "while stocks last", "upgrade now", "save up to 30 %", "Save up to €5",
		"10 % Rabatt", "Jetzt kaufen", "jetzt bestellen", "Nur für kurze Zeit erhältlich", "nur fur kurze Zeit reduziert", "Sonderangebot", "Gutscheincode", "Rabattcodes", "solange der Vorrat reicht",
		"15% de réduction", "Achetez maintenant", "offre spéciale", "Offres exclusives", "code promo", "profitez-en",
		"25 % de descuento", "Compra ahora", "ofertas especiales", "Oferta exclusiva", "código promocional", "Oferta por tiempo limitado",
	}
	for _, offer := range offers {
		for _, field := range []string{"subject", "body", "text"} {
			src := templates.NoticeSource{Subject: "Your receipt", Body: "Thank you.", Format: posthaste.Markdown, Text: "Thank you."}
			text, place := "For é: "+offer+"!", "line 1, column 8"
			switch field {
			case "subject":
				if strings.Contains(offer, "\n") {
					continue
				}
				src.Subject = text
			case "body":
				src.Body, place = "One.\n\n"+text, "line 3, column 8"
			case "text":
				src.Text, place = "One.\n"+text, "line 2, column 8"
			}
			_, err := templates.CompileNotice(src, schema(t))
			got := refusals(t, err)
			if len(got) != 1 || !strings.HasPrefix(got[0], field+" "+place[:len("line 1")]) || !strings.Contains(got[0], "sounds like an offer; a notice carries no promotion") {
				t.Errorf("%q in the %s: %q", offer, field, got)
				continue
			}
			// A per cent is shown from its last digit on.
			if offer[0] > '9' && got[0] != fmt.Sprintf("%s %s: %q sounds like an offer; a notice carries no promotion: send it as a campaign, to those who chose it", field, place, offer) &&
				!strings.Contains(offer, "\n") {
				t.Errorf("%q in the %s: %q", offer, field, got)
			}
		}
	}
	for text, place := range map[string]string{"Order now": "1, column 1", "# Hello\n\norder now": "3, column 1", "Please order  now": "1, column 8", "[Order now](https://a.test)": "1, column 2", "Thanks. Order now!": "1, column 9"} {
		_, err := templates.CompileNotice(templates.NoticeSource{Subject: "s", Body: text, Format: posthaste.Markdown}, schema(t))
		if got := refusals(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "body line "+place+": ") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestNoticeTakesWordsOfReceipts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"A discount of 5 EUR is taken off.", "Discount: -10 %", "VAT 20% of 50 EUR", "You saved 5 EUR.", "Your order 7 is on its way.", "Order nowhere else.", "You can follow your order now.",
		"Sale of your house: contract", "Your savings account", "The offer that you accepted on 3 May", "Invoice for the special edition", "Your workshop now begins at 9.", "To reorder now, sign in.",
		"This link is valid for a limited time.", "For a limited time you can undo this.", "Don't miss your appointment tomorrow.", "Save up to 10 recovery codes.", "Your upgrade is done.", "Code: 847261", "Promotion to team lead",
		"Ihr Rabatt von 5 EUR", "Der Link ist nur für kurze Zeit gültig.", "Ihre Bestellung ist jetzt unterwegs.", "Gutschein Nr. 7 ist eingelöst.", "Ihr Kauf: 20 % MwSt.",
		"Votre réduction de 5 EUR", "Votre offre d'emploi", "Votre achat", "Su descuento de 5 EUR", "El enlace es válido por tiempo limitado.", "Su compra está en camino.",
		"{{ data.promo_code }} and {{ data.discount }}",
	} {
		if _, err := templates.CompileNotice(templates.NoticeSource{Subject: text, Body: text, Format: posthaste.Markdown, Text: text}, schema(t)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
