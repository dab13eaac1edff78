package pages_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/templates/pages"
)

var mails = map[string]func(string, pages.MailParts) (pages.Mail, error){
	"confirm": pages.ConfirmMail, "data": pages.DataMail, "erase": pages.EraseMail, "correct": pages.CorrectMail,
}

func parts(lang string) pages.MailParts {
	words := pages.Wordings(lang)
	return pages.MailParts{Sender: shop, PostalAddress: "12 Quay Street, Exeter EX1 1AA", Link: "https://mail.example.com/confirm/abc?x=1&y=2",
		Items: []string{words.Topic("The Reading Room"), words.Opens}}
}

func mail(t *testing.T, name, lang string, p pages.MailParts) pages.Mail {
	t.Helper()
	m, err := mails[name](lang, p)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

func TestMailsGolden(t *testing.T) {
	t.Parallel()
	for name := range mails {
		for _, language := range pages.Languages() {
			m := mail(t, name, language.Tag, parts(language.Tag))
			checkGolden(t, "mail_"+name+"."+language.Tag+".golden.txt", "Subject: "+m.Subject+"\n\n"+m.Text)
		}
		checkGolden(t, "mail_"+name+".golden.html", mail(t, name, "en", parts("en")).HTML)
	}
}

// TestMailsSayWhatTheyMust holds both parts of each mail, in every language, to
// the link, how long it works, who sends it, and to nothing that reports back.
func TestMailsSayWhatTheyMust(t *testing.T) {
	t.Parallel()
	for name := range mails {
		for _, language := range pages.Languages() {
			p := parts(language.Tag)
			m := mail(t, name, language.Tag, p)
			root := parse(t, m.HTML)
			days, items := "7", 0
			if name == "confirm" {
				days, items = "14", len(p.Items)
			}
			if !strings.Contains(m.Subject, shop) {
				t.Errorf("%s %s: subject %q", name, language.Tag, m.Subject)
			}
			for part, said := range map[string]string{"text": m.Text, "html": text(only(t, root, "body"))} {
				for _, want := range []string{p.Link, p.Sender, p.PostalAddress, " " + days + " "} {
					if !strings.Contains(said, want) {
						t.Errorf("%s %s: the %s part does not say %q", name, language.Tag, part, want)
					}
				}
				for _, item := range p.Items {
					if got := strings.Count(said, item); got != items/len(p.Items) {
						t.Errorf("%s %s: the %s part says %q %d times", name, language.Tag, part, item, got)
					}
				}
				if strings.ContainsAny(said, "{}") {
					t.Errorf("%s %s: the %s part has a placeholder left: %s", name, language.Tag, part, said)
				}
			}
			for _, a := range find(root, "a") {
				if attr(a, "href") != p.Link {
					t.Errorf("%s %s: a link to %q", name, language.Tag, attr(a, "href"))
				}
			}
			for _, tag := range []string{"img", "script", "link", "iframe", "form", "table"} {
				if n := len(find(root, tag)); n > 0 {
					t.Errorf("%s %s: %d %s", name, language.Tag, n, tag)
				}
			}
			if strings.Contains(m.HTML, "url(") || strings.Contains(m.HTML, "@import") {
				t.Errorf("%s %s: the style fetches something", name, language.Tag)
			}
			if attr(only(t, root, "html"), "lang") != language.Tag {
				t.Errorf("%s %s: the mail says that it is in %q", name, language.Tag, attr(only(t, root, "html"), "lang"))
			}
		}
	}
}

func TestMailsWithHostileValues(t *testing.T) {
	t.Parallel()
	for name := range mails {
		ordinary := mail(t, name, "en", parts("en"))
		for kind, value := range hostile {
			p := poison(parts("en"), value).(pages.MailParts)
			p.Link = parts("en").Link
			m := mail(t, name, "en", p)
			if strings.ContainsAny(m.Subject, "\r\n\u2028\u202e\x00") {
				t.Errorf("%s, %s: subject %q", name, kind, m.Subject)
			}
			if got, want := strings.Count(m.Text, "\n"), strings.Count(ordinary.Text, "\n"); got != want {
				t.Errorf("%s, %s: the text has %d lines, want %d:\n%q", name, kind, got, want, m.Text)
			}
			if strings.ContainsAny(m.Text, "\r\u2028\u202e\u2066\x00") {
				t.Errorf("%s, %s: text %q", name, kind, m.Text)
			}
			page := parse(t, m.HTML)
			if diff := cmp.Diff(skeleton(parse(t, ordinary.HTML)), skeleton(page)); diff != "" {
				t.Errorf("%s, %s: elements (-want +got):\n%s", name, kind, diff)
			}
			checkDirections(t, page)
		}
	}
}

func TestMailsNeedAnAbsoluteLink(t *testing.T) {
	t.Parallel()
	for name, write := range mails {
		for _, link := range []string{"", "/confirm/a", "javascript:alert(1)", "mailto:a@example.com", "https://example.com/\r\nBcc: b"} {
			if m, err := write("en", pages.MailParts{Sender: shop, Link: link}); err == nil || m != (pages.Mail{}) || strings.Contains(err.Error(), "Bcc") {
				t.Errorf("%s: %q: error %v", name, link, err)
			}
		}
	}
}

func TestMailsWithoutASender(t *testing.T) {
	t.Parallel()
	m := mail(t, "confirm", "de", pages.MailParts{Link: "https://example.com/c"})
	if m.Subject != "Bitte bestätigen Sie Ihre Anmeldung bei uns" || strings.HasSuffix(m.Text, "\n\n\n") || len(find(parse(t, m.HTML), "ul")) > 0 {
		t.Errorf("mail %+v", m)
	}
}
