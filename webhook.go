package posthaste

import (
	"encoding/json"
	"time"
)

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
	AnnouncementWasSent EventName = "announcement.sent"
)

// EventNames lists all of them.
var EventNames = []EventName{NoticeWasAccepted, NoticeWasDeferred, NoticeHasBounced, NoticeHasFailed, NoticeWasSuppressed, NoticeHasExpired, CampaignWasSent, AnnouncementWasSent}

// Webhook is an address of another system that is told of events.
type Webhook struct {
	ID         int64
	URL        string // https
	Events     []EventName
	Generation int64     // of the secret, from 1: grows with each rotation
	Secret     []byte    // signs; 24 to 64 bytes
	OldSecret  []byte    // signs too until OldUntil, for the time of a rotation
	OldUntil   time.Time // zero: there is no old one
	DisabledAt time.Time // zero: it is told; by an operator
	CreatedAt  time.Time
}

// EventOf is the event of a notice's coming to a state; empty when there is none.
func EventOf(s NoticeState) EventName {
	switch s {
	case NoticeAccepted:
		return NoticeWasAccepted
	case NoticeDeferred:
		return NoticeWasDeferred
	case NoticeBounced:
		return NoticeHasBounced
	case NoticeFailed:
		return NoticeHasFailed
	case NoticeSuppressed:
		return NoticeWasSuppressed
	case NoticeExpired:
		return NoticeHasExpired
	}
	return ""
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
	Data      json.RawMessage // of the event
	Body      []byte          // JSON: the event with its name and time, as it is posted
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
