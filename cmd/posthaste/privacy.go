package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/api"
	"posthaste/mailer"
	"posthaste/mailer/dkim"
	"posthaste/templates/pages"
	"posthaste/unsubscribe"
)

// newUnsubscribe makes the service that carries out what recipients decide.
func (svc *service) newUnsubscribe() *unsubscribe.Service {
	return unsubscribe.New(unsubscribe.Parts{Store: svc.store, Workers: svc.bus, Courier: courier{svc.intake, svc.notices}, Files: svc.hop.files, Keys: svc.keys,
		Metrics: svc.metrics, Sender: unsubscribe.Sender{Name: svc.config.SenderName, PostalAddress: svc.config.PostalAddress, PublicURL: svc.config.PublicURL,
			Receivers: []string{svc.config.nextHop() + ": address and content of each mail; so that it is delivered"}}})
}

// nextHop is the name of the server that mail is handed to.
func (c config) nextHop() string {
	if u, err := url.Parse(c.SMTPURL); err == nil && u.Host != "" {
		return u.Host
	}
	return "a folder on this machine"
}

// courier sends the program's own mails as notices, so that they have the
// ledger, the priority and the retries of these.
type courier struct {
	intake  *mailer.NoticeIntake
	notices *mailer.NoticeComposer
}

// Send takes a mail in. It is the system's, whoever asked for it.
func (c courier) Send(ctx context.Context, noticeType, email string, m pages.Mail) (string, error) {
	addr, err := address.Parse(email)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	call := posthaste.NoticeCall{Origin: posthaste.OriginOf(ctx), Data: data, BodyHash: sum[:], Notices: []posthaste.Notice{{Email: addr.String(), Canonical: addr.Canonical()}}}
	call.Origin.Actor, call.Type.Key = posthaste.BySystem, noticeType
	if call, err = c.intake.Accept(ctx, call, api.AnswerNotices); err != nil {
		return "", err
	}
	return c.notices.MessageID(ctx, call.Notices[0])
}

// ownTypes are the notice types of the program's own mails, which only it may send.
func ownTypes(from string) []posthaste.NoticeType {
	own := func(key, name string, validity time.Duration) posthaste.NoticeType {
		return posthaste.NoticeType{Key: key, Name: name, Reason: "you, or somebody with your address, has just asked for it", Kind: posthaste.Mandatory,
			MandatoryReason: "it answers what was asked for a moment before", From: from, Format: posthaste.AsGiven, Schema: json.RawMessage("{}"), Validity: validity,
			Keys: []string{posthaste.BySystem}, Actor: posthaste.BySystem}
	}
	return []posthaste.NoticeType{
		own(posthaste.ConfirmNotice, "Confirmation of a sign-up", 24*time.Hour),
		own(posthaste.DataNotice, "Link to one's own data", 24*time.Hour),
	}
}

// ensureOwnTypes stores them at the first start, and again when the mailbox that
// they come from is another one.
func (svc *service) ensureOwnTypes(ctx context.Context, signer *dkim.Signer) error {
	from := svc.config.From
	if from == "" {
		domain := signer.Domain()
		if domain == "" {
			u, err := url.Parse(svc.config.PublicURL)
			if err != nil {
				return err
			}
			domain = u.Hostname()
		}
		from = "no-reply@" + domain
	}
	for _, t := range ownTypes(from) {
		if _, err := address.ParseMailbox(from); err != nil {
			return posthaste.RefuseAll(posthaste.FieldsAs(err, "POSTHASTE_FROM"))
		}
		if err := svc.ensureType(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (svc *service) ensureType(ctx context.Context, t posthaste.NoticeType) error {
	known, err := svc.store.FindNoticeType(ctx, t.Key)
	switch {
	case errors.Is(err, posthaste.NotFound):
		_, err = svc.store.AddNoticeType(ctx, t)
	case err == nil && known.From != t.From:
		t.Version = known.Version
		_, err = svc.store.SaveNoticeType(ctx, t)
	}
	if errors.Is(err, posthaste.Conflict) { // another process was quicker
		return nil
	}
	return err
}
