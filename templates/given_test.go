package templates_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates"
)

// document is a notice as another system makes it.
const document = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">
<html xmlns="http://www.w3.org/1999/xhtml" lang="de">
<head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"><title>Rechnung 7</title>
<style>p { color: #123 } @media (max-width: 600px) { p { width: 1px } }</style>
<!--[if mso]><style>p { color: red }</style><![endif]--></head>
<body style="margin:0" bgcolor="#fff">
<table width="1" style="width:100%"><tr><td background="https://images.example/paper.png"><h1>Rechnung&nbsp;7</h1><p>Guten Tag, {{ name }} &amp; {% Co %}.<br>Zu zahlen: 12,50&nbsp;EUR</p></td></tr></table>
<p><a href="https://shop.example/bills/7?token=a&amp;b=c">Ansehen</a> <img src="cid:logo" width="120" alt="Firma"></p>
<script-like>x</script-like>
</body></html>
`

func TestGivenPassesUnchanged(t *testing.T) {
	t.Parallel()
	const text = "Rechnung 7\r\n\tZu zahlen: 12,50 EUR {{ data }}\n\n\n\nhttps://shop.example/?a=1"
	tests := []struct {
		name, subject, text, markup string
		want                        templates.Rendered
	}{
		{"both", "Rechnung 7", text, document, templates.Rendered{Subject: "Rechnung 7", Text: []byte(text), HTML: []byte(document)}},
		{"text only", "Rechnung {{ 7 }}", text, "", templates.Rendered{Subject: "Rechnung {{ 7 }}", Text: []byte(text)}},
		{"white space for HTML", "s", text, " \n", templates.Rendered{Subject: "s", Text: []byte(text)}},
		{"a piece of HTML", "s", "t", "<p>x", templates.Rendered{Subject: "s", Text: []byte("t"), HTML: []byte("<p>x")}},
		{"text made of HTML", "s", "", document, templates.Rendered{Subject: "s", HTML: []byte(document),
			Text: []byte("Rechnung 7\n==========\n\nGuten Tag, {{ name }} & {% Co %}.\nZu zahlen: 12,50 EUR\n\nAnsehen (https://shop.example/bills/7?token=a&b=c) Firma\n\nx\n")}},
		{"text made of HTML, white space for text", "s", " \n ", "<ul><li>a<li>b</ul>", templates.Rendered{Subject: "s", HTML: []byte("<ul><li>a<li>b</ul>"), Text: []byte("- a\n- b\n")}},
		{"a picture with words", "s", "", `<img src="cid:a" alt="Sold">`, templates.Rendered{Subject: "s", HTML: []byte(`<img src="cid:a" alt="Sold">`), Text: []byte("Sold\n")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := templates.Given(tt.subject, tt.text, tt.markup)
			if err != nil {
				t.Fatal(err)
			}
			got.Text = []byte(strings.ReplaceAll(string(got.Text), "\u00a0", " "))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestGivenRefuses(t *testing.T) {
	t.Parallel()
	const offer = " sounds like an offer; a notice carries no promotion: send it as a campaign, to those who chose it"
	const tracked = "; links of notices are not tracked"
	long := strings.Repeat("a", 256<<10+1)
	tests := []struct {
		name, subject, text, markup string
		want                        []string
	}{
		{"nothing", "s", "", "", []string{"text is empty, and there is no html"}},
		{"white space", "s", " ", "\n", []string{"text is empty, and there is no html"}},
		{"no words", "s", "", `<p><img src="cid:a"></p>`, []string{"html has no words, and there is no text"}},
		{"no subject", " ", "t", "", []string{"subject is empty"}},
		{"answer", "Re: 7", "t", "", []string{`subject line 1, column 1: this mail is no answer: it cannot begin with "Re:"`}},
		{"script", "s", "t", "<p>\n<script>x</script>", []string{"html line 2, column 1: the element <script> cannot be used: mail clients run no scripts"}},
		{"script in the head", "s", "t", "<html><head><script src=x></script></head>", []string{"html line 1, column 13: the element <script> cannot be used: mail clients run no scripts"}},
		{"script of the body", "s", "t", "<html>\n<body onload='x()'>", []string{"html line 2, column 1: the attribute onload of <body> cannot be used: mail clients run no scripts"}},
		{"script in a link", "s", "t", `<a href="java&#115;cript:x">`, []string{`html line 1, column 1: the link "javascript:x" must start with https://, http://, mailto: or tel:`}},
		{"event", "s", "t", `<b onclick="x">`, []string{"html line 1, column 1: the attribute onclick of <b> cannot be used: mail clients run no scripts"}},
		{"form", "s", "t", "<form action='https://a.test'><input></form>", []string{"html line 1, column 1: the element <form> cannot be used: mail clients show no forms"}},
		{"frame", "s", "t", "a <iframe src='https://a.test'></iframe>", []string{"html line 1, column 3: the element <iframe> cannot be used"}},
		{"style sheet elsewhere", "s", "t", `<link rel="stylesheet" href="https://a.test/x.css">`, []string{"html line 1, column 1: the element <link> cannot be used: style sheets cannot be fetched from a mail: use <style>"}},
		{"base", "s", "t", `<head><base href="https://a.test/"></head>`, []string{"html line 1, column 7: the element <base> cannot be used: it would change every link"}},
		{"relative link", "s", "t", `<a href="/bills/7">`, []string{`html line 1, column 1: the link "/bills/7" must start with https://, http://, mailto: or tel:`}},
		{"picture within", "s", "t", `<img src="data:image/png;base64,x">`, []string{`html line 1, column 1: the picture "data:image/png;base64,x" must start with https:// or http://`}},
		{"campaign in HTML", "s", "t", "<p>x</p>\n" + `é <a href="https://a.test/?a=b&amp;utm_source=shop">x</a>`, []string{"html line 2, column 3: the link bears the campaign parameter utm_source" + tracked}},
		{"campaign in text", "s", "x\nhttps://a.test/?gclid=1&utm_id=2", "", []string{
			"text line 2, column 17: the link bears the campaign parameter gclid" + tracked, "text line 2, column 25: the link bears the campaign parameter utm_id" + tracked}},
		{"beacon", "s", "t", `<p>x</p><img src="https://a.test/o/7" width="1" height="1">`, []string{"html line 1, column 9: a picture of width 1 pixels is a beacon; notices are not tracked"}},
		{"beacon of the body", "s", "t", `<body background="https://a.test/o/7" style="height:0">`, []string{"html line 1, column 1: a picture of height:0 pixels is a beacon; notices are not tracked"}},
		{"offers", "Special offer", "a\nBuy now", "<p>Jetzt kaufen", []string{`subject line 1, column 1: "Special offer"` + offer, `text line 2, column 1: "Buy now"` + offer, `html line 1, column 4: "Jetzt kaufen"` + offer}},
		{"long", "s", long, long, []string{"text is 262145 bytes long; at most 262144 are possible", "html is 262145 bytes long; at most 262144 are possible"}},
		{"deep", "s", "", strings.Repeat("<b>", 600) + "x", []string{"html its elements stand too deep in each other"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := templates.Given(tt.subject, tt.text, tt.markup)
			if d := cmp.Diff(tt.want, refusals(t, err)); d != "" {
				t.Error(d)
			}
			if err == nil || got.Subject != "" || got.Text != nil || got.HTML != nil {
				t.Errorf("it gives %+v all the same", got)
			}
		})
	}
}

// FuzzGiven checks that nothing given makes Given panic, that what it takes goes
// out as it came, and that it holds no script.
func FuzzGiven(f *testing.F) {
	f.Add("s", "t", document)
	f.Add("s", "", "<ul><li>a<li>b</ul><table><tr><td>x")
	f.Add("Re: s", "https://a.test/?utm_source=x", "<body onload=x><script>")
	f.Add("s", "", "<a href='java\tscript:x'><img src=x onerror=y><svg/onload=z>")
	f.Add("s", "", "<noscript><p title=\"</noscript><script>x</script>\">y")
	f.Add("s", "", "<!--><script>x</script>-->")
	f.Fuzz(func(t *testing.T, subject, text, markup string) {
		got, err := templates.Given(subject, text, markup)
		if err != nil {
			if !errors.Is(err, posthaste.Invalid) || len(posthaste.FieldsOf(err)) == 0 {
				t.Errorf("given %q, %q, %q: %v", subject, text, markup, err)
			}
			return
		}
		if got.Subject != subject || len(got.HTML) > 0 && string(got.HTML) != markup || len(got.Text) == 0 {
			t.Errorf("given %q, %q, %q: got %+v", subject, text, markup, got)
		}
		if tree, _ := shape(t, got.HTML); strings.Contains("\n"+tree, "\nscript in ") || strings.Contains(tree, " onload") || strings.Contains("\n"+tree, "\nform in ") {
			t.Errorf("%q holds a script or a form:\n%s", markup, tree)
		}
	})
}
