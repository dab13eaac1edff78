package unsubscribe

import (
	"context"

	"posthaste"
)

// Store is what the package needs of the database. Its methods say in
// internal/store what each guarantees.
type Store interface {
	OptOut(ctx context.Context, o posthaste.OptOut) (added int64, err error)
	ListSending(ctx context.Context, o posthaste.OptOut) (workers []string, err error)
	LiftStopAll(ctx context.Context, recipientID int64) error
	RecordConsents(ctx context.Context, entries []posthaste.Consent) error
	FindPreferences(ctx context.Context, recipientID int64) (posthaste.Preferences, error)
	ListTopics(ctx context.Context) ([]posthaste.Topic, error)
	Names
}

// Names are how what a recipient can opt out of is called.
type Names interface {
	FindTopicByID(ctx context.Context, id int64) (posthaste.Topic, error)
	FindNoticeTypeByID(ctx context.Context, id int64) (posthaste.NoticeType, error)
}

// Workers tells a worker of an opt-out and waits until it has understood.
type Workers interface {
	TellOptOut(ctx context.Context, worker string, o posthaste.OptOut) error
}
