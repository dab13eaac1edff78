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
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
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
	Measured  posthaste.Measured      `json:"measured,omitempty"`
}

// Journal is one worker's. Its lanes are used by one goroutine each.
type Journal struct {
	lanes []*Lane
	state atomic.Int32
}

// The states of a journal.
const (
	keeping   int32 = iota
	abandoned       // a line could not be written and the journal is gone: the window decides
	stuck           // it could not even be removed: whatever begins now would be called unsent
)

// Lane is the journal of one connection. The zero Lane keeps nothing.
type Lane struct {
	journal *Journal
	file    *os.File
	lines   []byte // not written yet: outcomes, which wait for the next beginning
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
		if err := lock(file); err != nil {
			j.Close()
			return nil, fmt.Errorf("lock journal: %w", err)
		}
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
		_ = os.Remove(l.file.Name()) // one that stays says only what is recorded
		_ = l.file.Close()
	}
}

// Begin notes a delivery, before its message may go. It must not go when that
// is false: the disk keeps a journal that cannot be continued.
func (l *Lane) Begin(chunk posthaste.Chunk, number, recipientID int64) bool {
	if l.file == nil {
		return true
	}
	l.lines = append(l.lines, `{"chunk":{"campaign":`...)
	l.lines = strconv.AppendInt(l.lines, chunk.CampaignID, 10)
	l.field(`,"first":`, chunk.First)
	l.field(`,"last":`, chunk.Last)
	l.field(`},"n":`, number)
	l.field(`,"r":`, recipientID)
	l.lines = append(l.lines, "}\n"...)
	l.Flush()
	return l.journal.state.Load() != stuck
}

func (l *Lane) field(name string, value int64) {
	l.lines = strconv.AppendInt(append(l.lines, name...), value, 10)
}

// Answered notes the outcome of the delivery that began last; it is written
// with the next beginning, or by Flush. An outcome that is Queued says that it
// was not handed over after all.
func (l *Lane) Answered(o posthaste.Outcome) {
	if l.file == nil {
		return
	}
	line, err := json.Marshal(entry{Number: o.Number, Recipient: o.RecipientID, State: o.State, RetryAt: micros(o.RetryAt), At: micros(o.At), Reply: &o.Reply, Measured: o.Measured})
	if err != nil {
		l.abandon(err)
		return
	}
	l.lines = append(append(l.lines, line...), '\n')
}

// Clear forgets what is noted, since it is recorded.
func (l *Lane) Clear() {
	l.lines = l.lines[:0]
	if l.file == nil || l.journal.state.Load() != keeping {
		return
	}
	if err := l.file.Truncate(0); err != nil {
		l.abandon(err)
	}
}

// Flush writes what waits.
func (l *Lane) Flush() {
	if l.file == nil || len(l.lines) == 0 {
		return
	}
	if l.journal.state.Load() == keeping {
		if _, err := l.file.Write(l.lines); err != nil {
			l.abandon(err)
		}
	}
	l.lines = l.lines[:0]
}

// abandon removes the whole journal: one with a gap would call a mail unsent that was sent.
func (l *Lane) abandon(why error) {
	if !l.journal.state.CompareAndSwap(keeping, stuck) {
		return // another lane is at it
	}
	gone := true
	for _, lane := range l.journal.lanes {
		if err := os.Remove(lane.file.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			gone = false
			why = errors.Join(why, err)
		}
	}
	if gone {
		l.journal.state.Store(abandoned)
	}
	slog.Error("journal given up", "error", why)
}

// Lost is what a worker was doing when it was lost.
type Lost struct {
	Worker   string
	Outcomes map[posthaste.Chunk][]posthaste.Outcome // those under way are Uncertain
	files    []*os.File                              // locked until Forget
}

// Forget removes the journal once the ledger has what it says.
func (l Lost) Forget() {
	for _, file := range l.files {
		_ = os.Remove(file.Name()) // one that stays is settled again, which changes nothing
		_ = file.Close()
	}
}

// Leave gives the journal back, to be found again.
func (l Lost) Leave() {
	for _, file := range l.files {
		_ = file.Close() // which unlocks it
	}
}

// Find gives the journals in a folder whose workers are gone: nobody has them
// locked. They are locked for the caller until Forget or Leave. Those of an earlier boot,
// and those that cannot be read, do not count and are removed.
func Find(dir string) ([]Lost, error) {
	now, err := boot()
	if err != nil {
		return nil, nil //nolint:nilerr // there are no journals where no boot can be told
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	byWorker := map[string][]string{}
	boots := map[string]string{}
	for _, path := range paths {
		if worker, then, ok := parseName(filepath.Base(path)); ok {
			byWorker[worker] = append(byWorker[worker], path)
			boots[worker] = then
		}
	}
	var found []Lost
	for worker, paths := range byWorker {
		lost := Lost{Worker: worker, Outcomes: map[posthaste.Chunk][]posthaste.Outcome{}}
		if !lost.take(paths) {
			continue
		}
		readErr := lost.read()
		if boots[worker] != now || readErr != nil {
			lost.Forget()
			err = errors.Join(err, readErr)
			continue
		}
		found = append(found, lost)
	}
	return found, err
}

// take locks all files of a worker, or none: then it lives.
func (l *Lost) take(paths []string) bool {
	for _, path := range paths {
		file, err := os.Open(path)
		if err == nil {
			l.files = append(l.files, file)
			err = lock(file)
		}
		if err != nil {
			for _, file := range l.files {
				_ = file.Close() // which unlocks it
			}
			return false
		}
	}
	return true
}

func parseName(name string) (worker, boot string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, suffix), ".")
	if len(parts) != 3 {
		return "", "", false
	}
	return parts[0], parts[1], true
}

func (l *Lost) read() error {
	for _, file := range l.files {
		text, err := io.ReadAll(file)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		if err := l.readLane(text); err != nil {
			return fmt.Errorf("read journal %s: %w", filepath.Base(file.Name()), err)
		}
	}
	return nil
}

// errGap is a journal whose lines do not follow from each other.
var errGap = errors.New("an outcome without its beginning")

// readLane reads one lane: of each delivery its beginning, then its outcome,
// but for the last, which may have none. A last line without its end was being
// written: of a beginning, nothing had begun; of an outcome, it is not known.
func (l *Lost) readLane(text []byte) error {
	text = text[:bytes.LastIndexByte(text, '\n')+1]
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
			if begun != nil && begun.Number != e.Number { // the same one is tried again over a new connection
				return errGap
			}
			chunk, begun = *e.Chunk, &e
		case begun == nil || begun.Number != e.Number || e.Reply == nil:
			return errGap
		case e.State == posthaste.Queued:
			begun = nil
		default:
			end(posthaste.Outcome{Number: e.Number, RecipientID: e.Recipient, State: e.State, RetryAt: instant(e.RetryAt), At: instant(e.At), Reply: *e.Reply, Measured: e.Measured})
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
