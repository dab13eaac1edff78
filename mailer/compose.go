package mailer

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/mailer/dkim"
	"posthaste/mailer/message"
	"posthaste/mailer/relay"
	"posthaste/templates"
)

// Sender is who sends, the same for every campaign.
type Sender struct {
	Name          string       // legal name, in the footer
	PostalAddress string       // valid postal address, in the footer (CAN-SPAM, CASL)
	PublicURL     string       // base of all links, without a slash at the end
	BounceDomain  string       // domain of envelope senders
	ListDomain    string       // domain of List-Id labels, one that the sender controls
	Signer        *dkim.Signer // signs for the From domain; nil or empty: mails go out unsigned
}

// Composer makes messages of campaigns. It is safe for concurrent use and keeps
// the last compiled mailings.
type Composer struct {
	content Content
	notices *NoticeComposer // of announcements
	keys    *token.Keys
	sender  Sender
	recent  *recent[int64, *Mailing] // by campaign
}

// keepMailings bounds the compiled mailings that a worker keeps.
const keepMailings = 16

// NewComposer makes a Composer; notices composes announcements for it.
func NewComposer(content Content, notices *NoticeComposer, keys *token.Keys, sender Sender) *Composer {
	if sender.Signer == nil {
		sender.Signer = new(dkim.Signer)
	}
	return &Composer{content: content, notices: notices, keys: keys, sender: sender, recent: newRecent[int64, *Mailing](keepMailings)}
}

// Mailing is one campaign's content, compiled. It is safe for concurrent use.
type Mailing struct {
	campaign   posthaste.Campaign
	notice     *noticeForm // of an announcement, and nothing below but topic (its type as one), from and composer
	topic      posthaste.Topic
	mail       *templates.Mail
	from       address.Mailbox
	replyTo    address.Mailbox
	listID     string
	feedbackID string
	composer   *Composer

	forming sync.Once
	form    *message.Form // nil: Build makes every message
}

// Letter is one message, ready to be handed over.
type Letter struct {
	relay.Item
	Subject string
}

// Mailing gives the compiled mailing of a campaign that is frozen or being sent
// in tests, from memory if its version is known.
func (c *Composer) Mailing(ctx context.Context, campaignID int64) (*Mailing, error) {
	if known, ok := c.recent.find(campaignID); ok {
		return known, nil
	}
	// A worker that lacks the sender's settings must not decide any mail.
	if err := c.CheckSender(); err != nil {
		return nil, err
	}
	campaign, err := c.content.FindCampaign(ctx, campaignID)
	if err != nil {
		return nil, err
	}
	m, err := c.Compile(ctx, campaign)
	if err != nil {
		return nil, err
	}
	if campaign.State == posthaste.Draft || campaign.State == posthaste.Scheduled {
		return m, nil // it may still change
	}
	c.recent.keep(campaignID, m)
	return m, nil
}

// Forget drops a compiled mailing, since its campaign changed.
func (c *Composer) Forget(campaignID int64) { c.recent.drop(campaignID) }

// Compile checks and compiles a campaign's content. What is wrong with it is an
// Invalid error that names each field, and line and column within it.
func (c *Composer) Compile(ctx context.Context, campaign posthaste.Campaign) (*Mailing, error) {
	if campaign.IsAnnouncement() {
		f, err := c.notices.form(ctx, posthaste.TypeAsTopic(campaign.TopicID), campaign.Announcement.TypeVersion)
		if err != nil {
			return nil, err
		}
		return &Mailing{campaign: campaign, notice: f, topic: posthaste.Topic{ID: campaign.TopicID}, from: f.from, composer: c}, nil
	}
	topic, err := c.content.FindTopicByID(ctx, campaign.TopicID)
	if err != nil {
		return nil, err
	}
	attributes, err := c.content.ListAttributes(ctx)
	if err != nil {
		return nil, err
	}
	var faults []posthaste.Field
	mail, err := templates.Compile(templates.Source{Subject: campaign.Subject, Preheader: campaign.Preheader,
		Body: campaign.Body, Format: campaign.Format, Layout: campaign.Layout}, attributes)
	if err != nil && posthaste.FieldsOf(err) == nil {
		return nil, err
	}
	faults = append(faults, posthaste.FieldsOf(err)...)
	from, err := address.ParseMailbox(campaign.From)
	faults = append(faults, posthaste.FieldsAs(err, "from")...)
	// An unsigned mail from a domain whose owner signs is one that receivers refuse.
	if signer := c.sender.Signer; err == nil && !signer.Empty() && !signer.Covers(from.Domain) {
		faults = append(faults, posthaste.Field{Name: "from", Reason: "is at " + from.Domain + ", for which " + dkim.Setting + " has no DKIM key"})
	}
	var replyTo address.Mailbox
	if campaign.ReplyTo != "" {
		replyTo, err = address.ParseMailbox(campaign.ReplyTo)
		faults = append(faults, posthaste.FieldsAs(err, "reply_to")...)
	}
	if err := posthaste.RefuseAll(faults); err != nil {
		return nil, err
	}
	return &Mailing{
		campaign: campaign, topic: topic, mail: mail, from: from, replyTo: replyTo, composer: c,
		listID:     topic.Key + "." + c.sender.ListDomain,
		feedbackID: fmt.Sprintf("%d:%s:mailing:%s", campaign.ID, topic.Key, feedbackSender(c.sender.ListDomain)),
	}, nil
}

// feedbackSender is the sender's part of Feedback-ID: 5 to 15 characters, the same for all mail.
func feedbackSender(domain string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, domain)
	return (name + "posthaste")[:min(max(len(name), 5), 15)]
}

// Links gives the destinations that click beacons may stand for.
func (m *Mailing) Links() []string { return m.mail.Links() }
