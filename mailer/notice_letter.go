package mailer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/mailer/dkim"
	"posthaste/mailer/message"
	"posthaste/mailer/relay"
	"posthaste/templates"
	"posthaste/templates/dataschema"
)

// NoticeComposer makes the messages of notices. It is safe for concurrent use
// and keeps the compiled versions of types, which never change.
type NoticeComposer struct {
	content NoticeContent
	keys    *token.Keys
	sender  Sender
	recent  *recent[typeVersion, *noticeForm]
}

type typeVersion struct{ id, version int64 }

// keepTypes bounds the compiled types that a process keeps.
const keepTypes = 256

// NewNoticeComposer makes a NoticeComposer.
func NewNoticeComposer(content NoticeContent, keys *token.Keys, sender Sender) *NoticeComposer {
	if sender.Signer == nil {
		sender.Signer = new(dkim.Signer)
	}
	return &NoticeComposer{content: content, keys: keys, sender: sender, recent: newRecent[typeVersion, *noticeForm](keepTypes)}
}

// noticeForm is one version of a type, compiled.
type noticeForm struct {
	posthaste.NoticeType
	template *templates.Notice // nil: AsGiven
	schema   *dataschema.Schema
	from     address.Mailbox
	replyTo  address.Mailbox
	feedback string
}

// givenSchema is that of data whose notices bring their own content.
const givenSchema = `{"type": "object", "required": ["subject"], "additionalProperties": false,
	"properties": {"subject": {"type": "string"}, "text": {"type": "string"}, "html": {"type": "string"}}}`

// CheckType compiles a type and says what is wrong with it: an Invalid error
// that names each field, and line and column within it.
func (c *NoticeComposer) CheckType(t posthaste.NoticeType) error {
	_, err := c.compile(t)
	return err
}

func (c *NoticeComposer) compile(t posthaste.NoticeType) (*noticeForm, error) {
	var faults []posthaste.Field
	take := func(err error) { faults = append(faults, posthaste.FieldsOf(err)...) }
	f := &noticeForm{NoticeType: t}
	var err error
	if c.sender.Name == "" {
		take(posthaste.Refuse("POSTHASTE_SENDER_NAME", "is not set; every notice must name its sender"))
	}
	schema := t.Schema
	if t.Format == posthaste.AsGiven {
		schema = json.RawMessage(givenSchema)
	}
	if f.schema, err = dataschema.Compile(schema); err != nil {
		return nil, err // without it nothing is known of the names
	}
	if t.Format != posthaste.AsGiven {
		f.template, err = templates.CompileNotice(templates.NoticeSource{Subject: t.Subject, Body: t.Body, Format: t.Format, Text: t.Text}, f.schema)
		if err != nil && posthaste.FieldsOf(err) == nil {
			return nil, err
		}
		take(err)
	}
	f.from, err = address.ParseMailbox(t.From)
	faults = append(faults, posthaste.FieldsAs(err, "from")...)
	if signer := c.sender.Signer; err == nil && !signer.Empty() && !signer.Covers(f.from.Domain) {
		take(posthaste.Refuse("from", "is at "+f.from.Domain+", for which "+dkim.Setting+" has no DKIM key"))
	}
	if t.ReplyTo != "" {
		f.replyTo, err = address.ParseMailbox(t.ReplyTo)
		faults = append(faults, posthaste.FieldsAs(err, "reply_to")...)
	}
	f.feedback = fmt.Sprintf("%d:%s:notice:%s", t.ID, t.Key, feedbackSender(c.sender.ListDomain))
	return f, posthaste.RefuseAll(faults)
}

// form gives one version of a type, from memory if it is known.
func (c *NoticeComposer) form(ctx context.Context, id, version int64) (*noticeForm, error) {
	key := typeVersion{id, version}
	if known, ok := c.recent.find(key); ok {
		return known, nil
	}
	t, err := c.content.FindNoticeTypeVersion(ctx, id, version)
	if err != nil {
		return nil, err
	}
	f, err := c.compile(t)
	if err != nil {
		return nil, err
	}
	c.recent.keep(key, f)
	return f, nil
}

// check says what is wrong with the data of one notice, by JSON pointers below at.
func (f *noticeForm) check(at string, callData, data json.RawMessage, r posthaste.Recipient) []posthaste.Field {
	whole, err := mergeData(callData, data)
	if err != nil {
		return []posthaste.Field{{Name: at, Reason: "must be an object"}}
	}
	if fields := f.schema.Check(at, whole); len(fields) > 0 {
		return fields
	}
	rendered, err := f.render(whole, &templates.NoticeValues{Recipient: r, SenderName: "-"})
	if err == nil {
		err = posthaste.RefuseAll(message.ContentFaults(rendered.Subject, rendered.Text))
	}
	if err == nil {
		return nil
	}
	fields := posthaste.FieldsOf(err)
	if fields == nil {
		return []posthaste.Field{{Name: at, Reason: "do not fit the type's templates"}}
	}
	for i, fault := range fields {
		fields[i] = posthaste.Field{Name: at, Reason: fault.Name + " " + fault.Reason}
		if f.Format == posthaste.AsGiven {
			fields[i] = posthaste.Field{Name: at + "/" + fault.Name, Reason: fault.Reason}
		}
	}
	return fields
}

// mergeData puts the data of one notice over those of its call, field by field.
func mergeData(call, own json.RawMessage) (json.RawMessage, error) {
	if len(own) == 0 || string(own) == "{}" {
		if len(call) == 0 {
			return json.RawMessage("{}"), nil
		}
		return call, nil
	}
	var whole, over map[string]json.RawMessage
	if len(call) > 0 {
		if err := json.Unmarshal(call, &whole); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(own, &over); err != nil {
		return nil, err
	}
	if whole == nil {
		whole = map[string]json.RawMessage{}
	}
	maps.Copy(whole, over)
	return json.Marshal(whole)
}

func (f *noticeForm) render(data json.RawMessage, values *templates.NoticeValues) (out templates.Rendered, err error) {
	if f.Format == posthaste.AsGiven {
		var given struct{ Subject, Text, HTML string }
		if err := json.Unmarshal(data, &given); err != nil {
			return out, err
		}
		return templates.Given(given.Subject, given.Text, given.HTML)
	}
	if values.Data, err = dataschema.Values(data); err != nil {
		return out, err
	}
	values.Name, values.Reason = f.Name, f.Reason
	err = f.template.Render(&out, values)
	return out, err
}

// compose makes the message of one notice: the same bytes at every attempt.
func (c *NoticeComposer) compose(ctx context.Context, f *noticeForm, n posthaste.NoticeMail) (item relay.Item, err error) {
	r := n.Recipient
	if n.Name != "" {
		r.Name = n.Name
	}
	if n.Locale != "" {
		r.Locale = n.Locale
	}
	to, err := address.Parse(r.Email)
	if err != nil {
		return item, err
	}
	data, err := mergeData(n.CallData, n.Data)
	if err != nil {
		return item, err
	}
	var files []posthaste.NoticeFile
	if n.HasFiles {
		if files, err = c.content.FindNoticeFiles(ctx, n.CallID); err != nil {
			return item, errors.Join(errLater, err)
		}
	}
	item.Message, _, err = c.build(f, noticeParts{to: to, recipient: r, data: data, files: files, messageID: c.keys.NoticeMessageID(n.ID), date: n.CreatedAt,
		claims: token.Claims{RecipientID: r.ID, TopicID: posthaste.TypeAsTopic(f.ID), Number: n.ID}})
	item.Envelope = relay.Envelope{To: to.String(), From: "b+" + c.keys.NoticeEnvelopeTag(n.ID) + "@" + c.sender.BounceDomain}
	return item, err
}

// noticeParts are what differs from one message of a type to another.
type noticeParts struct {
	to        address.Address
	recipient posthaste.Recipient
	data      json.RawMessage
	files     []posthaste.NoticeFile
	messageID string // its left part
	date      time.Time
	claims    token.Claims // of its links; nobody's in a preview, which has none
}

// build makes and signs a message.
func (c *NoticeComposer) build(f *noticeForm, p noticeParts) ([]byte, templates.Rendered, error) {
	values := &templates.NoticeValues{Recipient: p.recipient, SenderName: c.sender.Name, PostalAddress: c.sender.PostalAddress}
	if f.Kind == posthaste.Optional && p.claims.RecipientID != 0 {
		values.Unsubscribe = c.sender.PublicURL + "/u/" + c.keys.Seal(token.Unsubscribe, p.claims)
	}
	if f.Kind != posthaste.Mandatory && p.claims.RecipientID != 0 {
		values.Preferences = c.sender.PublicURL + "/p/" + c.keys.Seal(token.Preferences, token.Claims{RecipientID: p.claims.RecipientID})
	}
	rendered, err := f.render(p.data, values)
	if err != nil {
		return nil, rendered, err
	}
	built, err := message.BuildNotice(message.Notice{From: f.from, ReplyTo: f.replyTo, To: address.Mailbox{Name: p.recipient.Name, Address: p.to}, Subject: rendered.Subject,
		HTML: rendered.HTML, Text: rendered.Text, MessageID: p.messageID + "@" + f.from.Domain, Date: p.date, FeedbackID: f.feedback,
		Unsubscribe: values.Unsubscribe, Files: p.files})
	if err != nil {
		return nil, rendered, err
	}
	built, err = c.sender.Signer.Sign(f.from.Domain, built)
	return built, rendered, err
}

// CheckAnnouncement says what is wrong with the data of an announcement of a
// type, by JSON pointers, or with the type.
func (c *NoticeComposer) CheckAnnouncement(t posthaste.NoticeType, a posthaste.Announcement) error {
	f, err := c.compile(t)
	if err != nil {
		return err
	}
	return posthaste.RefuseAll(f.check("/data", a.Data, nil, posthaste.Recipient{Email: "somebody@example.com"}))
}

// errLater says that a notice cannot be made now, which is no fault of its own.
var errLater = errors.New("later")

// MessageID is that of a notice, without angle brackets, as its mail has it.
func (c *NoticeComposer) MessageID(ctx context.Context, n posthaste.Notice) (string, error) {
	f, err := c.form(ctx, n.TypeID, n.TypeVersion)
	if err != nil {
		return "", err
	}
	return c.keys.NoticeMessageID(n.ID) + "@" + f.from.Domain, nil
}

// PreviewNotice makes the mail that a notice of a type would be with some data. Nothing is stored or sent.
func (c *NoticeComposer) PreviewNotice(ctx context.Context, t posthaste.NoticeType, r posthaste.Recipient, data json.RawMessage) (posthaste.Preview, error) {
	f, err := c.compile(t)
	if err != nil {
		return posthaste.Preview{}, err
	}
	if fields := f.check("/data", data, nil, r); len(fields) > 0 {
		return posthaste.Preview{}, posthaste.RefuseAll(fields)
	}
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	to, err := address.Parse(r.Email)
	if err != nil {
		return posthaste.Preview{}, err
	}
	built, rendered, err := c.build(f, noticeParts{to: to, recipient: r, data: data, messageID: "preview", date: time.Now()})
	return posthaste.Preview{Subject: rendered.Subject, HTML: string(rendered.HTML), Text: string(rendered.Text), Source: string(built)}, err
}
