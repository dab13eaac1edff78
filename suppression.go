package posthaste

import "time"

// Reason says why an address is suppressed. Each reason is a record of its
// own: lifting one leaves the others.
type Reason string

// The reasons.
const (
	OptedOut   Reason = "opted_out"   // the recipient said stop
	HardBounce Reason = "hard_bounce" // the address does not exist, says its own server
	Complaint  Reason = "complaint"   // the recipient reported a mail as unwanted
	Manual     Reason = "manual"      // an operator entered it
	Erased     Reason = "erased"      // the recipient had all data deleted; stops mailings, not notices
)

// Liftable reports whether an operator may lift the suppression. What a
// recipient said, only the recipient takes back.
func (r Reason) Liftable() bool { return r == HardBounce || r == Manual }

// AllTopics is the TopicID of a suppression that stops every mailing.
const AllTopics int64 = 0

// Suppression keeps an address silent. It holds no address, only a keyed hash
// of the canonical one, so that it outlives the recipient's data.
type Suppression struct {
	ID          int64
	AddressHash []byte
	KeyID       int64 // the line of the secret file that AddressHash rests on; 0: the first
	TopicID     int64 // AllTopics, the one topic it stops, or an optional notice type as one
	Reason      Reason
	Evidence    string // an SMTP reply, a ticket, the channel
	Actor       string
	CreatedAt   time.Time
}

// OptOut is a recipient's wish to hear no more of one topic or optional notice type, or of any.
type OptOut struct {
	RecipientID int64
	TopicID     int64 // AllTopics, one topic, or one optional notice type: see TypeAsTopic
	Channel     Channel
	Network     Network
	CampaignID  int64 // whose mail's link it was, by its Number; 0: no campaign's
	Number      int64
}

// Stops reports whether the opt-out concerns mailings of the topic, or notices of the type as one.
func (o OptOut) Stops(topicID int64) bool { return o.TopicID == AllTopics || o.TopicID == topicID }
