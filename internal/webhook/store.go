// Package webhook tells other systems of events: it signs each message, posts
// it to an address that an operator gave, and tries again for a day.
//
// Signatures follow Standard Webhooks 1.0 (standardwebhooks.com). A message
// comes at least once, in no promised order; its id is the same every time, so
// that a receiver can tell a repetition. Addresses of our own network are not
// called unless the operator allows them. The package keeps nothing itself.
package webhook

import (
	"context"
	"time"

	"posthaste"
)

// Store holds the messages that wait. It is safe for concurrent use.
type Store interface {
	// TakeWebhookMessages gives up to limit messages that are due, and makes each
	// due again at `again`, so that one taken by a process that dies comes again.
	// It gives none of a webhook that is disabled. Those due longest come first;
	// and when several webhooks have some they should take turns, so that one
	// with many does not keep the others waiting.
	TakeWebhookMessages(ctx context.Context, now, again time.Time, limit int) ([]posthaste.WebhookMessage, error)
	// RecordWebhook writes what became of messages, all or none. It passes over
	// ids that are gone, and can be repeated after an error.
	RecordWebhook(ctx context.Context, outcomes []posthaste.WebhookOutcome) error
}
