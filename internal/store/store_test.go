package store_test

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// onBoth runs a test against a fresh database of each kind: the conformance
// suite is every test of this package.
func onBoth(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	onBothAt(t, func(t *testing.T, s *store.Store, _ string) { test(t, s) })
}

// onBothAt is onBoth for tests that go past the store too, to the database at url.
func onBothAt(t *testing.T, test func(t *testing.T, s *store.Store, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
		test(t, open(t, url), url)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := testkit.Postgres(t)
		test(t, open(t, url), url)
	})
}

func open(tb testing.TB, url string) *store.Store {
	tb.Helper()
	return openWith(tb, url, testKeys{})
}

func openWith(tb testing.TB, url string, keys store.Keys) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), url, keys)
	must(tb, err)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	_, err = s.Migrate(tb.Context())
	must(tb, err)
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func email(n int) string { return fmt.Sprintf("r%05d@example.com", n) }

func rowsOf(emails ...string) iter.Seq2[posthaste.ImportRow, error] {
	return func(yield func(posthaste.ImportRow, error) bool) {
		for i, e := range emails {
			if !yield(posthaste.ImportRow{Line: i + 2, Email: e, Canonical: e}, nil) {
				return
			}
		}
	}
}

var evidence = posthaste.Evidence{Source: "form", Wording: "yes please"}

// audience is a topic with n consenting recipients, ids in the order of their numbers.
func audience(tb testing.TB, s *store.Store, n int) (posthaste.Topic, []int64) {
	tb.Helper()
	topic, err := s.AddTopic(tb.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
	must(tb, err)
	var emails []string
	for i := range n {
		emails = append(emails, email(i))
	}
	_, err = s.Import(tb.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(emails...))
	must(tb, err)
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = recipient(tb, s, i).ID
	}
	return topic, ids
}

func recipient(tb testing.TB, s *store.Store, n int) posthaste.Recipient {
	tb.Helper()
	r, err := s.FindRecipientByAddress(tb.Context(), email(n))
	must(tb, err)
	return r
}

// scheduled is a campaign of the topic that is due.
func scheduled(tb testing.TB, s *store.Store, topic posthaste.Topic) posthaste.Campaign {
	tb.Helper()
	c, err := s.AddCampaign(tb.Context(), posthaste.Campaign{Name: "c", TopicID: topic.ID, From: "a@example.com", Subject: "s",
		Format: posthaste.Markdown, Body: "b", Layout: "letter", Tracking: posthaste.Tracking{Opens: posthaste.TrackNone, Clicks: posthaste.TrackNone}})
	must(tb, err)
	c, err = s.Schedule(tb.Context(), c.ID, c.Version, time.Now(), "Europe/Berlin", []string{"https://example.com/a", "https://example.com/b"})
	must(tb, err)
	return c
}

// sending is a frozen campaign to n recipients, and its chunks.
func sending(tb testing.TB, s *store.Store, n int) (posthaste.Campaign, []posthaste.Chunk, []int64) {
	tb.Helper()
	topic, ids := audience(tb, s, n)
	c, err := s.Freeze(tb.Context(), scheduled(tb, s, topic).ID)
	must(tb, err)
	chunks, err := s.QueueReady(tb.Context(), time.Now(), 1000)
	must(tb, err)
	return c, chunks, ids
}

// take claims one window for a living worker.
func take(tb testing.TB, s *store.Store, chunk posthaste.Chunk, worker string, size int) []posthaste.Mail {
	tb.Helper()
	must(tb, s.Beat(tb.Context(), worker))
	ok, err := s.TakeChunk(tb.Context(), chunk, worker)
	must(tb, err)
	if !ok {
		tb.Fatalf("chunk %v was not taken", chunk)
	}
	mails, err := s.Claim(tb.Context(), chunk, worker, nil, size)
	must(tb, err)
	return mails
}

func outcomes(mails []posthaste.Mail, state posthaste.DeliveryState) []posthaste.Outcome {
	var out []posthaste.Outcome
	for _, m := range mails {
		o := posthaste.Outcome{Number: m.Number, RecipientID: m.Recipient.ID, State: state, At: time.Now(),
			Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Enhanced: "2.0.0", Text: "it's ok"}}
		if state == posthaste.Deferred {
			o.RetryAt = time.Now().Add(time.Hour)
		}
		out = append(out, o)
	}
	return out
}

func counts(tb testing.TB, s *store.Store, id int64) posthaste.Counts {
	tb.Helper()
	c, err := s.CountDeliveries(tb.Context(), id)
	must(tb, err)
	if !c.AddsUp() {
		tb.Fatalf("the ledger does not add up: %+v", c)
	}
	return c
}

func numbers(mails []posthaste.Mail) []int64 {
	var out []int64
	for _, m := range mails {
		out = append(out, m.Number)
	}
	slices.Sort(out)
	return out
}

func TestMigrateTwiceRunsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		ran, err := s.Migrate(t.Context())
		must(t, err)
		if len(ran) != 0 {
			t.Fatalf("a second migration ran %v", ran)
		}
	})
}

func TestBindSecretRefusesAnother(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		must(t, s.BindSecret(t.Context(), "one"))
		must(t, s.BindSecret(t.Context(), "one"))
		wantKind(t, s.BindSecret(t.Context(), "two"), posthaste.Conflict)
	})
}

func TestOwnRefusesASecondProcess(t *testing.T) {
	t.Parallel()
	path := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
	first, second := open(t, path), open(t, path)
	release, err := first.Own(t.Context())
	must(t, err)
	_, err = second.Own(t.Context())
	wantKind(t, err, posthaste.Conflict)
	must(t, release())
	release, err = second.Own(t.Context())
	must(t, err)
	must(t, release())
}

func TestOpenRefusesOtherURLs(t *testing.T) {
	t.Parallel()
	_, err := store.Open(context.Background(), "mysql://x", testKeys{})
	wantKind(t, err, posthaste.Invalid)
	_, err = store.Open(context.Background(), "postgres:///x?host=/nonexistent-folder", testKeys{})
	wantKind(t, err, posthaste.Unavailable)
}
