package templates

import (
	_ "embed"
	"fmt"
	"strings"

	"posthaste"
	"posthaste/templates/language"
)

//go:embed notice.html
var noticeLayout string

// NoticeSource is what the author of a notice type writes.
type NoticeSource struct {
	Subject string // one line
	Body    string // not a whole document: the frame is around it
	Format  posthaste.Format
	Text    string // of the text part; empty: made from the body
}

// Data tells which names stand under "data".
type Data interface {
	Knows(path []string) bool
	Names() []string
}

// Notice is a compiled notice type. It is immutable and safe for concurrent use.
type Notice struct{ mail *Mail }

// NoticeValues are what one recipient's copy is made of.
type NoticeValues struct {
	Recipient     posthaste.Recipient // name, email and locale of it
	Data          map[string]any
	Name          string // of the type
	Reason        string // why it is sent: "you have an account with us"
	SenderName    string
	PostalAddress string
	Unsubscribe   string // of an optional type; else empty
	Preferences   string // as Unsubscribe
}

// CompileNotice makes a Notice of src, whose templates may use only what data
// knows, and recipient.name, recipient.email, recipient.locale, sender.name and
// sender.postal_address. It refuses what Compile refuses, and all that would make
// the notice a promotion or a beacon; the errors are as there.
func CompileNotice(src NoticeSource, data Data) (*Notice, error) {
	names := namesOf([]string{"recipient.name", "recipient.email", "recipient.locale", "sender.name", "sender.postal_address"})
	for _, name := range data.Names() {
		names.list = append(names.list, dataName+"."+name)
	}
	names.data = data.Knows
	c := &compiler{src: Source{Subject: src.Subject, Body: src.Body, Format: src.Format}, names: names, notice: true}
	if strings.TrimSpace(src.Text) != "" {
		c.written = &src.Text
		c.checkText(src.Text)
	}
	c.checkOffers("subject", src.Subject)
	c.checkOffers("body", src.Body)
	c.authored()
	if err := posthaste.RefuseAll(c.faults); err != nil {
		return nil, err
	}
	layout, err := c.layout()
	if err != nil {
		return nil, fmt.Errorf("parse layout of notices: %w", err)
	}
	mail, err := c.assemble(layout)
	if err != nil {
		return nil, err
	}
	return &Notice{mail}, nil
}

// checkText reads a text part by itself, so that its faults have its own places.
func (c *compiler) checkText(source string) {
	if len(source) > maxBody {
		c.refuse("text", "is %d bytes long; at most %d are possible", len(source), maxBody)
		return
	}
	_, err := language.Parse(source, c.names.options("text", language.Text))
	c.take(err)
	c.checkOffers("text", source)
	c.checkPlain("text", source)
}

// Render writes one recipient's copy to into, as Mail.Render does. A value that
// cannot stand in the subject is an Invalid error. Safe for concurrent use.
func (n *Notice) Render(into *Rendered, v *NoticeValues) error {
	subject, err := n.mail.subject.Append(nil, v.find)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(subject)) == "" {
		return posthaste.Refuse("subject", "is empty with these data")
	}
	into.Subject = string(subject)
	if into.HTML, err = n.mail.html.Append(into.HTML[:0], v.find); err != nil {
		return err
	}
	if into.Text, err = n.mail.text.Append(into.Text[:0], v.find); err != nil {
		return err
	}
	into.Text = closeGaps(into.Text)
	return nil
}

// find answers a name that CompileNotice let through.
func (v *NoticeValues) find(path []string) (any, bool) {
	switch strings.Join(path[:min(2, len(path))], ".") {
	case "recipient.name":
		return v.Recipient.Name, true
	case "recipient.email":
		return v.Recipient.Email, true
	case "recipient.locale":
		return v.Recipient.Locale, true
	case "sender.name":
		return v.SenderName, true
	case "sender.postal_address":
		return v.PostalAddress, true
	case "notice.name":
		return v.Name, true
	case "notice.reason":
		return v.Reason, true
	case "links.unsubscribe":
		return v.Unsubscribe, true
	case "links.preferences":
		return v.Preferences, true
	}
	if path[0] != dataName {
		return nil, false
	}
	var value any = v.Data
	for _, part := range path[1:] {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		value = object[part]
	}
	return value, value != nil
}
