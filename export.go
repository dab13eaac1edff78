package posthaste

import "time"

// Export is all that is held about one person, as that person gets it (GDPR
// Art. 15 and 20). It holds nothing of anybody else and no link that works.
type Export struct {
	MadeAt       time.Time           `json:"made_at"`
	Person       ExportPerson        `json:"person"`
	Consents     []ExportConsent     `json:"consents"`
	SignUps      []ExportSignUp      `json:"sign_ups"`
	Suppressions []ExportSuppression `json:"suppressions"`
	Mailings     []ExportMailing     `json:"mailings"`
	Notices      []ExportNotice      `json:"notices"`
	Hits         []ExportHit         `json:"hits"`
	Decisions    []ExportDecision    `json:"automated_decisions"`
	Requests     []ExportRequest     `json:"requests"`
	Log          []ExportLogEntry    `json:"log"`
	Receivers    []string            `json:"receivers"` // who else gets any of it, and what
}

// ExportPerson is the record of the recipient.
type ExportPerson struct {
	ID         int64             `json:"id"`
	Email      string            `json:"email"`
	Name       string            `json:"name"`
	Locale     string            `json:"locale"`
	TimeZone   string            `json:"time_zone"`
	Attributes map[string]string `json:"attributes"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

// ExportConsent is one decision, with the words that it was about.
type ExportConsent struct {
	At       time.Time `json:"at"`
	Purpose  Purpose   `json:"purpose"`
	Name     string    `json:"name,omitempty"` // of the topic or notice type
	Decision Decision  `json:"decision"`
	Channel  Channel   `json:"channel"`
	Source   string    `json:"source,omitempty"`
	Wording  string    `json:"wording,omitempty"`
	Language string    `json:"language,omitempty"`
	Policy   string    `json:"policy,omitempty"`
	Network  string    `json:"network,omitempty"`
	Actor    string    `json:"recorded_by,omitempty"`
}

// ExportSignUp is what was asked for in a form.
type ExportSignUp struct {
	RequestedAt      time.Time  `json:"requested_at"`
	ConfirmedAt      *time.Time `json:"confirmed_at"`
	Form             string     `json:"form"`
	Name             string     `json:"name,omitempty"`
	Language         string     `json:"language"`
	Wordings         []string   `json:"wordings"`
	Network          string     `json:"network,omitempty"`
	ConfirmedNetwork string     `json:"confirmed_network,omitempty"`
	MessageID        string     `json:"message_id,omitempty"`
}

// ExportSuppression keeps the address silent.
type ExportSuppression struct {
	At       time.Time `json:"at"`
	Scope    string    `json:"scope"` // "all", or the name of a topic or notice type
	Reason   Reason    `json:"reason"`
	Evidence string    `json:"evidence,omitempty"`
	Actor    string    `json:"recorded_by,omitempty"`
}

// ExportMailing is one mail of a campaign or announcement.
type ExportMailing struct {
	At       time.Time     `json:"at"`
	Campaign string        `json:"campaign"`
	Subject  string        `json:"subject,omitempty"` // as its author wrote it
	Topic    string        `json:"topic,omitempty"`
	State    DeliveryState `json:"state"`
	Attempts int           `json:"attempts"`
	Answer   string        `json:"server_answer,omitempty"`
	Measured []Purpose     `json:"measured"` // what its beacons told of the recipient, who had agreed to it
}

// ExportNotice is one notice.
type ExportNotice struct {
	At         time.Time         `json:"at"`
	Type       string            `json:"type"`
	Name       string            `json:"name,omitempty"`
	Locale     string            `json:"locale,omitempty"`
	State      NoticeState       `json:"state"`
	Attempts   []ExportAttempt   `json:"attempts"`
	Data       map[string]any    `json:"data,omitempty"` // until the notice is final
	ExternalID string            `json:"external_id,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Actor      string            `json:"asked_for_by"`
}

// ExportAttempt is one try to hand a notice over.
type ExportAttempt struct {
	At     time.Time   `json:"at"`
	State  NoticeState `json:"state"`
	Answer string      `json:"server_answer,omitempty"`
}

// ExportHit is an open or a click.
type ExportHit struct {
	At       time.Time `json:"at"`
	Kind     HitKind   `json:"kind"`
	Campaign string    `json:"campaign"`
	Link     string    `json:"link,omitempty"`
	Network  string    `json:"network,omitempty"`
	Region   string    `json:"region,omitempty"`
	In2s     int       `json:"links_within_2s,omitempty"`  // links of the mail that were followed about that time
	In10s    int       `json:"links_within_10s,omitempty"` // as well
	Class    HitClass  `json:"class"`                      // what it was taken for
	Rule     string    `json:"rule"`                       // by which rule
	Agent    string    `json:"program,omitempty"`          // kind of program, as the rules call it
	Place    string    `json:"network_of,omitempty"`       // whose network it is, as the rules call it
}

// ExportDecision is what the program decided by itself: its rule and what it went by.
type ExportDecision struct {
	At       time.Time `json:"at"`
	Decision string    `json:"decision"`
	Rule     string    `json:"rule"`
	Input    string    `json:"input"`
	Reversal string    `json:"reversal"` // how a person reverses it
}

// ExportRequest is what the person asked for about these data.
type ExportRequest struct {
	At         time.Time    `json:"at"`
	Kind       RequestKind  `json:"kind"`
	Channel    Channel      `json:"channel"`
	State      RequestState `json:"state"`
	DueAt      time.Time    `json:"due_at"`
	EndedAt    *time.Time   `json:"ended_at"`
	Actor      string       `json:"recorded_by,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	NewAddress string       `json:"new_address,omitempty"` // that is to be confirmed
}

// ExportLogEntry is what the audit log says of an operation about the person.
type ExportLogEntry struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Reason  string    `json:"reason,omitempty"`
	Network string    `json:"network,omitempty"`
	Region  string    `json:"region,omitempty"`
}
