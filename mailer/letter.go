package mailer

import (
	"crypto/rand"
	"log/slog"
	"strings"
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/mailer/message"
	"posthaste/mailer/relay"
	"posthaste/templates"
	"posthaste/templates/language"
)

// Space is memory that Compose uses again. One goroutine at a time.
type Space struct {
	rendered templates.Rendered
	message  []byte
	copyist  copyist
}

// wireRoom is kept free behind a message, for the final dot and the next envelope.
const wireRoom = 1 << 10

// Compose makes the message of one delivery: the same bytes at every attempt,
// if the date is that of the freeze. Its Message is good until space is used again.
func (m *Mailing) Compose(space *Space, mail posthaste.Mail, date time.Time) (Letter, error) {
	if m.notice != nil {
		return m.announce(mail, date)
	}
	to, err := address.Parse(mail.Recipient.Email)
	if err != nil {
		return Letter{}, err
	}
	keys := m.composer.keys
	claims := token.Claims{RecipientID: mail.Recipient.ID, TopicID: m.topic.ID, CampaignID: m.campaign.ID, Number: mail.Number}
	values := m.values(mail, claims)
	personal := message.Personal{To: address.Mailbox{Name: mail.Recipient.Name, Address: to},
		MessageID: m.messageID(mail.Number) + "@" + m.from.Domain, Unsubscribe: values.Unsubscribe}
	letter := Letter{Item: relay.Item{Envelope: relay.Envelope{To: to.String(),
		From: "b+" + keys.EnvelopeTag(m.campaign.ID, mail.Number) + "@" + m.composer.sender.BounceDomain}}}

	var form *message.Form
	if date.Equal(m.campaign.FrozenAt) { // previews and tests have dates of their own
		form = m.formOf(personal)
	}
	if form != nil {
		letter.Subject, letter.Message, err = m.splice(space, form, personal, &values)
		letter.Wired = true
	} else {
		letter.Subject, letter.Message, err = m.build(space, personal, &values, date)
	}
	if err != nil {
		return Letter{}, err
	}
	// Last: whatever is changed from here on makes receivers take the mail for forged.
	letter.Message, err = m.composer.sender.Signer.Sign(m.from.Domain, letter.Message)
	return letter, err
}

// build renders and builds the whole message anew.
func (m *Mailing) build(space *Space, p message.Personal, values *templates.Values, date time.Time) (string, []byte, error) {
	rendered := &space.rendered
	if err := m.mail.Render(rendered, values); err != nil {
		return "", nil, err
	}
	p.Subject = rendered.Subject
	built, err := message.Build(m.parts(p, rendered.Text, rendered.HTML, date))
	return p.Subject, built, err
}

// parts are what Build makes a message of.
func (m *Mailing) parts(p message.Personal, text, html []byte, date time.Time) message.Mailing {
	return message.Mailing{
		From: m.from, ReplyTo: m.replyTo, To: p.To, Subject: p.Subject, HTML: html, Text: text, Date: date, MessageID: p.MessageID,
		ListID: m.listID, ListName: m.topic.Name, FeedbackID: m.feedbackID, Unsubscribe: p.Unsubscribe,
	}
}

// formOf gives the campaign's form, which is made with its first message; nil
// when there is none and every message is to be built.
func (m *Mailing) formOf(p message.Personal) *message.Form {
	m.forming.Do(func() {
		p.To, p.Subject = m.from, "form"
		sample := m.parts(p, []byte("form"), []byte("form"), m.campaign.FrozenAt)
		form, err := message.NewForm(sample, m.mail.TextLiterals(), m.mail.HTMLLiterals())
		if err != nil {
			slog.Warn("messages are built the slow way", "campaign", m.campaign.ID, "error", err)
			return
		}
		m.form = form
	})
	return m.form
}

// splice fills one recipient's values into the form.
func (m *Mailing) splice(space *Space, form *message.Form, p message.Personal, values *templates.Values) (string, []byte, error) {
	c := &space.copyist
	c.form, c.personal, c.space = form, p, space.message[:0]
	if err := m.mail.Splice(c, values); err != nil {
		return "", nil, err
	}
	filled, err := c.filling.End()
	if err != nil {
		return "", nil, err
	}
	if cap(filled)-len(filled) < wireRoom { // so that nothing has to be moved later
		filled = append(make([]byte, 0, len(filled)+len(filled)/4+2*wireRoom), filled...)
	}
	space.message = filled
	return c.personal.Subject, filled, nil
}

// copyist is the templates.Splicer that fills a form.
type copyist struct {
	form     *message.Form
	personal message.Personal
	space    []byte
	filling  message.Filling
}

func (c *copyist) Text(subject string) (language.Sink, error) {
	c.personal.Subject = subject
	err := c.form.Begin(&c.filling, c.space, c.personal)
	return c.filling.Body(), err
}

func (c *copyist) HTML() language.Sink {
	c.filling.HTML()
	return c.filling.Body()
}

// values are what one recipient's copy is made of. Consent decides here for the
// first time: without it there is no pixel, and links are direct.
func (m *Mailing) values(mail posthaste.Mail, claims token.Claims) templates.Values {
	sender := &m.composer.sender
	values := templates.Values{
		Recipient: mail.Recipient, Topic: m.topic.Name, Campaign: m.campaign.Name,
		SenderName: sender.Name, PostalAddress: sender.PostalAddress,
		Unsubscribe: m.link("/u/", token.Unsubscribe, claims),
		Preferences: m.link("/p/", token.Preferences, token.Claims{RecipientID: mail.Recipient.ID}),
	}
	// Previews and test mails, which have no number, have no beacons: there is
	// nothing yet that they could stand for.
	if mail.Number == 0 {
		return values
	}
	if claims, ok := beacon(m.campaign.Tracking.Opens, mail.Opens, claims); ok {
		values.Pixel = m.link("/o/", token.OpenBeacon, claims)
	}
	if claims, ok := beacon(m.campaign.Tracking.Clicks, mail.Clicks, claims); ok {
		values.Link = func(n int) string {
			claims.Link = n + 1
			return m.link("/c/", token.ClickLink, claims)
		}
	}
	return values
}

// beacon gives what a beacon claims, if the mail may bear one. One that counts
// totals names the campaign alone, and is the same in every mail; it is left out
// for whoever withdrew, since nobody could tell their hits from others' later.
func beacon(mode posthaste.TrackingMode, decision posthaste.Decision, claims token.Claims) (token.Claims, bool) {
	switch mode {
	case posthaste.TrackIndividual:
		return claims, decision == posthaste.Given
	case posthaste.TrackTotals:
		return token.Claims{CampaignID: claims.CampaignID}, decision != posthaste.Withdrawn
	}
	return claims, false
}

// measured tells which beacons of its own a mail bears.
func (m *Mailing) measured(mail posthaste.Mail) (set posthaste.Measured) {
	if m.campaign.Tracking.Opens == posthaste.TrackIndividual && mail.Opens == posthaste.Given {
		set |= posthaste.MeasuredOpens
	}
	if m.campaign.Tracking.Clicks == posthaste.TrackIndividual && mail.Clicks == posthaste.Given {
		set |= posthaste.MeasuredClicks
	}
	return set
}

// link is a public URL that ends in a token.
func (m *Mailing) link(path string, p token.Purpose, c token.Claims) string {
	var room [256]byte
	url := append(append(room[:0], m.composer.sender.PublicURL...), path...)
	return string(m.composer.keys.AppendSeal(url, p, c))
}

// MessageID is that of a delivery, without angle brackets, as its mail has it.
func (c *Composer) MessageID(campaign posthaste.Campaign, number int64) string {
	from, err := address.ParseMailbox(campaign.From)
	if err != nil { // a campaign that has deliveries has been compiled
		return ""
	}
	return c.keys.MessageID(campaign.ID, number) + "@" + from.Domain
}

// messageID is a delivery's own, or a new one for a preview or a test: receivers
// drop a second message of the same id.
func (m *Mailing) messageID(number int64) string {
	if number == 0 {
		return strings.ToLower(rand.Text())
	}
	return m.composer.keys.MessageID(m.campaign.ID, number)
}
