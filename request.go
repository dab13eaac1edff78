package posthaste

import "time"

// RequestKind is what somebody asks for about the data that are held of them.
type RequestKind string

// The kinds.
const (
	AccessRequest     RequestKind = "access"     // to see and take them: GDPR Art. 15 and 20
	ErasureRequest    RequestKind = "erasure"    // to have them deleted: GDPR Art. 17
	CorrectionRequest RequestKind = "correction" // to have another address: GDPR Art. 16
)

// RequestState is where a request stands.
type RequestState string

// The states of a request.
const (
	RequestOpen      RequestState = "open"      // a link is on its way to the mailbox, whose owner has not used it
	RequestDone      RequestState = "done"      // the data were shown, or corrected, or are deleted. Final.
	RequestExpired   RequestState = "expired"   // the link was not used in time, or before the address became another one. Final.
	RequestWithdrawn RequestState = "withdrawn" // the link could not be sent. Final.
	RequestNothing   RequestState = "nothing"   // nothing is held about the address. Final.
)

// RequestStates lists all of them.
var RequestStates = []RequestState{RequestOpen, RequestDone, RequestExpired, RequestWithdrawn, RequestNothing}

const (
	// RequestDue is within which time a request must be answered (GDPR Art. 12(3): one month).
	RequestDue = 30 * 24 * time.Hour
	// LinkKept is how long the link that a request sends works.
	LinkKept = 7 * 24 * time.Hour
)

// Request is one request about somebody's data. It outlives them, so it names
// the person by the keyed hash of the address alone.
type Request struct {
	ID          int64
	Kind        RequestKind
	RecipientID int64 // 0 once erased
	Channel     Channel
	Actor       string // the agent that recorded it; empty for the person
	Reason      string // a ticket
	State       RequestState
	CreatedAt   time.Time
	DueAt       time.Time
	EndedAt     time.Time
	Receipt     Receipt // of an erasure that is done
	NewAddress  string  // of a correction, while it is open
	Moved       bool    // the person has another address since: the link of this went to the one before
}

// LinkWorks reports whether the link of the request can be used at an instant.
// Whoever reads a mailbox that is not the person's any more uses none.
func (r Request) LinkWorks(now time.Time) bool {
	over := r.State == RequestExpired || r.State == RequestWithdrawn || r.Moved && r.Kind != CorrectionRequest
	return !over && now.Before(r.CreatedAt.Add(LinkKept))
}

// Receipt tells what an erasure removed, and what stays.
type Receipt struct {
	At      time.Time        `json:"at"`
	Removed map[string]int64 `json:"removed"` // rows by what they were: "consents"
	Kept    []string         `json:"kept"`    // names of what stays, of nobody: "suppression"
}
