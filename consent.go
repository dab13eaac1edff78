package posthaste

import "time"

// Purpose is what a recipient consents to. Each is asked and withdrawn on its own.
type Purpose string

// The purposes.
const (
	ForTopic  Purpose = "topic"  // mailings of one topic
	ForOpens  Purpose = "opens"  // counting that this person opens mails
	ForClicks Purpose = "clicks" // counting which links this person follows
	ForNotice Purpose = "notice" // notices of one optional type; the only one that holds without a row
)

// PurposeOf is the purpose of decisions about a TopicID: a topic, or the topic
// that an optional notice type is.
func PurposeOf(topicID int64) Purpose {
	if topicID < 0 {
		return ForNotice
	}
	return ForTopic
}

// Decision is what the recipient decided.
type Decision string

// The decisions. Without a row there is no consent.
const (
	Given     Decision = "given"
	Withdrawn Decision = "withdrawn"
)

// Channel is the way on which a decision reached us.
type Channel string

// The channels.
const (
	ByImport      Channel = "import"
	ByAPI         Channel = "api"
	ByOneClick    Channel = "one_click"   // RFC 8058 POST
	ByPage        Channel = "page"        // the button of the unsubscribe page
	ByPreferences Channel = "preferences" // the preference centre
	ByForm        Channel = "form"        // a sign-up form, confirmed by mail
	ByDesk        Channel = "desk"        // customer service
	ByUndo        Channel = "undo"        // taking back an opt-out of a moment ago
)

// Consent is one entry of the append-only consent ledger. The latest entry of
// a recipient, purpose and topic is the one that holds.
type Consent struct {
	ID          int64
	RecipientID int64
	Purpose     Purpose
	TopicID     int64 // 0 unless Purpose is ForTopic, or ForNotice: see TypeAsTopic
	Decision    Decision
	Channel     Channel
	Source      string // where it was given: a form's address, a file's name
	Wording     string // the exact words that were agreed to
	Language    string // BCP 47, of the words; empty if it is not known
	Policy      string // version of the privacy policy that stood beside them
	SignUpID    int64  // that it was confirmed by; 0: none
	Actor       string // the key or person that recorded it; empty for the recipient
	Network     Network
	At          time.Time
}

// Evidence says how consent was collected. Both texts are needed: an import
// cannot invent consent.
type Evidence struct {
	Source   string
	Wording  string
	Language string // of the words, or empty
	Policy   string // version of the privacy policy that stood beside them, or empty
}

// Preferences is what a recipient has chosen, as the preference centre shows it.
type Preferences struct {
	Recipient     Recipient
	Topics        []int64 // consented to and not opted out of
	Notices       []NoticeChoice
	Opens, Clicks bool
	StopAll       bool // no mail at all but mandatory notices, whatever else they say
}

// NoticeChoice is an optional notice type of which a recipient has had notices.
type NoticeChoice struct {
	TypeID int64
	Name   string
	Off    bool
}
