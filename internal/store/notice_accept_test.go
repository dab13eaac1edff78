package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// TestACallThatGaveUpIsNotTakenInLater: not by the next one that comes.
func TestACallThatGaveUpIsNotTakenInLater(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		taken := 0
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.AcceptNotices(ctx, callFor(kind, "", email(i)), answer)
			if err == nil {
				taken++
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		accept(t, s, callFor(kind, "", "late@example.com"))
		found, err := s.ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 100)
		must(t, err)
		if len(found) != taken+1 {
			t.Errorf("%d notices, %d calls were taken", len(found), taken+1)
		}
	})
}

// TestOneBadAnswerHoldsNobodyUp: whatever happens to a transaction, the next ones go on.
func TestOneBadAnswerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		for range 3 {
			func() {
				defer func() { _ = recover() }()
				_, _ = s.AcceptNotices(t.Context(), callFor(kind, "", email(1)), func(posthaste.NoticeCall) (json.RawMessage, error) { panic("an answer") })
			}()
		}
		accept(t, s, callFor(kind, "", email(2)))
		if found, err := s.ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 100); err != nil || len(found) != 1 {
			t.Errorf("%d notices, %v", len(found), err)
		}
	})
}

// TestProcessesWithTheSameKeysDoNotBlockEachOther: two processes are sent the
// same calls, in opposite orders; each is taken in by one of them.
func TestProcessesWithTheSameKeysDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	stores := []*store.Store{open(t, url), open(t, url)}
	kind := noticeType(t, stores[0], "receipt", posthaste.Necessary)
	const calls = 60
	for round := range 5 {
		var all sync.WaitGroup
		for which, s := range stores {
			for i := range calls {
				n := i + which*(calls-1-2*i)
				all.Go(func() { accept(t, s, callFor(kind, fmt.Sprint(round, "-", n), email(n))) })
			}
		}
		all.Wait()
	}
	found, err := stores[0].ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 1000)
	must(t, err)
	if len(found) != 5*calls {
		t.Errorf("%d notices", len(found))
	}
}

// TestLargeCallsDoNotTakeSmallOnesWithThem past the time that a transaction has.
func TestLargeCallsDoNotTakeSmallOnesWithThem(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				large := callFor(kind, "", email(i))
				large.Files = []posthaste.NoticeFile{{Name: "a.pdf", ContentType: "application/pdf", Content: make([]byte, 10<<20)}}
				accept(t, s, large)
			})
			all.Go(func() { accept(t, s, callFor(kind, "", email(100+i))) })
		}
		all.Wait()
	})
}

// announced is a paced announcement to n recipients, frozen.
func announced(tb testing.TB, s *store.Store, n int, pace int64) posthaste.Campaign {
	tb.Helper()
	audience(tb, s, n)
	kind := noticeType(tb, s, "policy", posthaste.Necessary)
	c, err := s.AddAnnouncement(tb.Context(), posthaste.Campaign{Name: "x", TopicID: posthaste.TypeAsTopic(kind.ID), From: "a@example.com", SendAt: time.Now(), TimeZone: "UTC",
		Announcement: posthaste.Announcement{TypeVersion: 1, Kind: kind.Kind, Data: json.RawMessage("{}"), Pace: pace, Actor: "me"}})
	must(tb, err)
	c, err = s.Freeze(tb.Context(), c.ID)
	must(tb, err)
	return c
}

// TestAPaceIsKept: by the second while somebody takes what is queued, and after a
// time in which nobody did, neither made up for nor fallen behind further.
func TestAPaceIsKept(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	announced(t, s, 300, 3600) // one a second, five at a time
	must(t, s.Beat(t.Context(), "w"))
	begun, sent := time.Now(), 0
	run := func(from, to time.Duration, takes bool) {
		for at := from; at < to; at += 500 * time.Millisecond {
			chunks, err := s.QueueReady(t.Context(), begun.Add(at), 1000)
			must(t, err)
			for _, c := range chunks {
				if !takes {
					continue
				}
				ok, err := s.TakeChunk(t.Context(), c, "w")
				must(t, err)
				if !ok {
					continue
				}
				mails, err := s.Claim(t.Context(), c, "w", nil, 100)
				must(t, err)
				must(t, s.Release(t.Context(), c, "w", outcomes(mails, posthaste.Accepted)))
				sent += len(mails)
			}
		}
	}
	run(0, time.Minute, true)
	if sent < 55 || sent > 66 {
		t.Errorf("%d went in the first minute, of 60", sent)
	}
	run(time.Minute, 6*time.Minute, false)
	before := sent
	run(6*time.Minute, 7*time.Minute, true)
	if n := sent - before; n > 66 {
		t.Errorf("%d went in the minute after a standstill", n)
	}
	run(7*time.Minute, 14*time.Minute, true)
	if sent != 300 {
		t.Errorf("%d of 300 at the end", sent)
	}
}

func TestRestoredNoticesAreEnded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		open, done := accept(t, s, callFor(kind, "", email(1))).Notices[0], accept(t, s, callFor(kind, "", email(2))).Notices[0]
		claim(t, s, "w", done.ID)
		record(t, s, "w", done.ID, posthaste.NoticeAccepted)
		if n, err := s.EndRestoredNotices(t.Context()); err != nil || n != 1 {
			t.Errorf("ended %d %v", n, err)
		}
		for id, want := range map[int64]posthaste.NoticeState{open.ID: posthaste.NoticeExpired, done.ID: posthaste.NoticeAccepted} {
			if n, _ := noticeState(t, s, id); n.State != want {
				t.Errorf("%+v, want %s", n, want)
			}
		}
	})
}

// TestAnOptionalTypeOfAnAnnouncementCanBeSwitchedOff in the preference centre.
func TestAnOptionalTypeOfAnAnnouncementCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, ids := audience(t, s, 2)
		kind := noticeType(t, s, "digest", posthaste.Optional)
		c, err := s.AddAnnouncement(t.Context(), posthaste.Campaign{Name: "x", TopicID: posthaste.TypeAsTopic(kind.ID), From: "a@example.com", SendAt: time.Now(), TimeZone: "UTC",
			Announcement: posthaste.Announcement{TypeVersion: 1, Kind: kind.Kind, Data: json.RawMessage("{}"), Actor: "me"}})
		must(t, err)
		_, err = s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[0], TopicID: posthaste.TypeAsTopic(kind.ID)})
		must(t, err)
		_, err = s.Freeze(t.Context(), c.ID)
		must(t, err)
		if got := counts(t, s, c.ID); got.Suppressed != 1 || got.Queued != 1 {
			t.Errorf("counts %+v", got)
		}
		for i, off := range []bool{true, false} {
			p, err := s.FindPreferences(t.Context(), ids[i])
			must(t, err)
			if len(p.Notices) != 1 || p.Notices[0].Off != off {
				t.Errorf("preferences %+v", p)
			}
		}
	})
}

// TestAMandatoryAnnouncementIsAuditedBeforeItGoes: so that nothing which its
// worker takes along can be missing, and once, however often it is tried.
func TestAMandatoryAnnouncementIsAuditedBeforeItGoes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, ids := audience(t, s, 3)
		kind := noticeType(t, s, "breach", posthaste.Mandatory)
		c, err := s.AddAnnouncement(t.Context(), posthaste.Campaign{Name: "x", TopicID: posthaste.TypeAsTopic(kind.ID), From: "a@example.com", SendAt: time.Now(), TimeZone: "UTC",
			Announcement: posthaste.Announcement{TypeVersion: 1, Kind: kind.Kind, Data: json.RawMessage("{}"), Actor: "me"}})
		must(t, err)
		_, err = s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[1], TopicID: posthaste.AllTopics})
		must(t, err)
		_, err = s.Freeze(t.Context(), c.ID)
		must(t, err)
		for range 2 {
			chunks, err := s.QueueReady(t.Context(), time.Now(), 10)
			must(t, err)
			mails := take(t, s, chunks[0], "w", 10)
			if len(mails) != 3 {
				t.Fatalf("mails %+v", mails)
			}
			entries, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Object: ""}, 0, 100)
			must(t, err)
			var told []posthaste.AuditEntry
			for _, e := range entries {
				if e.Action == "notice.send_despite_suppression" {
					told = append(told, e)
				}
			}
			if object := fmt.Sprintf("announcement/%d/2", c.ID); len(told) != 1 || told[0].Object != object || told[0].Reason != "the law" {
				t.Errorf("audited %+v, want %s", told, object)
			}
			must(t, s.Release(t.Context(), chunks[0], "w", nil)) // nothing went: it is claimed again
		}
	})
}

// TestACallThatFailsTakesNoOtherWithIt, though calls share transactions.
func TestACallThatFailsTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		fault := errors.New("no answer can be made")
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				if i%10 == 3 {
					if _, err := s.AcceptNotices(t.Context(), callFor(kind, "", email(i)), func(posthaste.NoticeCall) (json.RawMessage, error) { return nil, fault }); !errors.Is(err, fault) {
						t.Errorf("call %d: %v", i, err)
					}
					return
				}
				call, err := s.AcceptNotices(t.Context(), callFor(kind, "", email(i)), answer)
				if err != nil || call.ID == 0 || len(call.Answer) == 0 {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if found, err := s.ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 100); err != nil || len(found) != 54 {
			t.Errorf("%d notices stand, want 54 (%v)", len(found), err)
		}
	})
}
