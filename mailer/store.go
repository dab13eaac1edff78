package mailer

import (
	"context"
	"encoding/json"
	"time"

	"posthaste"
)

// Content gives what campaigns are composed of.
type Content interface {
	FindCampaign(ctx context.Context, id int64) (posthaste.Campaign, error)
	FindTopicByID(ctx context.Context, id int64) (posthaste.Topic, error)
	ListAttributes(ctx context.Context) ([]string, error)
	FindMail(ctx context.Context, topicID, recipientID int64) (posthaste.Mail, error)
}

// Ledger is what a worker reads and writes. Its methods say in internal/store
// what each guarantees.
type Ledger interface {
	TakeChunk(ctx context.Context, c posthaste.Chunk, worker string) (bool, error)
	Claim(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome, size int) ([]posthaste.Mail, error)
	Record(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error
	Release(ctx context.Context, c posthaste.Chunk, worker string, outcomes []posthaste.Outcome) error
	Beats
}

// Beats is how the ledger knows which workers live.
type Beats interface {
	Beat(ctx context.Context, worker string) error
	Leave(ctx context.Context, worker string) error
}

// NoticeLedger is what a notifier reads and writes. Its methods say in
// internal/store what each guarantees.
type NoticeLedger interface {
	ClaimNotices(ctx context.Context, ids []int64, worker string) ([]posthaste.NoticeMail, error)
	RecordNotices(ctx context.Context, worker string, outcomes []posthaste.NoticeOutcome) error
	Beats
}

// NoticeContent gives what notices are composed of.
type NoticeContent interface {
	FindNoticeTypeVersion(ctx context.Context, id, version int64) (posthaste.NoticeType, error)
	FindNoticeFiles(ctx context.Context, callID int64) ([]posthaste.NoticeFile, error)
}

// Intake is what taking notices in reads and writes.
type Intake interface {
	FindNoticeVersion(ctx context.Context, key string) (id, version int64, err error)
	FindNoticeAnswer(ctx context.Context, call posthaste.NoticeCall) (posthaste.NoticeCall, error)
	UnqueueNotices(ctx context.Context, ids []int64) error
	AcceptNotices(ctx context.Context, call posthaste.NoticeCall, answer func(posthaste.NoticeCall) (json.RawMessage, error)) (posthaste.NoticeCall, error)
}

// NoticeSchedule is what the scheduler of notices reads and writes.
type NoticeSchedule interface {
	QueueNotices(ctx context.Context, now time.Time, empty bool, limit int) ([]int64, error)
	UnqueueNotices(ctx context.Context, ids []int64) error
	ExpireNotices(ctx context.Context, now time.Time, limit int) (int64, error)
	ReleaseLostNotices(ctx context.Context, silence time.Duration) (int64, error)
	ForgetNotices(ctx context.Context, after int64, limit int) (next int64, err error)
}

// Schedule is what the scheduler reads and writes.
type Schedule interface {
	ListDueCampaigns(ctx context.Context, now time.Time) ([]int64, error)
	Freeze(ctx context.Context, campaignID int64) (posthaste.Campaign, error)
	QueueReady(ctx context.Context, now time.Time, limit int) ([]posthaste.Chunk, error)
	Unqueue(ctx context.Context, chunks []posthaste.Chunk) error
	ReleaseLost(ctx context.Context, silence time.Duration) (int64, error)
	Finish(ctx context.Context) ([]int64, error)
}

// Queue gives workers their jobs.
type Queue interface {
	// Next waits a few seconds for a job; nil without an error means none came.
	Next(ctx context.Context) (Job, error)
}

// Job is one queue message.
type Job interface {
	Chunk() posthaste.Chunk
	// KeepAlive keeps the message from being delivered again until stop is called.
	KeepAlive() (stop func())
	// Done removes the message, durably.
	Done(ctx context.Context) error
	// Return gives the message back to be taken by another.
	Return() error
}

// NoticeQueue gives notifiers their jobs.
type NoticeQueue interface {
	// Next waits a few seconds for a job, of up to so many messages; nil without an
	// error means none came.
	Next(ctx context.Context, most int) (NoticeJob, error)
}

// NoticeJob is a few messages of the notices' queue.
type NoticeJob interface {
	IDs() []int64
	KeepAlive() (stop func())
	Done() error
	Return() error
}

// NoticePublisher is where notices are queued.
type NoticePublisher interface {
	PublishNotices(ctx context.Context, ids []int64) error
	QueuedNotices(ctx context.Context) (uint64, error)
}

// Hearing is how a worker hears of opt-outs.
type Hearing interface {
	HearOptOuts(worker string, heard func(posthaste.OptOut)) (stop func(), err error)
}

// Signals are what a worker hears while it sends.
type Signals interface {
	Hearing
	WatchStates(ctx context.Context, heard func(campaignID int64, state posthaste.CampaignState)) error
	ServeTests(send func(campaignID, recipientID int64) (posthaste.Reply, error)) (stop func(), err error)
}

// Publisher is where the scheduler queues chunks and announces states.
type Publisher interface {
	PublishChunks(ctx context.Context, chunks []posthaste.Chunk) error
	AnnounceState(ctx context.Context, campaignID int64, state posthaste.CampaignState) error
}
