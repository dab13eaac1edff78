package mailer

import (
	"context"
	"time"

	"posthaste"
)

// Check compiles a campaign's content and gives the links that click beacons
// may stand for; what is wrong is an Invalid error as Compile says.
func (c *Composer) Check(ctx context.Context, campaign posthaste.Campaign) ([]string, error) {
	mailing, err := c.Compile(ctx, campaign)
	if err != nil {
		return nil, err
	}
	return mailing.Links(), nil
}

// CheckSender says what keeps any campaign from being scheduled: a mailing must
// name its sender and a postal address (CAN-SPAM, CASL).
func (c *Composer) CheckSender() error {
	var faults []posthaste.Field
	if c.sender.Name == "" {
		faults = append(faults, posthaste.Field{Name: "POSTHASTE_SENDER_NAME", Reason: "is not set; every mailing must name its sender"})
	}
	if c.sender.PostalAddress == "" {
		faults = append(faults, posthaste.Field{Name: "POSTHASTE_POSTAL_ADDRESS", Reason: "is not set; every mailing must bear a postal address"})
	}
	return posthaste.RefuseAll(faults)
}

// Preview makes the mail that a recipient would get now, with links and beacons
// as that recipient's consent has them. Nothing is sent.
func (c *Composer) Preview(ctx context.Context, campaign posthaste.Campaign, recipientID int64) (posthaste.Preview, error) {
	mailing, err := c.Compile(ctx, campaign)
	if err != nil {
		return posthaste.Preview{}, err
	}
	mail, err := c.content.FindMail(ctx, campaign.TopicID, recipientID)
	if err != nil {
		return posthaste.Preview{}, err
	}
	var space Space
	letter, err := mailing.Compose(&space, mail, time.Now())
	if err != nil {
		return posthaste.Preview{}, err
	}
	return posthaste.Preview{Subject: letter.Subject, HTML: string(space.rendered.HTML), Text: string(space.rendered.Text), Source: string(letter.Message)}, nil
}
