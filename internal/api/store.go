package api

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/audit"
)

// Keys finds API keys by their SHA-256.
type Keys interface {
	FindKey(ctx context.Context, hash []byte) (posthaste.Key, error)
}

// KeyRing is what the key routes need.
type KeyRing interface {
	PutKey(ctx context.Context, k posthaste.Key, hash []byte) (posthaste.Key, error)
	ListKeys(ctx context.Context) ([]posthaste.Key, error)
	RevokeKey(ctx context.Context, name string) error
}

// Usage counts what keys do.
type Usage interface {
	AddUsage(ctx context.Context, used []posthaste.Usage, at time.Time) error
	ListUsage(ctx context.Context, key, from, to string) ([]posthaste.Usage, error)
}

// Audit is the log of operations.
type Audit interface {
	// Audit notes an operation that changes nothing.
	Audit(ctx context.Context, action, object string, details ...string) error
	ListAudit(ctx context.Context, f posthaste.AuditFilter, before int64, limit int) ([]posthaste.AuditEntry, error)
}

// NoticeTypes is what the routes of notice types need.
type NoticeTypes interface {
	AddNoticeType(ctx context.Context, t posthaste.NoticeType) (posthaste.NoticeType, error)
	SaveNoticeType(ctx context.Context, t posthaste.NoticeType) (posthaste.NoticeType, error)
	FindNoticeType(ctx context.Context, key string) (posthaste.NoticeType, error)
	FindNoticeTypeVersion(ctx context.Context, id, version int64) (posthaste.NoticeType, error)
	ListNoticeTypes(ctx context.Context) ([]posthaste.NoticeType, error)
}

// NoticeLedger is where notices are looked up.
type NoticeLedger interface {
	FindNotice(ctx context.Context, id int64) (posthaste.Notice, []posthaste.Attempt, error)
	ListNotices(ctx context.Context, f posthaste.NoticeFilter, before int64, limit int) ([]posthaste.Notice, error)
}

// Topics is what the topic routes need; every route that takes a topic key needs it too.
type Topics interface {
	AddTopic(ctx context.Context, t posthaste.Topic) (posthaste.Topic, error)
	ListTopics(ctx context.Context) ([]posthaste.Topic, error)
	FindTopic(ctx context.Context, key string) (posthaste.Topic, error)
	FindTopicByID(ctx context.Context, id int64) (posthaste.Topic, error)
}

// Recipients is what the recipient routes need.
type Recipients interface {
	Import(ctx context.Context, order posthaste.Import, rows iter.Seq2[posthaste.ImportRow, error]) (posthaste.ImportReport, error)
	FindRecipient(ctx context.Context, id int64) (posthaste.Recipient, error)
	FindRecipientByAddress(ctx context.Context, canonical string) (posthaste.Recipient, error)
	PutRecipient(ctx context.Context, r posthaste.Recipient, canonical string) (posthaste.Recipient, bool, error)
	CorrectRecipient(ctx context.Context, id int64, c posthaste.Correction) (after posthaste.Recipient, changed bool, err error)
	ListConsents(ctx context.Context, recipientID int64) ([]posthaste.Consent, error)
	RecordConsents(ctx context.Context, entries []posthaste.Consent) error
}

// Drafts is what writing campaigns needs.
type Drafts interface {
	AddCampaign(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error)
	SaveCampaign(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error)
	FindCampaign(ctx context.Context, id int64) (posthaste.Campaign, error)
	ListCampaigns(ctx context.Context, before int64, limit int) ([]posthaste.Campaign, error)
}

// Runs is what moving campaigns from state to state needs.
type Runs interface {
	Schedule(ctx context.Context, id, version int64, at time.Time, timeZone string, links []string) (posthaste.Campaign, error)
	Unschedule(ctx context.Context, id int64) (posthaste.Campaign, error)
	Pause(ctx context.Context, id int64) (posthaste.Campaign, error)
	Resume(ctx context.Context, id int64) (posthaste.Campaign, error)
	Cancel(ctx context.Context, id int64) (posthaste.Campaign, error)
}

// Ledger is what the numbers of a campaign come from.
type Ledger interface {
	CountDeliveries(ctx context.Context, campaignID int64) (posthaste.Counts, error)
	CountHits(ctx context.Context, campaignID int64) (posthaste.Hits, error)
	ListDeliveries(ctx context.Context, campaignID int64, state posthaste.DeliveryState, after int64, limit int) ([]posthaste.Delivery, error)
	Resolve(ctx context.Context, campaignID, number int64, to posthaste.DeliveryState) (posthaste.Delivery, error)
}

// Suppressions is what the suppression routes need.
type Suppressions interface {
	Suppress(ctx context.Context, canonical string, x posthaste.Suppression) (posthaste.Suppression, error)
	ListSuppressions(ctx context.Context, canonical string, after int64, limit int) ([]posthaste.Suppression, error)
	LiftSuppression(ctx context.Context, id int64) error
}

// People is all about recipients.
type People interface {
	Topics
	Recipients
	Suppressions
	Forms
	Desk
}

// Campaigns is all about campaigns.
type Campaigns interface {
	Drafts
	Runs
	Ledger
	Reports
}

// Announcements is what notices to many need, beside what campaigns do.
type Announcements interface {
	FindOrder(ctx context.Context, a posthaste.Announcement) (posthaste.Campaign, error)
	AddAnnouncement(ctx context.Context, c posthaste.Campaign) (posthaste.Campaign, error)
	ListAnnouncements(ctx context.Context, before int64, limit int) ([]posthaste.Campaign, error)
	CountAudience(ctx context.Context, c posthaste.Campaign) (audience, suppressed int64, err error)
}

// Notices is all about notices.
type Notices interface {
	NoticeTypes
	NoticeLedger
	Announcements
}

// Access is all about who does what here.
type Access interface {
	Keys
	KeyRing
	Usage
	Audit
}

// Store is all of them: one database.
type Store interface {
	People
	Campaigns
	Notices
	Access
}

// Composer checks and shows mailings.
type Composer interface {
	Check(ctx context.Context, c posthaste.Campaign) (links []string, err error)
	CheckSender() error
	Preview(ctx context.Context, c posthaste.Campaign, recipientID int64) (posthaste.Preview, error)
	MessageID(c posthaste.Campaign, number int64) string
}

// NoticeComposer checks and shows notices.
type NoticeComposer interface {
	CheckType(t posthaste.NoticeType) error
	CheckAnnouncement(t posthaste.NoticeType, a posthaste.Announcement) error
	PreviewNotice(ctx context.Context, t posthaste.NoticeType, r posthaste.Recipient, data json.RawMessage) (posthaste.Preview, error)
	MessageID(ctx context.Context, n posthaste.Notice) (string, error)
}

// Intake takes notices in.
type Intake interface {
	Accept(ctx context.Context, call posthaste.NoticeCall, answer func(posthaste.NoticeCall) (json.RawMessage, error)) (posthaste.NoticeCall, error)
}

// WebhookLedger is where webhooks and their messages are kept.
type WebhookLedger interface {
	AddWebhook(ctx context.Context, w posthaste.Webhook) (posthaste.Webhook, error)
	SaveWebhook(ctx context.Context, w posthaste.Webhook) (posthaste.Webhook, error)
	RotateWebhook(ctx context.Context, id int64, until time.Time) (posthaste.Webhook, error)
	DeleteWebhook(ctx context.Context, id int64) error
	ListWebhooks(ctx context.Context) ([]posthaste.Webhook, error)
	ListWebhookMessages(ctx context.Context, webhookID int64, state posthaste.WebhookState, before int64, limit int) ([]posthaste.WebhookMessage, error)
	ReplayWebhook(ctx context.Context, webhookID, messageID int64) (int64, error)
}

// Webhooks is what the webhook routes need.
type Webhooks interface {
	WebhookLedger
	CheckURL(url string) error
	Secret(w posthaste.Webhook) string
}

// Workers is how the API reaches those who send.
type Workers interface {
	AnnounceState(ctx context.Context, campaignID int64, state posthaste.CampaignState) error
	RequestTest(ctx context.Context, campaignID, recipientID int64) (posthaste.Reply, error)
}

// Forms is where sign-up forms are kept.
type Forms interface {
	AddForm(ctx context.Context, f posthaste.Form) (posthaste.Form, error)
	SaveForm(ctx context.Context, f posthaste.Form) (posthaste.Form, error)
	FindForm(ctx context.Context, key string) (posthaste.Form, error)
	ListForms(ctx context.Context) ([]posthaste.Form, error)
}

// Desk is what customer service looks up.
type Desk interface {
	ListRequests(ctx context.Context, state posthaste.RequestState, before int64, limit int) ([]posthaste.Request, error)
	FindWhy(ctx context.Context, campaignID, recipientID int64) (posthaste.Why, error)
	FindWhyNotice(ctx context.Context, n posthaste.Notice) ([]posthaste.Suppression, error)
}

// Privacy carries out what people ask for about their data, with the same effect
// and speed as if they had clicked.
type Privacy interface {
	Request(ctx context.Context, addr address.Address, locale string, q posthaste.Request) (_ posthaste.Request, sent bool, err error)
	Export(ctx context.Context, recipientID int64) (posthaste.Export, error)
	Erase(ctx context.Context, r posthaste.Recipient, requestID int64) (posthaste.Receipt, error)
	// EmbedForm gives a form as HTML in a language.
	EmbedForm(ctx context.Context, key, lang string) (string, error)
}

// Heads signs the end of the audit log.
type Heads interface {
	Head(ctx context.Context) (audit.Head, error)
}

// OptOuts carries out an opt-out, with the same effect and speed as the recipient's own.
type OptOuts interface {
	Stop(ctx context.Context, o posthaste.OptOut) (added int64, err error)
	// Tell makes a suppression that is committed take effect at once.
	Tell(ctx context.Context, o posthaste.OptOut) error
}
