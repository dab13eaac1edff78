package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/journal"
)

var chunk = posthaste.Chunk{CampaignID: 7, First: 101, Last: 200}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, dir, worker string, lanes int) *journal.Journal {
	tb.Helper()
	j, err := journal.Open(dir, worker, lanes)
	if err != nil {
		testkit.Missing(tb, "a journal on this system: "+err.Error())
	}
	return j
}

func outcome(number int64, state posthaste.DeliveryState) posthaste.Outcome {
	return posthaste.Outcome{Number: number, RecipientID: number * 10, State: state, At: time.UnixMicro(1_795_000_000_123_456),
		Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "ok \"quoted\""}}
}

func TestWhatHadBegunIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, "host-1-2", 3)
	first, second := j.Lane(0), j.Lane(1)
	first.Begin(chunk, 101, 1010) // recorded and cleared
	first.Answered(outcome(101, posthaste.Accepted))
	first.Clear()
	first.Begin(chunk, 102, 1020)
	first.Answered(outcome(102, posthaste.Accepted))
	third := j.Lane(2)
	third.Begin(chunk, 103, 1030)
	third.Begin(chunk, 103, 1030) // again, over a new connection
	second.Begin(chunk, 150, 1500)
	deferred := outcome(150, posthaste.Deferred)
	deferred.RetryAt = deferred.At.Add(time.Hour)
	second.Answered(deferred)
	second.Flush()

	first.Begin(chunk, 104, 1040) // not handed over after all
	first.Answered(outcome(104, posthaste.Queued))
	first.Flush()

	if found, err := journal.Find(dir); err != nil || len(found) != 0 {
		t.Fatalf("found %v (%v) of a living worker", found, err)
	}
	j.Die()
	found, err := journal.Find(dir)
	must(t, err)
	if len(found) != 1 || found[0].Worker != "host-1-2" {
		t.Fatalf("found %+v", found)
	}
	uncertain := posthaste.Outcome{Number: 103, RecipientID: 1030, State: posthaste.Uncertain}
	want := map[posthaste.Chunk][]posthaste.Outcome{chunk: {outcome(102, posthaste.Accepted), deferred, uncertain}}
	for i, o := range found[0].Outcomes[chunk] {
		if o.State == posthaste.Uncertain { // of which the journal says no more
			if o.Reply.Text == "" || o.At.IsZero() {
				t.Errorf("%+v", o)
			}
			found[0].Outcomes[chunk][i].Reply, found[0].Outcomes[chunk][i].At = posthaste.Reply{}, time.Time{}
		}
	}
	if diff := cmp.Diff(want, found[0].Outcomes); diff != "" {
		t.Error(diff)
	}
	if again, err := journal.Find(dir); err != nil || len(again) != 0 {
		t.Fatalf("two settle it at once: %v (%v)", again, err)
	}
	found[0].Forget()
	if found, err = journal.Find(dir); err != nil || len(found) != 0 {
		t.Errorf("found again: %v (%v)", found, err)
	}
}

// TestALineBeingWrittenWhenItDied: nothing had begun, or the outcome is not known.
func TestALineBeingWrittenWhenItDied(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"begin": 0, "outcome": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, dir, "w", 1)
			j.Lane(0).Begin(chunk, 102, 1020)
			if name == "outcome" {
				j.Lane(0).Answered(outcome(102, posthaste.Accepted))
				j.Lane(0).Flush()
			}
			path := onlyFile(t, dir)
			text, err := os.ReadFile(path)
			must(t, err)
			must(t, os.Truncate(path, int64(len(text)-1)))
			j.Die()
			found, err := journal.Find(dir)
			must(t, err)
			if len(found) != 1 || len(found[0].Outcomes[chunk]) != want || want == 1 && found[0].Outcomes[chunk][0].State != posthaste.Uncertain {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// TestAnOutcomeThatWaitedIsNotKnown, unless the next delivery began.
func TestAnOutcomeThatWaitedIsNotKnown(t *testing.T) {
	t.Parallel()
	for _, next := range []bool{false, true} {
		dir := t.TempDir()
		j := open(t, dir, "w", 1)
		j.Lane(0).Begin(chunk, 102, 1020)
		j.Lane(0).Answered(outcome(102, posthaste.Accepted))
		if next {
			j.Lane(0).Begin(chunk, 103, 1030)
		}
		j.Die()
		found, err := journal.Find(dir)
		must(t, err)
		var states []posthaste.DeliveryState
		for _, o := range found[0].Outcomes[chunk] {
			states = append(states, o.State)
		}
		want := []posthaste.DeliveryState{posthaste.Uncertain}
		if next {
			want = []posthaste.DeliveryState{posthaste.Accepted, posthaste.Uncertain}
		}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Error(diff)
		}
	}
}

// TestAJournalThatCannotBeReadDoesNotCount: the window decides then.
func TestAJournalThatCannotBeReadDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(text string) string{
		"torn in the middle":           func(text string) string { return text[:20] + text[27:] },
		"an outcome of another":        func(text string) string { return strings.Replace(text, `{"n":102`, `{"n":109`, 1) },
		"a beginning before the end":   func(text string) string { return strings.SplitAfter(text, "\n")[0] + strings.SplitAfter(text, "\n")[2] },
		"an outcome without beginning": func(text string) string { return strings.SplitAfter(text, "\n")[1] },
		"bytes that are no journal":    func(string) string { return "\x00\x00\n" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, dir, "w", 1)
			lane := j.Lane(0)
			lane.Begin(chunk, 102, 1020)
			lane.Answered(outcome(102, posthaste.Accepted))
			lane.Begin(chunk, 103, 1030)
			path := onlyFile(t, dir)
			text, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(spoil(string(text))), 0o600))
			j.Die()
			found, err := journal.Find(dir)
			if err == nil || len(found) != 0 {
				t.Errorf("found %+v, %v", found, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
				t.Errorf("left %v (%v)", left, err)
			}
		})
	}
}

func onlyFile(tb testing.TB, dir string) string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	must(tb, err)
	if len(paths) != 1 {
		tb.Fatalf("files %v", paths)
	}
	return paths[0]
}

// TestAnotherBootDoesNotCount: what was written last may have been lost with the power.
func TestAnotherBootDoesNotCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, "w", 1)
	j.Lane(0).Begin(chunk, 1, 1)
	j.Die()
	path := onlyFile(t, dir)
	parts := strings.Split(filepath.Base(path), ".")
	parts[1] = "00000000-0000-0000-0000-000000000000"
	must(t, os.Rename(path, filepath.Join(dir, strings.Join(parts, "."))))
	if found, err := journal.Find(dir); err != nil || len(found) != 0 {
		t.Errorf("found %v (%v)", found, err)
	}
}

func TestClosingRemovesItAndNilKeepsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, "w", 3)
	j.Close()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left %v (%v)", left, err)
	}
	var none *journal.Journal
	lane := none.Lane(5)
	lane.Begin(chunk, 1, 1)
	lane.Answered(outcome(1, posthaste.Accepted))
	lane.Clear()
	none.Close()
}

// TestALineThatCannotBeWrittenEndsTheJournal: one with a gap would call a mail unsent that was sent.
func TestALineThatCannotBeWrittenEndsTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, "w", 2)
	j.Lane(1).Begin(chunk, 1, 1)
	j.Break(0)
	j.Lane(0).Begin(chunk, 2, 2)
	j.Lane(1).Answered(outcome(1, posthaste.Accepted))
	if !j.Lane(0).Begin(chunk, 3, 3) {
		t.Error("nothing may begin, though the journal is gone")
	}
	j.Die()
	if found, err := journal.Find(dir); err != nil || len(found) != 0 {
		t.Errorf("found %v (%v)", found, err)
	}
}

func BenchmarkBeginAnswered(b *testing.B) {
	lane := open(b, b.TempDir(), "w", 1).Lane(0)
	for i := 0; b.Loop(); i++ {
		lane.Begin(chunk, 1, 1)
		lane.Answered(outcome(1, posthaste.Accepted))
		if i%32 == 31 {
			lane.Clear()
		}
	}
}

// TestALeftJournalIsFoundAgain, since whoever found it could not settle it.
func TestALeftJournalIsFoundAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, "w", 2)
	j.Lane(0).Begin(chunk, 102, 1020)
	j.Die()
	for range 2 {
		found, err := journal.Find(dir)
		must(t, err)
		if len(found) != 1 || len(found[0].Outcomes[chunk]) != 1 {
			t.Fatalf("found %+v", found)
		}
		found[0].Leave()
	}
}
