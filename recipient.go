// Package posthaste holds the words of the domain: recipients and their
// consents, topics, campaigns, deliveries and their states, hits, and the kinds
// of error. It knows no SQL, HTTP, NATS or SMTP, starts no goroutine, and
// imports the standard library only, so every other package may import it.
package posthaste

import "time"

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

// Topic is what a recipient chooses to read about; every campaign has exactly one.
type Topic struct {
	ID        int64
	Key       string // stable, lower case: it stands in List-Id
	Name      string // shown to recipients
	CreatedAt time.Time
}
