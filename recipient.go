// Package posthaste holds the words of the domain: recipients and their
// consents, topics, campaigns, deliveries and their states, hits, and the kinds
// of error. It knows no SQL, HTTP, NATS or SMTP, starts no goroutine, and
// imports the standard library only, so every other package may import it.
package posthaste

import (
	"maps"
	"slices"
	"time"
)

// Recipient is a person, at one address. All its texts are UTF-8 without NUL.
type Recipient struct {
	ID         int64
	Email      string // the form that is sent to: local part as given, domain in lower-case A-labels
	Name       string
	Locale     string // BCP 47, or empty
	TimeZone   string // IANA, or empty
	Attributes map[string]string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Differs names the fields in which two records of a recipient are not the same.
func (r Recipient) Differs(from Recipient) (fields []string) {
	for name, differs := range map[string]bool{"email": r.Email != from.Email, "name": r.Name != from.Name, "locale": r.Locale != from.Locale,
		"time_zone": r.TimeZone != from.TimeZone, "attributes": !maps.Equal(r.Attributes, from.Attributes)} {
		if differs {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

// AttributesMost is how many attributes one recipient can have.
const AttributesMost = 100

// Correction is what is to be put right in the record of a recipient; nil fields stay.
type Correction struct {
	Name, Locale, TimeZone *string
	Attributes             map[string]*string // nil removes one; others stay
}

// Correct gives the record as it should be.
func (r Recipient) Correct(c Correction) Recipient {
	for field, said := range map[*string]*string{&r.Name: c.Name, &r.Locale: c.Locale, &r.TimeZone: c.TimeZone} {
		if said != nil {
			*field = *said
		}
	}
	r.Attributes = maps.Clone(r.Attributes)
	for name, value := range c.Attributes {
		if value == nil {
			delete(r.Attributes, name)
			continue
		}
		if r.Attributes == nil {
			r.Attributes = map[string]string{}
		}
		r.Attributes[name] = *value
	}
	return r
}

// Topic is what a recipient chooses to read about; every campaign has exactly one.
type Topic struct {
	ID        int64
	Key       string // stable, lower case: it stands in List-Id
	Name      string // shown to recipients
	CreatedAt time.Time
}
