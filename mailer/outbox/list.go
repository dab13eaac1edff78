package outbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"posthaste"
)

const (
	fromField  = "X-Posthaste-Envelope-From: "
	toField    = "X-Posthaste-Envelope-To: "
	suffix     = ".eml"
	hourLayout = "2006010215"
	nameLayout = "20060102150405.000000"
	// headLimit is as much of a file as is read for its entry.
	headLimit = 64 << 10
)

// ids have the form that Folder.name gives them; nothing else is ever opened.
var ids = regexp.MustCompile(`^[0-9]{14}\.[0-9]{6}-[a-z0-9]{10}$`)

// Entry is one kept message, as a list shows it.
type Entry struct {
	ID      string
	From    string // envelope sender; empty for the null sender
	To      string // envelope recipient
	Subject string // decoded
	At      time.Time
	Size    int64 // bytes of the file
}

// List gives up to limit entries, newest first, of those older than the id
// before, or from the newest when it is empty.
func (f *Folder) List(before string, limit int) ([]Entry, error) {
	if before != "" && !ids.MatchString(before) {
		return nil, posthaste.Refuse("before", "is no id of a kept message")
	}
	hours, err := f.names(".", isHour)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, hour := range hours {
		if before != "" && hour > before[:len(hourLayout)] {
			continue
		}
		files, err := f.names(hour, func(e fs.DirEntry) bool {
			id, ok := strings.CutSuffix(e.Name(), suffix)
			return ok && ids.MatchString(id) && (before == "" || id < before)
		})
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if len(entries) >= limit {
				return entries, nil
			}
			entry, err := f.entry(hour, strings.TrimSuffix(file, suffix))
			if errors.Is(err, fs.ErrNotExist) { // removed by hand meanwhile
				continue
			}
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// Read gives a kept message as its file has it, with the two envelope fields
// in front. An id that names nothing gives posthaste.NotFound.
func (f *Folder) Read(id string) ([]byte, error) {
	notFound := &posthaste.Error{Kind: posthaste.NotFound, Message: "no such message is kept"}
	if !ids.MatchString(id) {
		return nil, notFound
	}
	message, err := f.root.ReadFile(id[:len(hourLayout)] + "/" + id + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound
	}
	if err != nil {
		return nil, fmt.Errorf("read kept message: %w", err)
	}
	return message, nil
}

// names gives what passes in a folder, newest first.
func (f *Folder) names(folder string, pass func(fs.DirEntry) bool) ([]string, error) {
	dir, err := f.root.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("list the outbox: %w", err)
	}
	defer dir.Close()
	found, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list the outbox: %w", err)
	}
	var names []string
	for _, e := range found {
		if pass(e) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// entry reads the head of a file.
func (f *Folder) entry(hour, id string) (Entry, error) {
	file, err := f.root.Open(hour + "/" + id + suffix)
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Entry{}, err
	}
	at, err := time.Parse(nameLayout, id[:len(nameLayout)])
	if err != nil { // the form of an id, but of no date
		at = info.ModTime().UTC()
	}
	entry := Entry{ID: id, At: at, Size: info.Size()}
	head := bufio.NewReader(io.LimitReader(file, headLimit))
	entry.From, entry.To = envelope(head, fromField), envelope(head, toField)
	if message, err := mail.ReadMessage(head); err == nil {
		entry.Subject = decode(message.Header.Get("Subject"))
	}
	return entry, nil
}

// envelope reads one of the two leading fields, which are never folded.
func envelope(head *bufio.Reader, field string) string {
	line, _ := head.ReadString('\n')
	value, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), field)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
}

// decode undoes RFC 2047; what it cannot read stays as it is.
func decode(subject string) string {
	plain, err := new(mime.WordDecoder).DecodeHeader(subject)
	if err != nil {
		return subject
	}
	return plain
}
