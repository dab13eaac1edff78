package pages

import (
	"fmt"
	"strings"
)

// MailParts are what the mails are made of.
type MailParts struct {
	Sender        string
	PostalAddress string
	Link          string   // absolute, of http or https
	Items         []string // of ConfirmMail: the wordings to be confirmed
}

// Mail is a mail as it is sent but for its addresses. It bears no tracking, no
// advertising and nothing that a stranger could have entered into a form.
type Mail struct {
	Subject string // one line
	Text    string
	HTML    string
}

type mailsTexts struct {
	Confirm mailTexts `json:"confirm"`
	Data    mailTexts `json:"data"`
	Erase   mailTexts `json:"erase"`
	Correct mailTexts `json:"correct"`
	Copy    string    `json:"copy"`
}

type mailTexts struct {
	Subject string `json:"subject"`
	Lead    string `json:"lead"`   // who asked for what
	Button  string `json:"button"` // leads to the page
	How     string `json:"how"`    // what happens then, and how long the link works
	Ignore  string `json:"ignore"` // what happens when one does nothing
}

type mailView struct {
	Lang, Dir, Subject, Copy    string
	Heading, Lead, How, Ignore  sentence
	Button                      string
	Items                       []string
	Link, Sender, PostalAddress string
}

// ConfirmMail asks whoever reads the mailbox to confirm a sign-up.
func ConfirmMail(lang string, p MailParts) (Mail, error) {
	t := load().texts(lang)
	return t.mail(t.Mails.Confirm, p, t.valuesToConfirm(p.Sender))
}

// DataMail gives whoever reads the mailbox a link to the data about it.
func DataMail(lang string, p MailParts) (Mail, error) {
	t := load().texts(lang)
	p.Items = nil
	return t.mail(t.Mails.Data, p, t.valuesOf(p.Sender, ""))
}

// EraseMail gives whoever reads the mailbox a link to delete the data about it.
func EraseMail(lang string, p MailParts) (Mail, error) {
	t := load().texts(lang)
	p.Items = nil
	return t.mail(t.Mails.Erase, p, t.valuesOf(p.Sender, ""))
}

// CorrectMail asks whoever reads the mailbox to confirm that it is somebody's new address.
func CorrectMail(lang string, p MailParts) (Mail, error) {
	t := load().texts(lang)
	p.Items = nil
	return t.mail(t.Mails.Correct, p, t.valuesOf(p.Sender, ""))
}

func (t Texts) mail(m mailTexts, p MailParts, say values) (Mail, error) {
	link, err := absolute(p.Link)
	if err != nil {
		return Mail{}, fmt.Errorf("write mail: %w", err)
	}
	v := mailView{Lang: t.Lang, Dir: t.Dir, Heading: say.say(m.Subject), Lead: say.say(m.Lead), How: say.say(m.How), Ignore: say.say(m.Ignore),
		Button: m.Button, Copy: t.Mails.Copy, Link: link, Sender: clean(p.Sender), PostalAddress: clean(p.PostalAddress)}
	v.Subject = v.Heading.String()
	for _, item := range p.Items {
		v.Items = append(v.Items, clean(item))
	}
	var text, html strings.Builder
	s := load()
	if err := s.plain.Execute(&text, v); err != nil {
		return Mail{}, err
	}
	if err := s.mails.Execute(&html, v); err != nil {
		return Mail{}, err
	}
	return Mail{v.Subject, text.String(), html.String()}, nil
}
