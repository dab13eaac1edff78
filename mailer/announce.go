package mailer

import (
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/mailer/relay"
)

// announce makes the message of one delivery of an announcement: a notice, the
// same bytes at every attempt.
func (m *Mailing) announce(mail posthaste.Mail, date time.Time) (Letter, error) {
	to, err := address.Parse(mail.Recipient.Email)
	if err != nil {
		return Letter{}, err
	}
	c := m.composer
	built, rendered, err := c.notices.build(m.notice, noticeParts{to: to, recipient: mail.Recipient, data: m.campaign.Announcement.Data,
		messageID: m.messageID(mail.Number), date: date,
		claims: token.Claims{RecipientID: mail.Recipient.ID, TopicID: m.topic.ID, CampaignID: m.campaign.ID, Number: mail.Number}})
	if err != nil {
		return Letter{}, err
	}
	return Letter{Subject: rendered.Subject, Item: relay.Item{Message: built, Envelope: relay.Envelope{To: to.String(),
		From: "b+" + c.keys.EnvelopeTag(m.campaign.ID, mail.Number) + "@" + c.sender.BounceDomain}}}, nil
}

// begin reports whether a mail may start, as optOuts does; a mandatory notice always may.
func (m *Mailing) begin(o *optOuts, recipientID int64, claimed time.Time) (begun func(), ok bool) {
	if m.notice != nil && m.notice.Kind == posthaste.Mandatory {
		return func() {}, true
	}
	return o.begin(recipientID, m.topic.ID, claimed)
}
