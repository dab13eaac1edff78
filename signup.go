package posthaste

import "time"

// Form is one version of a sign-up form. Versions are kept, since each sign-up
// says with which it was made.
type Form struct {
	ID          int64
	Version     int64
	Key         string // stable, lower case: it stands in the form's address
	Title       string
	Intro       string  // what one signs up for; may be empty
	Topics      []int64 // that can be chosen
	Measurement bool    // opens and clicks can be chosen too
	PolicyURL   string  // of the privacy policy, or empty
	Policy      string  // its version: "2026-11"
	Closed      bool    // it takes no more sign-ups
	Actor       string  // who saved this version
	CreatedAt   time.Time
}

// Choice is one thing that somebody ticked, with the words that stood beside it.
type Choice struct {
	Purpose Purpose `json:"purpose"`
	TopicID int64   `json:"topic_id"` // of ForTopic
	Wording string  `json:"wording"`
}

// SignUp is what somebody asked for in a form. It is consent only once the owner
// of the address confirmed it.
type SignUp struct {
	ID               int64
	Form             Form
	RecipientID      int64
	Email, Canonical string // while it is taken in
	Name             string
	Language         string // of the words
	Choices          []Choice
	Network          Network
	RequestedAt      time.Time
	MessageID        string // of the mail that asked to confirm it, without angle brackets
	ConfirmedAt      time.Time
	ConfirmedNetwork Network
}

// Evidence gives the words of a choice and where they stood.
func (u SignUp) Evidence(c Choice) Evidence {
	return Evidence{Source: "form:" + u.Form.Key, Wording: c.Wording, Language: u.Language, Policy: u.Form.Policy}
}

// UnconfirmedKept is for how long a sign-up waits to be confirmed; then it is removed.
const UnconfirmedKept = 14 * 24 * time.Hour
