package main

import (
	"context"
	"strings"

	"posthaste"
	"posthaste/console"
	"posthaste/internal/bus"
	"posthaste/mailer"
	"posthaste/mailer/outbox"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
	"posthaste/unsubscribe"
)

// queue makes the bus's jobs the mailer's.
type queue struct{ jobs *bus.Jobs }

func (q queue) Next(ctx context.Context) (mailer.Job, error) {
	j, err := q.jobs.Next(ctx)
	if j == nil {
		return nil, err // a nil pointer in the interface would not be nil
	}
	return job{j}, err
}

// noticeQueue makes the bus's jobs of notices the mailer's.
type noticeQueue struct{ jobs *bus.NoticeJobs }

func (q noticeQueue) Next(ctx context.Context, most int) (mailer.NoticeJob, error) {
	j, err := q.jobs.Next(ctx, most)
	if j == nil {
		return nil, err // as above
	}
	return noticeJob{j}, err
}

type noticeJob struct{ *bus.NoticeJob }

func (j noticeJob) IDs() []int64 { return j.NoticeJob.IDs }

type job struct{ *bus.Job }

func (j job) Chunk() posthaste.Chunk { return j.Job.Chunk }

// hop is where mail goes, and, when it goes to a folder, how the console looks into it.
type hop struct {
	dialer relay.Dialer
	outbox console.Outbox    // nil when mail really leaves
	files  unsubscribe.Files // as outbox
}

// openHop is the one place that tells the kinds of POSTHASTE_SMTP_URL apart.
func openHop(c config) (hop, error) {
	if dir, ok := c.outboxDir(); ok {
		folder, err := outbox.New(dir)
		if err != nil {
			return hop{}, err
		}
		return hop{folder, folderView{folder}, folder}, nil
	}
	if !strings.HasPrefix(c.SMTPURL, "smtp://") && !strings.HasPrefix(c.SMTPURL, "smtps://") {
		return hop{}, posthaste.Refuse("POSTHASTE_SMTP_URL", "must be smtp://host:port, smtps://host:port or outbox:PATH")
	}
	client, err := smtpclient.New(c.SMTPURL, smtpclient.Options{})
	return hop{dialer: client}, err
}

// folderView shows an outbox folder to the console.
type folderView struct{ *outbox.Folder }

func (f folderView) List(before string, limit int) ([]console.OutboxMessage, error) {
	entries, err := f.Folder.List(before, limit)
	if err != nil {
		return nil, err
	}
	messages := make([]console.OutboxMessage, len(entries))
	for i, e := range entries {
		messages[i] = console.OutboxMessage(e)
	}
	return messages, nil
}
