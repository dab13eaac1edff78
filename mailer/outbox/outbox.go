// Package outbox is a next hop that keeps every message as a file: the default
// of a new installation, which nothing leaves. It implements relay.Dialer and
// relay.Connection, and lists and reads what it keeps. It delivers nothing, and
// deletes nothing but the mails of somebody who is to be erased. A file is an RFC 5322 message; its first two header fields
// hold the SMTP envelope.
package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"posthaste"
	"posthaste/mailer/relay"
)

// Folder keeps messages below one directory, a folder per hour, so that none
// grows too long to list. It is safe for concurrent use, also by several
// processes.
type Folder struct {
	root *os.Root

	mu    sync.Mutex
	last  time.Time // of the newest name, so that names sort as they were given
	known string    // the hour whose folder is there
}

// New opens the folder, and makes it if it is missing.
func New(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the outbox: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	return &Folder{root: root}, nil
}

// Close frees the folder; what is in it stays.
func (f *Folder) Close() error { return f.root.Close() }

// Dial gives a connection to the folder. It fails when ctx has ended.
func (f *Folder) Dial(ctx context.Context) (relay.Connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, &relay.ConnectError{
			Reply: posthaste.Reply{Stage: posthaste.AtConnect, Text: "stopped by us"},
			Err:   fmt.Errorf("open the outbox: %w", err),
		}
	}
	return connection{f}, nil
}

type connection struct{ folder *Folder }

// Close does nothing: the folder stays open for others.
func (connection) Close() error { return nil }

// Send writes each message into a file of its own.
func (c connection) Send(ctx context.Context, s relay.Source) {
	for item := s.Next(); item != nil; item = s.Next() {
		item.HasBegun()
		answer := c.keep(ctx, s, item)
		s.Answered(answer)
		if answer.Lost {
			return
		}
	}
}

// keep writes one message. The file is there wholly or not at all: it is
// written under a temporary name first. It is not synced to disk.
func (c connection) keep(ctx context.Context, s relay.Source, item *relay.Item) relay.Answer {
	if strings.ContainsAny(item.From+item.To, "\r\n\x00") || item.To == "" {
		return relay.Answer{Reply: posthaste.Reply{
			Stage: posthaste.AtRcpt, Code: 553, Enhanced: "5.1.3", Text: "the envelope is not well formed",
		}}
	}
	if ctx.Err() != nil || !s.Permit() {
		return relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtMail, Text: "stopped by us"}, Lost: true}
	}
	id, err := c.folder.write(item)
	if errors.Is(err, fs.ErrNotExist) { // the hour's folder was removed by hand
		c.folder.forget()
		id, err = c.folder.write(item)
	}
	if err != nil {
		return relay.Answer{Reply: refusal(err)}
	}
	return relay.Answer{Reply: posthaste.Reply{
		Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "kept as " + id,
	}}
}

// refusal is what the next hop would say of a fault of the disk: 452
// insufficient system storage, or 451 local error (RFC 5321 section 4.2.3).
func refusal(err error) posthaste.Reply {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return posthaste.Reply{Stage: posthaste.AtDot, Code: 452, Enhanced: "4.3.1", Text: "the outbox's disk is full"}
	}
	return posthaste.Reply{Stage: posthaste.AtDot, Code: 451, Enhanced: "4.3.0", Text: "the outbox cannot be written: " + bare(err)}
}

// bare is an error without the path it names.
func bare(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err.Error()
	}
	if at, ok := errors.AsType[*os.LinkError](err); ok {
		return at.Err.Error()
	}
	return "unknown fault"
}

// write keeps one message and gives its id.
func (f *Folder) write(item *relay.Item) (id string, err error) {
	hour, name, err := f.name()
	if err != nil {
		return "", err
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s<%s>\r\n%s<%s>\r\n", fromField, item.From, toField, item.To)
	temporary := hour + "/" + name + ".tmp"
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = file.Write(head.Bytes())
	if err == nil {
		_, err = file.Write(item.Message)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = f.root.Rename(temporary, hour+"/"+name+suffix)
	}
	if err != nil {
		return "", errors.Join(err, f.root.Remove(temporary))
	}
	return name, nil
}

// forget makes the next message look for its folder anew.
func (f *Folder) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = ""
}

// name gives a new name and makes its folder. Names sort by time: within this
// process strictly, among processes as far as their clocks agree. The random
// end keeps names of several processes apart.
func (f *Folder) name() (hour, name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !now.After(f.last) {
		now = f.last.Add(time.Microsecond)
	}
	f.last = now
	hour = now.Format(hourLayout)
	if hour != f.known {
		if err := f.root.Mkdir(hour, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", "", err
		}
		f.known = hour
	}
	return hour, now.Format(nameLayout) + "-" + strings.ToLower(rand.Text()[:10]), nil
}
