package posthaste

import (
	"encoding/json"
	"time"
)

// CampaignState is where a campaign stands. docs/states.md draws it.
type CampaignState string

// The states of a campaign, who sets each and what follows.
const (
	// Draft: being written; the only state in which it can be changed.
	Draft CampaignState = "draft"
	// Scheduled: set by an operator; the scheduler freezes it when it is due.
	Scheduled CampaignState = "scheduled"
	// Sending: set by the freeze; workers claim its deliveries.
	Sending CampaignState = "sending"
	// Paused: set by an operator; no delivery is claimed until it is resumed.
	Paused CampaignState = "paused"
	// Sent: set by the scheduler once nothing is queued, claimed or deferred.
	// Sending follows only when a person sends an uncertain delivery again.
	Sent CampaignState = "sent"
	// CampaignCancelled: set by an operator; what was not yet claimed never goes. Final.
	CampaignCancelled CampaignState = "cancelled"
)

// CampaignStates lists all of them.
var CampaignStates = []CampaignState{Draft, Scheduled, Sending, Paused, Sent, CampaignCancelled}

// CanBecome reports whether a campaign may go from s to next.
func (s CampaignState) CanBecome(next CampaignState) bool {
	switch s {
	case Draft:
		return next == Scheduled || next == CampaignCancelled
	case Scheduled:
		return next == Draft || next == Sending || next == CampaignCancelled
	case Sending:
		return next == Paused || next == Sent || next == CampaignCancelled
	case Paused:
		return next == Sending || next == CampaignCancelled
	case Sent:
		return next == Sending // a person sends an uncertain delivery again
	}
	return false
}

// Format is the language of a campaign's body.
type Format string

// The formats.
const (
	Markdown Format = "markdown"
	HTML     Format = "html"
)

// TrackingMode says what a beacon kind may tell.
type TrackingMode string

// The modes.
const (
	// TrackNone: no pixel, direct links, for everybody.
	TrackNone TrackingMode = "none"
	// TrackTotals: one pixel and one redirect for all, which name nobody, for those
	// whose ledger does not say Withdrawn; only how often is counted.
	TrackTotals TrackingMode = "totals"
	// TrackIndividual: per person, only for those whose ledger says Given.
	TrackIndividual TrackingMode = "individual"
)

// TrackingModes lists all of them.
var TrackingModes = []TrackingMode{TrackNone, TrackTotals, TrackIndividual}

// Tracking is a campaign's wish; each recipient's consent still decides.
type Tracking struct {
	Opens  TrackingMode `json:"opens"`
	Clicks TrackingMode `json:"clicks"`
}

// Individual reports whether anything is counted per person.
func (t Tracking) Individual() bool { return t.Opens == TrackIndividual || t.Clicks == TrackIndividual }

// Segment is a part of the recipients on file; the zero one is everybody.
type Segment struct {
	TopicID    int64             `json:"topic_id,omitempty"`   // those who consented to it
	Attributes map[string]string `json:"attributes,omitempty"` // those who have each of them
	Locales    []string          `json:"locales,omitempty"`    // those whose locale is one of them, or more precise: "de" takes in "de-CH"
}

// Announcement is what makes a campaign a notice to everybody, or to a segment:
// a notice type takes the place of topic, content and consent.
type Announcement struct {
	TypeVersion int64 // of the type that the TopicID stands for
	Kind        NoticeKind
	Data        json.RawMessage
	Segment     Segment
	Pace        int64  // the most mails per hour; 0: no limit
	Actor       string // who ordered it
	Idempotency string // of the order, or empty; with the key's id before it
	BodyHash    []byte
}

// IsAnnouncement reports whether the campaign is a notice to many.
func (c Campaign) IsAnnouncement() bool { return c.TopicID < 0 }

// Word is what a campaign is called: an announcement, if it is one.
func (c Campaign) Word() string {
	if c.IsAnnouncement() {
		return "announcement"
	}
	return "campaign"
}

// Campaign is one mailing to the recipients of one topic, or an announcement.
type Campaign struct {
	ID           int64
	Name         string // for operators
	TopicID      int64  // of an announcement, its type as a topic
	Announcement Announcement
	From         string // RFC 5322 mailbox: "News <news@example.com>"
	ReplyTo      string // mailbox, or empty
	Subject      string // template
	Preheader    string // template: what a mailbox shows after the subject
	Format       Format
	Body         string // template
	Layout       string
	Tracking     Tracking
	State        CampaignState
	SendAt       time.Time // zero while a draft
	TimeZone     string    // the IANA zone in which SendAt was chosen
	Audience     int64     // number of deliveries; 0 before the freeze
	Version      int64     // grows with each change, for conflict checks and caches
	CreatedAt    time.Time
	UpdatedAt    time.Time
	FrozenAt     time.Time
	SendingSince time.Time // the freeze or the last resume: the clock of retries
	EndedAt      time.Time
}

// Counts is the ledger of one campaign at one moment.
type Counts struct {
	Audience   int64 `json:"audience"`
	Queued     int64 `json:"queued"`
	Claimed    int64 `json:"claimed"`
	Accepted   int64 `json:"accepted"`
	Deferred   int64 `json:"deferred"`
	Bounced    int64 `json:"bounced"`
	Failed     int64 `json:"failed"`
	Suppressed int64 `json:"suppressed"`
	Uncertain  int64 `json:"uncertain"`
	Cancelled  int64 `json:"cancelled"`
}

// AddsUp reports whether every delivery of the audience stands in exactly one column.
func (c Counts) AddsUp() bool { return c.Audience == c.sum() }

// Open is the number of deliveries that may still change by themselves.
func (c Counts) Open() int64 { return c.Queued + c.Claimed + c.Deferred }

func (c Counts) sum() int64 {
	return c.Queued + c.Claimed + c.Accepted + c.Deferred + c.Bounced + c.Failed + c.Suppressed + c.Uncertain + c.Cancelled
}

// Column gives the count of a state; of a name that is none, the audience.
func (c *Counts) Column(s DeliveryState) *int64 {
	switch s {
	case Queued:
		return &c.Queued
	case Claimed:
		return &c.Claimed
	case Accepted:
		return &c.Accepted
	case Deferred:
		return &c.Deferred
	case Bounced:
		return &c.Bounced
	case Failed:
		return &c.Failed
	case Suppressed:
		return &c.Suppressed
	case Uncertain:
		return &c.Uncertain
	case Cancelled:
		return &c.Cancelled
	}
	return &c.Audience
}

// Preview is a campaign's mail as one recipient would get it.
type Preview struct {
	Subject string `json:"subject"`
	HTML    string `json:"html"`
	Text    string `json:"text"`
	Source  string `json:"source"` // the whole message, as it would go over the wire
}
