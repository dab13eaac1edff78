package mailer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"posthaste"
	"posthaste/mailer/message"
)

// Limits of a notice.
const (
	// filesLimit is the most bytes of all files of a call together.
	filesLimit = 10 << 20
	filesMost  = 50
	// longestValidity is the most time that a notice may be tried for.
	longestValidity = 14 * 24 * time.Hour
	// queueWait bounds the wait for the broker: what it does not take in time the
	// scheduler publishes, since the ledger has it.
	queueWait = 2 * time.Second
)

// NoticeIntake takes notices in, by whatever way they come. It is safe for concurrent use.
type NoticeIntake struct {
	ledger    Intake
	composer  *NoticeComposer
	publisher NoticePublisher
}

// NewNoticeIntake makes a NoticeIntake.
func NewNoticeIntake(ledger Intake, composer *NoticeComposer, publisher NoticePublisher) *NoticeIntake {
	return &NoticeIntake{ledger, composer, publisher}
}

// Accept checks a call against its type, stores it and queues its notices; once
// it returns they are in the ledger for good. The type is named by call.Type.Key
// and must allow call.Origin.Actor. What is wrong is an Invalid error by JSON pointers;
// of several recipients, those who cannot get theirs are Refused and the others do.
// A repetition is given back with its first answer.
func (i *NoticeIntake) Accept(ctx context.Context, call posthaste.NoticeCall, answer func(posthaste.NoticeCall) (json.RawMessage, error)) (posthaste.NoticeCall, error) {
	asked := call
	if err := i.check(ctx, &call); err != nil {
		if asked.Idempotency == "" {
			return call, err
		}
		// It may have been right when it was made for the first time.
		before, findErr := i.ledger.FindNoticeAnswer(ctx, asked)
		if findErr != nil || before.Repeated {
			return before, findErr
		}
		return call, err
	}
	call, err := i.ledger.AcceptNotices(ctx, call, answer)
	if err != nil || call.Repeated {
		return call, err
	}
	ids := make([]int64, len(call.Notices))
	for n, notice := range call.Notices {
		ids[n] = notice.ID
	}
	queueing, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	if err := i.publisher.PublishNotices(queueing, ids); err != nil {
		slog.Warn("notices wait for the scheduler to queue them", "call", call.ID, "error", err)
		taking, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueWait)
		defer cancel()
		if err := i.ledger.UnqueueNotices(taking, ids); err != nil { // else it finds out by itself, later
			slog.Warn("the scheduler was not told of notices to queue", "call", call.ID, "error", err)
		}
	}
	return call, nil
}

// check completes the call with its type and sorts out what cannot go.
func (i *NoticeIntake) check(ctx context.Context, call *posthaste.NoticeCall) error {
	id, version, err := i.ledger.FindNoticeVersion(ctx, call.Type.Key)
	if errors.Is(err, posthaste.NotFound) {
		return posthaste.Refuse("/type", "is no notice type; GET /api/v1/notice-types lists them")
	}
	if err != nil {
		return err
	}
	form, err := i.composer.form(ctx, id, version)
	if err != nil {
		return err
	}
	t := form.NoticeType
	if len(t.Keys) > 0 && !slices.Contains(t.Keys, call.Origin.Actor) {
		return &posthaste.Error{Kind: posthaste.Forbidden, Message: "this key may not send notices of this type", Fields: []posthaste.Field{{Name: "/type", Reason: "does not allow this key"}}}
	}
	call.Type = t
	faults := append(checkValidity(call), checkFiles(call.Files)...)
	faults = append(faults, form.sort(call)...)
	return posthaste.RefuseAll(faults)
}

func checkValidity(call *posthaste.NoticeCall) []posthaste.Field {
	now := time.Now()
	switch {
	case call.ValidUntil.IsZero():
		call.ValidUntil = now.Add(call.Type.Validity).Truncate(time.Microsecond)
	case !call.ValidUntil.After(now):
		return []posthaste.Field{{Name: "/valid_until", Reason: "is past"}}
	case call.ValidUntil.After(now.Add(longestValidity)):
		return []posthaste.Field{{Name: "/valid_until", Reason: fmt.Sprintf("must be within %d days", longestValidity/(24*time.Hour))}}
	}
	return nil
}

// sort refuses notices one by one if there are several; the fault of a single
// one, or of what all have in common, is given back.
func (f *noticeForm) sort(call *posthaste.NoticeCall) []posthaste.Field {
	several := len(call.Notices)+len(call.Refused) > 1
	shared := false
	good := call.Notices[:0]
	first := map[string]int{}
	for _, n := range call.Notices {
		at := fmt.Sprintf("/to/%d", n.Index)
		if !several {
			at = "/to"
		}
		r := posthaste.Recipient{Email: n.Email, Name: n.Name, Locale: n.Locale}
		var fields []posthaste.Field
		earlier, twice := first[n.Canonical]
		switch {
		case twice:
			fields = []posthaste.Field{{Name: at + "/email", Reason: fmt.Sprintf("is the same address as /to/%d", earlier)}}
		case len(n.Data) > 0:
			fields = f.check(at+"/data", call.Data, n.Data, r)
		case !shared:
			if fields := f.check("/data", call.Data, nil, r); len(fields) > 0 {
				return fields // it is so for all of them
			}
			shared = true
		}
		if len(fields) > 0 {
			if !several {
				return fields
			}
			call.Refused = append(call.Refused, posthaste.NoticeRefusal{Index: n.Index, Fields: fields})
			continue
		}
		first[n.Canonical] = n.Index
		good = append(good, n)
	}
	call.Notices = good
	if len(good) > 0 {
		return nil
	}
	var all []posthaste.Field
	for _, r := range call.Refused {
		all = append(all, r.Fields...)
	}
	return all
}

// refusedFiles are the names that mailbox providers refuse, since they can be run.
var refusedFiles = []string{".ade", ".adp", ".apk", ".appx", ".bat", ".cab", ".chm", ".cmd", ".com", ".cpl", ".dll", ".dmg", ".ex", ".exe", ".hta", ".html", ".htm", ".ins", ".iso",
	".isp", ".jar", ".js", ".jse", ".lib", ".lnk", ".mde", ".msc", ".msi", ".msp", ".mst", ".pif", ".ps1", ".scr", ".sct", ".shb", ".svg", ".sys", ".vb", ".vbe", ".vbs", ".vxd", ".wsc", ".wsf", ".wsh", ".xll"}

// images are the types that an image in the text may have.
var images = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

func checkFiles(files []posthaste.NoticeFile) (fields []posthaste.Field) {
	total := 0
	ids := map[string]bool{}
	for i, f := range files {
		at := fmt.Sprintf("/attachments/%d", i)
		total += len(f.Content)
		name := strings.ToLower(strings.TrimRight(f.Name, ". "))
		switch {
		case slices.ContainsFunc(refusedFiles, func(end string) bool { return strings.HasSuffix(name, end) }):
			fields = append(fields, posthaste.Field{Name: at + "/name", Reason: "is of a kind that mailbox providers refuse"})
		case f.ContentID != "" && !slices.Contains(images, strings.ToLower(f.ContentType)):
			fields = append(fields, posthaste.Field{Name: at + "/content_type", Reason: "of an image in the text must be one of " + strings.Join(images, ", ")})
		case ids[f.ContentID]:
			fields = append(fields, posthaste.Field{Name: at + "/content_id", Reason: "is that of another file too"})
		case len(f.Content) == 0:
			fields = append(fields, posthaste.Field{Name: at + "/content", Reason: "is empty"})
		}
		ids[f.ContentID] = f.ContentID != ""
		for _, fault := range message.FileFaults(f) {
			fields = append(fields, posthaste.Field{Name: at + "/" + fault.Name, Reason: fault.Reason})
		}
	}
	if len(files) > filesMost {
		fields = append(fields, posthaste.Field{Name: "/attachments", Reason: fmt.Sprintf("must be at most %d", filesMost)})
	}
	if total > filesLimit {
		fields = append(fields, posthaste.Field{Name: "/attachments", Reason: fmt.Sprintf("are %d bytes together; at most %d are possible", total, filesLimit)})
	}
	return fields
}
