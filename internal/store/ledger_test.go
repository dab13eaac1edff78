package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
)

func wantKind(tb testing.TB, err error, kind posthaste.Kind) {
	tb.Helper()
	if !errors.Is(err, kind) {
		tb.Fatalf("error %v, want kind %q", err, kind)
	}
}

func TestFreezeTakesOnlyConsentAndMarksSuppressed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 60)
		_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[0], TopicID: topic.ID, Channel: posthaste.ByOneClick})
		must(t, err)
		_, err = s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[1], TopicID: posthaste.AllTopics, Channel: posthaste.ByPreferences})
		must(t, err)
		_, err = s.Suppress(t.Context(), email(2), posthaste.Suppression{TopicID: posthaste.AllTopics, Reason: posthaste.Manual})
		must(t, err)
		_, _, err = s.PutRecipient(t.Context(), posthaste.Recipient{Email: "nobody@example.com"}, "nobody@example.com")
		must(t, err)

		c, err := s.Freeze(t.Context(), scheduled(t, s, topic).ID)
		must(t, err)
		got := counts(t, s, c.ID)
		if got.Audience != 59 || got.Queued != 57 || got.Suppressed != 2 {
			t.Fatalf("got %+v", got)
		}
		_, err = s.Freeze(t.Context(), c.ID)
		wantKind(t, err, posthaste.Conflict)
		chunks, err := s.QueueReady(t.Context(), time.Now(), 10)
		must(t, err)
		want := []posthaste.Chunk{{CampaignID: c.ID, First: 1, Last: 25}, {CampaignID: c.ID, First: 26, Last: 50}, {CampaignID: c.ID, First: 51, Last: 59}}
		if !slices.Equal(chunks, want) {
			t.Fatalf("chunks %v, want %v", chunks, want)
		}
	})
}

func TestClaimRecordReleaseAddUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 25)
		mails := take(t, s, chunks[0], "w1", 10)
		if len(mails) != 10 || !mails[0].Allowed || mails[0].Opens != "" || mails[0].Recipient.Email == "" {
			t.Fatalf("mails %+v", mails)
		}
		if got := counts(t, s, c.ID); got.Claimed != 10 || got.Queued != 15 {
			t.Fatalf("after the claim %+v", got)
		}
		if ok, err := s.TakeChunk(t.Context(), chunks[0], "w2"); err != nil || ok {
			t.Fatalf("a second worker took the chunk: %v %v", ok, err)
		}
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails[:4], posthaste.Accepted)))
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails[4:6], posthaste.Deferred)))
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails[6:7], posthaste.Failed)))
		if got := counts(t, s, c.ID); got.Accepted != 4 || got.Deferred != 2 || got.Failed != 1 || got.Claimed != 3 || got.Queued != 15 {
			t.Fatalf("after recording %+v", got)
		}
		must(t, s.Release(t.Context(), chunks[0], "w1", nil))
		if got := counts(t, s, c.ID); got.Claimed != 0 || got.Queued != 18 {
			t.Fatalf("after the release %+v", got)
		}
		again, err := s.QueueReady(t.Context(), time.Now(), 10)
		must(t, err)
		if len(again) != 1 {
			t.Fatalf("the rest is not queued again: %v", again)
		}
		rest := take(t, s, chunks[0], "w2", 100)
		if len(rest) != 18 || rest[0].Number != mails[7].Number {
			t.Fatalf("claimed %v", numbers(rest))
		}
		must(t, s.Record(t.Context(), chunks[0], "w2", outcomes(rest, posthaste.Accepted)))
		must(t, s.Release(t.Context(), chunks[0], "w2", nil))
		if sent, err := s.Finish(t.Context()); err != nil || len(sent) != 0 {
			t.Fatalf("finished %v with deferred deliveries (%v)", sent, err)
		}

		if early, err := s.QueueReady(t.Context(), time.Now(), 10); err != nil || len(early) != 0 {
			t.Fatalf("a retry was queued early: %v %v", early, err)
		}
		due, err := s.QueueReady(t.Context(), time.Now().Add(2*time.Hour), 10)
		must(t, err)
		if got := counts(t, s, c.ID); len(due) != 1 || got.Queued != 2 || got.Deferred != 0 {
			t.Fatalf("due %v, counts %+v", due, got)
		}
		retries := take(t, s, chunks[0], "w2", 100)
		if len(retries) != 2 || retries[0].Attempts != 1 {
			t.Fatalf("retries %+v", retries)
		}
		must(t, s.Record(t.Context(), chunks[0], "w2", outcomes(retries, posthaste.Accepted)))
		must(t, s.Release(t.Context(), chunks[0], "w2", nil))
		if sent, err := s.Finish(t.Context()); err != nil || !slices.Equal(sent, []int64{c.ID}) {
			t.Fatalf("finished %v (%v)", sent, err)
		}
	})
}

func TestOptOutReachesClaimOrNamesTheWorker(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 25)
		mails := take(t, s, chunks[0], "w1", 5)
		claimed, later := mails[2].Recipient.ID, int64(0)
		all, err := s.ListDeliveries(t.Context(), c.ID, "", 20, 1)
		must(t, err)
		later = all[0].RecipientID

		stop := func(id, topicID int64) []string {
			out := posthaste.OptOut{RecipientID: id, TopicID: topicID, Channel: posthaste.ByOneClick}
			_, err := s.OptOut(t.Context(), out)
			must(t, err)
			workers, err := s.ListSending(t.Context(), out)
			must(t, err)
			return workers
		}
		if other, err := s.ListSending(t.Context(), posthaste.OptOut{RecipientID: claimed, TopicID: c.TopicID + 1}); err != nil || len(other) != 0 {
			t.Fatalf("workers %v (%v) for another topic", other, err)
		}
		workers := stop(claimed, c.TopicID)
		if !slices.Equal(workers, []string{"w1"}) {
			t.Fatalf("workers %v, want the one whose window is open", workers)
		}
		if workers = stop(later, c.TopicID); len(workers) != 0 {
			t.Fatalf("workers %v for an unclaimed delivery", workers)
		}
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails, posthaste.Accepted)))
		rest, err := s.Claim(t.Context(), chunks[0], "w1", nil, 100)
		must(t, err)
		for _, m := range rest {
			if m.Allowed == (m.Recipient.ID == later) {
				t.Errorf("delivery %d: allowed %v", m.Number, m.Allowed)
			}
		}
		// A repetition, and an unknown recipient, are no errors.
		for _, id := range []int64{later, 987654} {
			stop(id, c.TopicID)
		}
	})
}

func TestReleaseLostMakesOnlyTheWindowUncertain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 60)
		lost := take(t, s, chunks[0], "lost", 8)
		must(t, s.Record(t.Context(), chunks[0], "lost", outcomes(lost[:3], posthaste.Accepted)))
		alive := take(t, s, chunks[1], "alive", 8)

		if n, err := s.ReleaseLost(t.Context(), time.Hour); err != nil || n != 0 {
			t.Fatalf("living workers lost %d (%v)", n, err)
		}
		must(t, s.Leave(t.Context(), "lost"))
		silence := time.Hour
		if s.Single() { // there, silence tells nothing: only a new process knows
			if n, err := s.ReleaseLost(t.Context(), silence); err != nil || n != 0 {
				t.Fatalf("lost %d by silence (%v)", n, err)
			}
			must(t, s.Release(t.Context(), chunks[1], "alive", nil))
			silence = 0
		}
		n, err := s.ReleaseLost(t.Context(), silence)
		must(t, err)
		got := counts(t, s, c.ID)
		if n != 5 || got.Uncertain != 5 || got.Accepted != 3 || !s.Single() && got.Claimed != int64(len(alive)) {
			t.Fatalf("n %d, counts %+v", n, got)
		}
		// A final outcome that arrives late is taken, another is not: nobody waits
		// for its retry. An uncertain one is never claimed again.
		must(t, s.Record(t.Context(), chunks[0], "lost", outcomes(lost[3:4], posthaste.Accepted)))
		must(t, s.Record(t.Context(), chunks[0], "lost", outcomes(lost[4:5], posthaste.Deferred)))
		again := take(t, s, chunks[0], "w3", 100)
		for _, m := range lost {
			if slices.Contains(numbers(again), m.Number) {
				t.Errorf("delivery %d was claimed twice", m.Number)
			}
		}
		if got := counts(t, s, c.ID); got.Uncertain != 4 || got.Accepted != 4 {
			t.Fatalf("after the late outcome %+v", got)
		}
	})
}

func TestSettleKnowsWhatALostWorkerDid(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 60)
		mails := take(t, s, chunks[0], "lost", 8)
		other := take(t, s, chunks[1], "alive", 8)
		known := append(outcomes(mails[:2], posthaste.Accepted), outcomes(mails[2:3], posthaste.Uncertain)...)
		// The journal of a chunk that is not the worker's any more says nothing.
		must(t, s.Settle(t.Context(), "lost", map[posthaste.Chunk][]posthaste.Outcome{chunks[0]: known, chunks[1]: outcomes(other[:1], posthaste.Failed)}))
		got := counts(t, s, c.ID)
		if got.Accepted != 2 || got.Uncertain != 1 || got.Claimed != 8 || got.Queued != 60-2-1-8 || got.Failed != 0 {
			t.Fatalf("after settling %+v", got)
		}
		must(t, s.Settle(t.Context(), "lost", map[posthaste.Chunk][]posthaste.Outcome{chunks[0]: outcomes(mails[5:6], posthaste.Failed)}))
		// What is queued again is nobody's to decide but its next worker's; what is
		// uncertain takes a final outcome that is known after all.
		if again := counts(t, s, c.ID); again != got {
			t.Fatalf("settling again changed %+v to %+v", got, again)
		}
		must(t, s.Settle(t.Context(), "lost", map[posthaste.Chunk][]posthaste.Outcome{chunks[0]: outcomes(mails[2:3], posthaste.Accepted)}))
		if again := counts(t, s, c.ID); again.Accepted != 3 || again.Uncertain != 0 {
			t.Fatalf("after a late outcome %+v", again)
		}
	})
}

func TestResolveUncertain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 3)
		mails := take(t, s, chunks[0], "w1", 10)
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails, posthaste.Uncertain)))
		must(t, s.Release(t.Context(), chunks[0], "w1", nil))
		if sent, err := s.Finish(t.Context()); err != nil || len(sent) != 1 {
			t.Fatalf("finished %v (%v)", sent, err)
		}
		for i, to := range []posthaste.DeliveryState{posthaste.Accepted, posthaste.Failed, posthaste.Queued} {
			d, err := s.Resolve(t.Context(), c.ID, mails[i].Number, to)
			must(t, err)
			if d.State != to {
				t.Errorf("resolved to %s, want %s", d.State, to)
			}
			_, err = s.Resolve(t.Context(), c.ID, mails[i].Number, to)
			wantKind(t, err, posthaste.Conflict)
		}
		if _, err := s.Resume(t.Context(), c.ID); !errors.Is(err, posthaste.Conflict) {
			t.Errorf("resumed what is not paused: %v", err)
		}
		if now, err := s.FindCampaign(t.Context(), c.ID); err != nil || now.State != posthaste.Sending {
			t.Fatalf("campaign %v (%v), want it sending again", now.State, err)
		}
		if again := take(t, s, chunks[0], "w1", 10); len(again) != 1 {
			t.Fatalf("sends %d again, want 1", len(again))
		}
	})
}

func TestPauseCancelStopClaims(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 60)
		mails := take(t, s, chunks[0], "w1", 5)
		_, err := s.Pause(t.Context(), c.ID)
		must(t, err)
		if more, err := s.Claim(t.Context(), chunks[0], "w1", nil, 5); err != nil || len(more) != 0 {
			t.Fatalf("claimed %d while paused (%v)", len(more), err)
		}
		if ok, err := s.TakeChunk(t.Context(), chunks[1], "w1"); err != nil || ok {
			t.Fatalf("took a chunk while paused: %v %v", ok, err)
		}
		_, err = s.Cancel(t.Context(), c.ID)
		must(t, err)
		if got := counts(t, s, c.ID); got.Cancelled != 55 || got.Claimed != 5 {
			t.Fatalf("after cancelling %+v", got)
		}
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails[:2], posthaste.Accepted)))
		must(t, s.Release(t.Context(), chunks[0], "w1", nil))
		if got := counts(t, s, c.ID); got.Cancelled != 58 || got.Accepted != 2 {
			t.Fatalf("at the end %+v", got)
		}
		for what, step := range map[string]func(context.Context, int64) (posthaste.Campaign, error){
			"resume": s.Resume, "pause": s.Pause, "cancel": s.Cancel, "unschedule": s.Unschedule, "freeze": s.Freeze} {
			if _, err := step(t.Context(), c.ID); !errors.Is(err, posthaste.Conflict) {
				t.Errorf("%s of a cancelled campaign: %v", what, err)
			}
		}
	})
}

func TestBounceSuppressesEverywhere(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, chunks, _ := sending(t, s, 2)
		mails := take(t, s, chunks[0], "w1", 10)
		must(t, s.Record(t.Context(), chunks[0], "w1", outcomes(mails[:1], posthaste.Bounced)))
		r := mails[0].Recipient
		found, err := s.ListSuppressions(t.Context(), r.Email, 0, 10)
		must(t, err)
		if len(found) != 1 || found[0].Reason != posthaste.HardBounce || found[0].TopicID != posthaste.AllTopics {
			t.Fatalf("suppressions %+v", found)
		}
		must(t, s.LiftSuppression(t.Context(), found[0].ID))
		wantKind(t, s.LiftSuppression(t.Context(), found[0].ID), posthaste.NotFound)
	})
}

func TestLostMessageIsQueuedAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, chunks, _ := sending(t, s, 5)
		if now, err := s.QueueReady(t.Context(), time.Now(), 10); err != nil || len(now) != 0 {
			t.Fatalf("queued again at once: %v %v", now, err)
		}
		later, err := s.QueueReady(t.Context(), time.Now().Add(3*time.Minute), 10)
		must(t, err)
		if !slices.Equal(later, chunks) {
			t.Fatalf("queued %v, want %v", later, chunks)
		}
	})
}
