// Package journal remembers, on a worker's own disk, which deliveries it had
// begun and what came of them, from the moment before MAIL FROM until the
// outcome is recorded in the ledger. When a worker is killed and a process
// starts again in the same place, only what had begun and was not answered is
// uncertain, instead of all that its windows covered.
//
// It is written without waiting for the disk: that is enough for a process that
// is killed, and not for a machine that loses its power. So a journal counts
// only within the boot of the machine in which it was written, and only where a
// boot can be told (Linux). Without a journal, or with one that cannot be
// read, the window decides; the journal only ever narrows what is uncertain.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"posthaste"
)

// bootFile tells one boot of a Linux machine from another.
const bootFile = "/proc/sys/kernel/random/boot_id"

// suffix ends the names of journals: WORKER.BOOT.LANE.journal.
const suffix = ".journal"

// entry is a line of a journal: a delivery that begins, or its outcome.
type entry struct {
	Chunk     *posthaste.Chunk        `json:"chunk,omitempty"` // of a beginning
	Number    int64                   `json:"n"`
	Recipient int64                   `json:"r,omitempty"`
	State     posthaste.DeliveryState `json:"state,omitempty"`
	RetryAt   int64                   `json:"retry,omitempty"` // Unix microseconds, as is At
	At        int64                   `json:"at,omitempty"`
	Reply     *posthaste.Reply        `json:"reply,omitempty"`
}

// Journal is one worker's. Its lanes are used by one goroutine each.
type Journal struct {
	lanes  []*Lane
	broken atomic.Bool // a line could not be written: nothing here counts any more
}

// Lane is the journal of one connection. The zero Lane keeps nothing.
type Lane struct {
	journal *Journal
	file    *os.File
	line    bytes.Buffer
}

// Open makes the journal of a worker with a number of lanes in a folder.
func Open(dir, worker string, lanes int) (*Journal, error) {
	boot, err := boot()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create journal folder: %w", err)
	}
	j := &Journal{}
	for n := range lanes {
		path := filepath.Join(dir, fmt.Sprintf("%s.%s.%d%s", worker, boot, n, suffix))
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
		if err != nil {
			j.Close()
			return nil, fmt.Errorf("create journal: %w", err)
		}
		j.lanes = append(j.lanes, &Lane{journal: j, file: file})
	}
	return j, nil
}

// boot is the id of this boot, of letters, digits and hyphens.
func boot() (string, error) {
	id, err := os.ReadFile(bootFile)
	if err != nil {
		return "", fmt.Errorf("tell this boot of the machine: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Lane gives the nth lane, from 0; one that keeps nothing on a nil Journal.
func (j *Journal) Lane(n int) *Lane {
	if j == nil {
		return &Lane{}
	}
	return j.lanes[n]
}

// Close removes the journal: everything in it is recorded.
func (j *Journal) Close() {
	if j == nil {
		return
	}
	for _, l := range j.lanes {
		_ = l.file.Close()           // nothing of it is needed
		_ = os.Remove(l.file.Name()) // one that stays says only what is recorded
	}
}

// Begin notes a delivery before its MAIL FROM.
func (l *Lane) Begin(chunk posthaste.Chunk, number, recipientID int64) {
	l.write(entry{Chunk: &chunk, Number: number, Recipient: recipientID})
}

// Answered notes the outcome of the delivery that began last.
func (l *Lane) Answered(o posthaste.Outcome) {
	l.write(entry{Number: o.Number, Recipient: o.RecipientID, State: o.State, RetryAt: micros(o.RetryAt), At: micros(o.At), Reply: &o.Reply})
}

// Clear forgets what is noted, since it is recorded.
func (l *Lane) Clear() {
	if l.file == nil || l.journal.broken.Load() {
		return
	}
	if err := l.file.Truncate(0); err != nil {
		l.abandon()
	}
}

func (l *Lane) write(e entry) {
	if l.file == nil || l.journal.broken.Load() {
		return
	}
	l.line.Reset()
	err := json.NewEncoder(&l.line).Encode(e)
	if err == nil {
		_, err = l.file.Write(l.line.Bytes())
	}
	if err != nil {
		l.abandon()
	}
}

// abandon removes the whole journal: one with a gap would call a mail unsent that was sent.
func (l *Lane) abandon() {
	l.journal.broken.Store(true)
	for _, lane := range l.journal.lanes {
		_ = os.Remove(lane.file.Name())
	}
}

// Lost is what a worker was doing when it was lost.
type Lost struct {
	Worker   string
	Outcomes map[posthaste.Chunk][]posthaste.Outcome // those under way are Uncertain
	paths    []string
}

// Forget removes the journal once the ledger has what it says.
func (l Lost) Forget() error {
	var err error
	for _, path := range l.paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// Find gives the journals in a folder of the workers that gone says are gone.
// Those of an earlier boot are removed: they do not count.
func Find(dir string, gone func(worker string) bool) ([]Lost, error) {
	now, err := boot()
	if err != nil {
		return nil, nil //nolint:nilerr // there are no journals where no boot can be told
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	byWorker := map[string][]string{}
	for _, path := range paths {
		worker, then, ok := parseName(filepath.Base(path))
		switch {
		case !ok:
		case then != now:
			err = errors.Join(err, os.Remove(path))
		case gone(worker):
			byWorker[worker] = append(byWorker[worker], path)
		}
	}
	var found []Lost
	for worker, paths := range byWorker {
		lost := Lost{Worker: worker, Outcomes: map[posthaste.Chunk][]posthaste.Outcome{}, paths: paths}
		if readErr := lost.read(); readErr != nil {
			err = errors.Join(err, readErr, lost.Forget()) // the window decides
			continue
		}
		found = append(found, lost)
	}
	return found, err
}

func parseName(name string) (worker, boot string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, suffix), ".")
	if len(parts) != 3 {
		return "", "", false
	}
	return parts[0], parts[1], true
}

func (l *Lost) read() error {
	for _, path := range l.paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		if err := l.readLane(text); err != nil {
			return fmt.Errorf("read journal %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// errGap is a journal whose lines do not follow from each other.
var errGap = errors.New("an outcome without its beginning")

// readLane reads one lane: of each delivery its beginning, then its outcome,
// but for the last, which may have none.
func (l *Lost) readLane(text []byte) error {
	var chunk posthaste.Chunk
	var begun *entry
	end := func(o posthaste.Outcome) { l.Outcomes[chunk] = append(l.Outcomes[chunk], o); begun = nil }
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		switch {
		case e.Chunk != nil:
			if begun != nil { // tried again over a new connection
				if begun.Number != e.Number {
					return errGap
				}
			}
			chunk, begun = *e.Chunk, &e
		case begun == nil || begun.Number != e.Number || e.Reply == nil:
			return errGap
		default:
			end(posthaste.Outcome{Number: e.Number, RecipientID: e.Recipient, State: e.State, RetryAt: instant(e.RetryAt), At: instant(e.At), Reply: *e.Reply})
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if begun != nil {
		end(posthaste.Outcome{Number: begun.Number, RecipientID: begun.Recipient, State: posthaste.Uncertain, At: time.Now(),
			Reply: posthaste.Reply{Text: "the worker was lost while it was sending this"}})
	}
	return nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
