package posthaste

import (
	"encoding/json"
	"time"
)

// NoticeState is where one notice to one recipient stands. docs/states.md draws it.
type NoticeState string

// The states of a notice, who sets each and what follows.
const (
	// NoticeQueued: set when it is taken in, or by the scheduler when a retry is due or its worker was lost.
	NoticeQueued NoticeState = "queued"
	// NoticeClaimed: a worker is handing it over.
	NoticeClaimed NoticeState = "claimed"
	// NoticeAccepted: the next hop answered 250 to the final dot. Final.
	NoticeAccepted NoticeState = "accepted"
	// NoticeDeferred: a transient failure, or no answer to the final dot; tried again with the same Message-ID.
	NoticeDeferred NoticeState = "deferred"
	// NoticeBounced: the next hop said the address does not exist. Final; the address is suppressed.
	NoticeBounced NoticeState = "bounced"
	// NoticeFailed: refused for good for any other reason. Final.
	NoticeFailed NoticeState = "failed"
	// NoticeSuppressed: the address is suppressed, the recipient switched the type off or is erased. Final.
	NoticeSuppressed NoticeState = "suppressed"
	// NoticeExpired: its time ran out before the next hop took it; it is never sent. Final.
	NoticeExpired NoticeState = "expired"
)

// NoticeStates lists all of them.
var NoticeStates = []NoticeState{NoticeQueued, NoticeClaimed, NoticeAccepted, NoticeDeferred, NoticeBounced, NoticeFailed, NoticeSuppressed, NoticeExpired}

// CanBecome reports whether a notice may go from s to next.
func (s NoticeState) CanBecome(next NoticeState) bool {
	switch s {
	case NoticeQueued:
		return next == NoticeClaimed || next == NoticeExpired
	case NoticeClaimed:
		return next != NoticeClaimed // Queued: handed back, or its worker was lost
	case NoticeDeferred:
		return next == NoticeQueued || next == NoticeExpired
	}
	return false
}

// Final reports whether the state changes no more.
func (s NoticeState) Final() bool {
	return s != NoticeQueued && s != NoticeClaimed && s != NoticeDeferred
}

// AsGiven is the format of a notice type whose notices bring their own subject,
// text and HTML, in their data.
const AsGiven Format = "as_given"

// NoticeKind says what a recipient can do about the notices of a type.
type NoticeKind string

// The kinds.
const (
	// Necessary: part of what the recipient asked for, such as a receipt. Only
	// "stop all mail" and a suppression stop it.
	Necessary NoticeKind = "necessary"
	// Optional: the recipient can switch the type off, by a click in each notice.
	Optional NoticeKind = "optional"
	// Mandatory: law or safety demand it; nothing stops it, and each one that is
	// sent in spite of a suppression is audited with the type's reason.
	Mandatory NoticeKind = "mandatory"
)

// NoticeType is one version of what a kind of notice says and rests on.
type NoticeType struct {
	ID              int64
	Version         int64  // from 1; a notice keeps the one it was taken in with
	Key             string // stable, lower case: "password-reset"
	Name            string // shown to recipients
	Reason          string // the relationship it rests on, shown to recipients: "you have an account with us"
	Kind            NoticeKind
	MandatoryReason string // of a Mandatory one: what demands it
	From            string // RFC 5322 mailbox
	ReplyTo         string // mailbox, or empty
	Subject         string // template; empty AsGiven
	Format          Format
	Body            string          // template; empty AsGiven
	Text            string          // template of the text part; empty: made from the body
	Schema          json.RawMessage // JSON Schema (2020-12) of the data
	Validity        time.Duration   // how long a notice is tried unless it says otherwise
	Keys            []string        // names of the API keys that may send it; empty: all that may send notices
	Actor           string          // who saved this version
	CreatedAt       time.Time       // of this version
}

// TypeAsTopic gives the TopicID under which opt-outs of an optional notice type
// stand. It is negative, so that no topic has it and no mailing heeds it.
func TypeAsTopic(typeID int64) int64 { return -typeID }

// NoticeFile is an attachment, or with a ContentID an image that the HTML shows.
type NoticeFile struct {
	Name        string
	ContentType string
	ContentID   string // for cid: in the HTML; empty: an attachment
	Content     []byte
}

// NoticeCall is one call that asks for notices of one type, to one recipient or to many.
type NoticeCall struct {
	ID          int64
	Type        NoticeType
	KeyID       int64
	Origin      Origin // its Actor is the name of the key
	Idempotency string // the caller's key, or empty
	BodyHash    []byte // tells whether a repeated key has the same body
	Data        json.RawMessage
	ValidUntil  time.Time
	Files       []NoticeFile
	Notices     []Notice
	Refused     []NoticeRefusal // of several recipients, those who get none
	Answer      json.RawMessage // what the caller is told
	Repeated    bool            // it was taken in before, and Answer is that of then
}

// NoticeRefusal says why one of several recipients of a call gets no notice.
type NoticeRefusal struct {
	Index  int // in the call
	Fields []Field
}

// Notice is one notice to one recipient, as the ledger has it.
type Notice struct {
	Index       int // in its call, while it is taken in
	ID          int64
	CallID      int64
	TypeID      int64
	Type        string // key of the type
	TypeVersion int64
	RecipientID int64
	Email       string // of the recipient, as far as there still is one
	Canonical   string // when it is taken in
	Name        string // as the caller gave it
	Locale      string
	Data        json.RawMessage // put over the call's, field by field; gone when the notice is final
	ExternalID  string
	Metadata    map[string]string
	State       NoticeState
	Attempts    int
	DueAt       time.Time // of the next attempt, while it is Deferred
	ValidUntil  time.Time
	Reply       Reply // of the last attempt
	Actor       string
	CreatedAt   time.Time
	ChangedAt   time.Time
}

// Attempt is one try to hand a notice over.
type Attempt struct {
	State NoticeState // that it led to
	Reply Reply
	At    time.Time
}

// NoticeFilter narrows a list of notices; zero fields do not.
type NoticeFilter struct {
	Type       string
	State      NoticeState
	Canonical  string // of the recipient's address
	ExternalID string
	CallID     int64
}

// NoticeMail is a claimed notice with all that making its message needs.
type NoticeMail struct {
	Notice
	Recipient Recipient // ID 0 once erased
	CallData  json.RawMessage
	HasFiles  bool
	Stopped   []Reason // what suppresses the address or the type; a Mandatory one goes all the same
}

// NoticeOutcome is the result of one attempt, to be recorded.
type NoticeOutcome struct {
	ID      int64
	State   NoticeState
	RetryAt time.Time // when Deferred
	Reply   Reply
	Tried   bool     // something was said to the next hop
	Despite []Reason // what would have suppressed it, were its type not Mandatory
	Because string   // the type's MandatoryReason, for the audit log
	At      time.Time
}

// The notice types that the program sends by itself, in answer to what somebody
// has just asked for.
const (
	ConfirmNotice = "posthaste-confirm" // asks to confirm a sign-up
	DataNotice    = "posthaste-data"    // has a link to what is held about the recipient
)
