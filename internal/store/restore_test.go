package store_test

import (
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
)

// TestKeptMark and what a restored database does with what was kept.
func TestRestore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		if k, err := s.FindKept(t.Context()); err != nil || k != (store.Kept{}) {
			t.Fatalf("mark %+v, %v", k, err)
		}
		for _, want := range []store.Kept{{ID: 3, Sequence: 9}, {ID: 4, Sequence: 1 << 40}} {
			must(t, s.SetKept(t.Context(), want))
			if k, err := s.FindKept(t.Context()); err != nil || k != want {
				t.Fatalf("mark %+v, %v, want %+v", k, err, want)
			}
		}
		one, err := s.Suppress(t.Context(), "a@example.com", posthaste.Suppression{Reason: posthaste.Manual})
		must(t, err)
		lost := posthaste.Suppression{AddressHash: []byte("hash"), TopicID: 7, Reason: posthaste.OptedOut, CreatedAt: time.UnixMicro(1_795_000_000_000_000).UTC()}
		for _, want := range []int64{1, 0} {
			if added, err := s.RestoreSuppressions(t.Context(), []posthaste.Suppression{one, lost}); err != nil || added != want {
				t.Errorf("%d added (%v), want %d", added, err, want)
			}
		}
		found, err := s.ListSuppressions(t.Context(), "", 0, 10)
		must(t, err)
		if len(found) != 2 || string(found[1].AddressHash) != "hash" || found[1].TopicID != 7 || !found[1].CreatedAt.Equal(lost.CreatedAt) {
			t.Errorf("found %+v", found)
		}
		must(t, s.SkipIDs(t.Context())) // of tables that never had a row
		before, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "before", Name: "x"})
		must(t, err)
		if before.ID < 1_000_000 {
			t.Errorf("the first id is %d", before.ID)
		}
		must(t, s.SkipIDs(t.Context()))
		after, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "after", Name: "x"})
		must(t, err)
		if after.ID < before.ID+1_000_000 {
			t.Errorf("ids %d and %d", before.ID, after.ID)
		}
	})
}
