package posthaste

import "time"

// DeliveryState is where one message to one recipient stands. docs/states.md draws it.
type DeliveryState string

// The states of a delivery, who sets each and what follows.
const (
	// Queued: set by the freeze, or by the scheduler when a retry is due.
	Queued DeliveryState = "queued"
	// Claimed: a worker's open window covers it. It is not written on the
	// delivery: a queued delivery inside an open window is claimed.
	Claimed DeliveryState = "claimed"
	// Accepted: the next hop answered 250 to the final dot. Final.
	Accepted DeliveryState = "accepted"
	// Deferred: a transient failure; queued again at RetryAt.
	Deferred DeliveryState = "deferred"
	// Bounced: the next hop said the address does not exist. Final; the address is suppressed.
	Bounced DeliveryState = "bounced"
	// Failed: given up for any other reason. Final.
	Failed DeliveryState = "failed"
	// Suppressed: no consent, or an opt-out, before it was handed over. Final.
	Suppressed DeliveryState = "suppressed"
	// Uncertain: handed over, no answer known. Never sent again by itself; a person resolves it.
	Uncertain DeliveryState = "uncertain"
	// Cancelled: the campaign was cancelled before it was claimed. Final.
	Cancelled DeliveryState = "cancelled"
)

// DeliveryStates lists all of them, in the order of the ledger.
var DeliveryStates = []DeliveryState{
	Queued, Claimed, Accepted, Deferred, Bounced, Failed, Suppressed, Uncertain, Cancelled,
}

// CanBecome reports whether a delivery may go from s to next.
func (s DeliveryState) CanBecome(next DeliveryState) bool {
	switch s {
	case Queued:
		return next == Claimed || next == Suppressed || next == Cancelled || next == Failed
	case Claimed:
		return next != Claimed // Queued: handed back before MAIL FROM
	case Deferred:
		return next == Queued || next == Cancelled || next == Failed
	case Uncertain:
		return next == Queued || next == Accepted || next == Failed
	}
	return false
}

// Final reports whether the state changes no more, by itself or by a person.
func (s DeliveryState) Final() bool {
	for _, next := range DeliveryStates {
		if s.CanBecome(next) {
			return false
		}
	}
	return true
}

// Delivery is one message to one recipient, as the ledger has it.
type Delivery struct {
	CampaignID  int64
	Number      int64 // 1..Audience
	RecipientID int64
	Email       string // of the recipient, as far as there still is one
	State       DeliveryState
	Attempts    int
	RetryAt     time.Time // when Deferred
	Reply       Reply     // of the last attempt
	ChangedAt   time.Time
}

// Stage is the step of the SMTP dialogue that gave the last answer.
type Stage string

// The stages.
const (
	AtConnect Stage = "connect" // TCP, TLS, greeting, EHLO or AUTH: says nothing about the recipient
	AtMail    Stage = "mail"
	AtRcpt    Stage = "rcpt"
	AtData    Stage = "data" // the DATA command, before the first byte of the message
	AtDot     Stage = "dot"  // the message and its final dot
)

// Reply is what the next hop said, or what kept it from saying anything.
type Reply struct {
	Stage    Stage
	Code     int    // 0: no answer
	Enhanced string // RFC 3463, "5.1.1", or empty
	Text     string // of the answer, or the fault: never an address we hold
}

// Outcome is the result of one attempt, to be recorded.
type Outcome struct {
	Number      int64
	RecipientID int64
	State       DeliveryState
	RetryAt     time.Time // when Deferred
	Reply       Reply
	At          time.Time
	Measured    Measured // which beacons of its own the mail bore
}

// Measured is a set of beacons.
type Measured uint8

// The beacons that a mail can bear for its recipient alone.
const (
	MeasuredOpens Measured = 1 << iota
	MeasuredClicks
)

// Purposes lists what the beacons of the set are for.
func (m Measured) Purposes() []Purpose {
	purposes := []Purpose{}
	if m&MeasuredOpens != 0 {
		purposes = append(purposes, ForOpens)
	}
	if m&MeasuredClicks != 0 {
		purposes = append(purposes, ForClicks)
	}
	return purposes
}

// ChunkSize is the most deliveries of one queue message.
const ChunkSize = 500

// Chunk is a run of delivery numbers of one campaign: the unit of queueing.
type Chunk struct {
	CampaignID int64 `json:"campaign"`
	First      int64 `json:"first"`
	Last       int64 `json:"last"`
}

// Mail is a claimed delivery with all that rendering it needs.
type Mail struct {
	Number        int64
	Attempts      int // so far
	Recipient     Recipient
	Allowed       bool     // the ledger says Given for the topic, and nothing suppresses the address; of an announcement, see NoticeKind
	Opens, Clicks Decision // the recipient's, about each; empty: none
}
