package templates

import (
	"strconv"
	"strings"
	"sync"

	"posthaste"
)

// Values are what one recipient's copy is made of.
type Values struct {
	Recipient posthaste.Recipient
	Topic     string // its name
	Campaign  string // its name
	// SenderName and PostalAddress stand in the footer. The address must not be empty.
	SenderName    string
	PostalAddress string
	// Unsubscribe and Preferences are https URLs of this recipient. Unsubscribe must not be empty.
	Unsubscribe string
	Preferences string
	// Link gives the URL to write for Links()[n], n from 0. Nil: direct links.
	Link func(n int) string
	// Pixel is the URL of the open beacon. Empty: no pixel at all.
	Pixel string
}

// Rendered is one recipient's copy. It can be used again: Render truncates
// and appends.
type Rendered struct {
	Subject string
	HTML    []byte // a whole document
	Text    []byte // lines end with LF
}

// scope answers the names of one render.
type scope struct {
	mail   *Mail
	values *Values
	answer string // to which lookup's pointer leads, until it is next called
	buffer []byte
	gaps   gapCloser
	lookup func(path []string) (any, bool) // s.find, bound once
}

var scopes = sync.Pool{New: func() any {
	s := &scope{}
	s.lookup = s.find
	return s
}}

// Render writes one recipient's copy to into, which on error is of no use. A
// value that cannot stand in the subject (a line break, NUL), and values
// without an opt-out link or a postal address, are a *posthaste.Error of kind
// Invalid. It is safe for concurrent use with different into.
func (m *Mail) Render(into *Rendered, v *Values) error {
	return m.with(v, func(s *scope) (err error) {
		if s.buffer, err = m.subject.Append(s.buffer[:0], s.lookup); err != nil {
			return err
		}
		if into.Subject != string(s.buffer) {
			into.Subject = string(s.buffer)
		}
		if into.HTML, err = m.html.Append(into.HTML[:0], s.lookup); err != nil {
			return err
		}
		if into.Text, err = m.text.Append(into.Text[:0], s.lookup); err != nil {
			return err
		}
		into.Text = closeGaps(into.Text)
		return nil
	})
}

// with has a scope for one render.
func (m *Mail) with(v *Values, render func(*scope) error) error {
	if v.Unsubscribe == "" {
		return posthaste.Refuse("links.unsubscribe", "is empty; every mailing must have it")
	}
	if strings.TrimSpace(v.PostalAddress) == "" {
		return posthaste.Refuse("sender.postal_address", "is empty; every mailing must have it")
	}
	s := scopes.Get().(*scope)
	s.mail, s.values = m, v
	err := render(s)
	s.mail, s.values, s.answer, s.gaps.to = nil, nil, "", nil
	scopes.Put(s)
	return err
}

// find answers a name. Compile let only known names through, so that what is
// not found here is an attribute that this recipient has not.
func (s *scope) find(path []string) (any, bool) {
	v := s.values
	switch path[0] {
	case "recipient":
		if len(path) == 3 {
			s.answer = v.Recipient.Attributes[path[2]]
			return &s.answer, s.answer != ""
		}
		return s.recipient(path[1])
	case "topic":
		return &v.Topic, true
	case "campaign":
		return &v.Campaign, true
	case "sender":
		if path[1] == "name" {
			return &v.SenderName, true
		}
		return &v.PostalAddress, true
	case "links":
		return s.link(path)
	}
	return nil, false
}

func (s *scope) recipient(name string) (any, bool) {
	r := &s.values.Recipient
	switch name {
	case "name":
		return &r.Name, true
	case "email":
		return &r.Email, true
	case "locale":
		return &r.Locale, true
	case "time_zone":
		return &r.TimeZone, true
	}
	return nil, false
}

func (s *scope) link(path []string) (any, bool) {
	v := s.values
	switch path[1] {
	case "unsubscribe":
		return &v.Unsubscribe, true
	case "preferences":
		return &v.Preferences, true
	case "pixel":
		return &v.Pixel, true
	}
	n, err := strconv.Atoi(path[2])
	if err != nil {
		return nil, false
	}
	if v.Link == nil {
		return &s.mail.links[n], true
	}
	s.answer = v.Link(n)
	return &s.answer, true
}
