package posthaste

import "time"

// EventName is what a webhook can be told of.
type EventName string

// The events. None is about consent: what a recipient agreed to or took back
// leaves the house in no form.
const (
	NoticeWasAccepted   EventName = "notice.accepted"
	NoticeWasDeferred   EventName = "notice.deferred"
	NoticeHasBounced    EventName = "notice.bounced"
	NoticeHasFailed     EventName = "notice.failed"
	NoticeWasSuppressed EventName = "notice.suppressed"
	NoticeHasExpired    EventName = "notice.expired"
	CampaignWasSent     EventName = "campaign.sent"
)

// EventNames lists all of them.
var EventNames = []EventName{NoticeWasAccepted, NoticeWasDeferred, NoticeHasBounced, NoticeHasFailed, NoticeWasSuppressed, NoticeHasExpired, CampaignWasSent}

// Webhook is an address of another system that is told of events.
type Webhook struct {
	ID         int64
	URL        string // https
	Events     []EventName
	Secret     []byte    // signs; 24 to 64 bytes
	OldSecret  []byte    // signs too until OldUntil, for the time of a rotation
	OldUntil   time.Time // zero: there is no old one
	DisabledAt time.Time // zero: it is told; by an operator
	CreatedAt  time.Time
}

// WebhookState is where one message to one webhook stands.
type WebhookState string

// The states of a message to a webhook.
const (
	WebhookWaiting   WebhookState = "waiting"   // for its first or next attempt
	WebhookDelivered WebhookState = "delivered" // answered 2xx. Final
	WebhookDead      WebhookState = "dead"      // given up after a day of attempts; an operator may replay it
)

// WebhookMessage is one event on its way to one webhook.
type WebhookMessage struct {
	ID        int64
	Webhook   Webhook
	MessageID string // webhook-id: the same at every attempt and replay
	Event     EventName
	Body      []byte // JSON
	State     WebhookState
	Attempts  int
	CreatedAt time.Time
	SentSince time.Time // creation, or the last replay: the clock of retries
	DueAt     time.Time
	Status    int    // HTTP status of the last answer; 0: none
	Fault     string // why there was none, or it was no success
}

// WebhookOutcome is the result of one attempt, to be recorded.
type WebhookOutcome struct {
	ID     int64
	State  WebhookState
	DueAt  time.Time // when Waiting
	Status int
	Fault  string
}
