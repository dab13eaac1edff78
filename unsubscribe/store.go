package unsubscribe

import (
	"context"

	"posthaste"
	"posthaste/templates/pages"
)

// Store is what the package needs of the database. Its methods say in
// internal/store what each guarantees.
type Store interface {
	Decisions
	Names
	SignUps
	Requests
	Holdings
	People
}

// Decisions are what recipients decide.
type Decisions interface {
	OptOut(ctx context.Context, o posthaste.OptOut) (added int64, err error)
	UndoOptOut(ctx context.Context, o posthaste.OptOut, suppressionID int64) error
	CountReason(ctx context.Context, topicID int64, reason string) error
	ListSending(ctx context.Context, o posthaste.OptOut) (workers []string, err error)
	LiftStopAll(ctx context.Context, recipientID int64) error
	RecordConsents(ctx context.Context, entries []posthaste.Consent) error
	FindPreferences(ctx context.Context, recipientID int64) (posthaste.Preferences, error)
}

// Names are how what a recipient can opt out of is called.
type Names interface {
	ListTopics(ctx context.Context) ([]posthaste.Topic, error)
	FindTopicByID(ctx context.Context, id int64) (posthaste.Topic, error)
	FindNoticeTypeByID(ctx context.Context, id int64) (posthaste.NoticeType, error)
}

// SignUps are what is asked for in forms.
type SignUps interface {
	FindForm(ctx context.Context, key string) (posthaste.Form, error)
	FindFormVersion(ctx context.Context, key string, version int64) (posthaste.Form, error)
	AddSignUp(ctx context.Context, u posthaste.SignUp) (_ posthaste.SignUp, allowed bool, err error)
	NoteConfirmationMail(ctx context.Context, id int64, messageID string) error
	FindSignUp(ctx context.Context, id int64) (posthaste.SignUp, error)
	ConfirmSignUp(ctx context.Context, id int64, from posthaste.Network) (posthaste.SignUp, error)
	WithdrawSignUp(ctx context.Context, id int64) error
}

// Requests are what people ask for about their data.
type Requests interface {
	AddRequest(ctx context.Context, canonical string, q posthaste.Request) (_ posthaste.Request, mail bool, err error)
	FindRequest(ctx context.Context, id int64) (posthaste.Request, error)
	EndRequest(ctx context.Context, id int64) error
	WithdrawRequest(ctx context.Context, id int64) error
	CorrectAddress(ctx context.Context, requestID int64) error
}

// Holdings are all that is held about people.
type Holdings interface {
	Export(ctx context.Context, recipientID int64, receivers []string) (posthaste.Export, error)
	SuppressErased(ctx context.Context, recipientID int64) error
	Erase(ctx context.Context, recipientID, requestID int64) (posthaste.Receipt, error)
	Audit(ctx context.Context, action, object string, details ...string) error
}

// People are the recipients.
type People interface {
	FindRecipient(ctx context.Context, id int64) (posthaste.Recipient, error)
	SetLocale(ctx context.Context, recipientID int64, locale string) error
}

// Workers tells a worker of an opt-out and waits until it has understood.
type Workers interface {
	TellOptOut(ctx context.Context, worker string, o posthaste.OptOut) error
}

// Courier has a mail sent that somebody asked for a moment before, as a notice
// of one of the program's own types, and gives its Message-ID without angle
// brackets. Once it returns the mail is in the ledger for good.
type Courier interface {
	Send(ctx context.Context, noticeType, email string, m pages.Mail) (messageID string, err error)
}

// Files are the mails that did not leave.
type Files interface {
	// Erase removes those to an address and gives how many they were.
	Erase(email string) (int, error)
}
