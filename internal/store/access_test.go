package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		ctx := posthaste.WithOrigin(t.Context(), posthaste.Origin{Actor: "me"})
		until := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
		_, err := s.PutKey(ctx, posthaste.Key{Name: "shop", Scopes: []posthaste.Scope{posthaste.SendNotices, posthaste.ReadNotices, posthaste.SendNotices}, Rate: 60, ExpiresAt: until}, []byte("h1"))
		must(t, err)
		k, err := s.FindKey(ctx, []byte("h1"))
		must(t, err)
		if k.Name != "shop" || k.Rate != 60 || !k.ExpiresAt.Equal(until) || !slices.Equal(k.Scopes, []posthaste.Scope{posthaste.ReadNotices, posthaste.SendNotices}) || !k.Works(time.Now()) || k.Works(until) {
			t.Errorf("key %+v", k)
		}
		repeated, err := s.PutKey(ctx, posthaste.Key{Name: "sly", Scopes: slices.Repeat([]posthaste.Scope{posthaste.ManageKeys}, len(posthaste.Scopes))}, []byte("h0"))
		must(t, err)
		if !slices.Equal(repeated.Scopes, []posthaste.Scope{posthaste.ManageKeys}) {
			t.Errorf("one scope, said often, became %v", repeated.Scopes)
		}
		again, err := s.PutKey(ctx, posthaste.Key{Name: "shop", Scopes: posthaste.Scopes}, []byte("h2"))
		must(t, err)
		if again.ID != k.ID || !slices.Equal(again.Scopes, posthaste.Scopes) {
			t.Errorf("a new key of the same name: %+v", again)
		}
		_, err = s.FindKey(ctx, []byte("h1"))
		wantKind(t, err, posthaste.NotFound)
		must(t, s.RevokeKey(ctx, "shop"))
		if k, err = s.FindKey(ctx, []byte("h2")); err != nil || k.Works(time.Now()) {
			t.Errorf("a revoked key: %+v %v", k, err)
		}
		wantKind(t, s.RevokeKey(ctx, "shop"), posthaste.NotFound)
		wantKind(t, s.RevokeKey(ctx, "none"), posthaste.NotFound)
		log, err := s.ListAudit(ctx, posthaste.AuditFilter{Object: "key/shop"}, 0, 10)
		must(t, err)
		var did []string
		for _, e := range log {
			did = append(did, e.Action+" "+e.Actor)
		}
		if got := strings.Join(did, ", "); got != "key.revoke me, key.add me, key.add me" {
			t.Errorf("audit %s", got)
		}
	})
}

func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		for _, name := range []string{"a", "b"} {
			_, err := s.PutKey(t.Context(), posthaste.Key{Name: name, Scopes: posthaste.Scopes}, []byte(name))
			must(t, err)
		}
		at := time.Now()
		for range 2 {
			must(t, s.AddUsage(t.Context(), []posthaste.Usage{
				{Key: "a", Day: "2026-11-24", Scope: posthaste.SendNotices, Requests: 3, Refused: 1, Notices: 7},
				{Key: "a", Day: "2026-11-23", Scope: posthaste.SendNotices, Requests: 1},
				{Key: "b", Day: "2026-11-24", Scope: posthaste.ReadTopics, Requests: 5, Failed: 2},
				{Key: "gone", Day: "2026-11-24", Scope: posthaste.ReadTopics, Requests: 5}}, at))
		}
		got, err := s.ListUsage(t.Context(), "", "2026-11-24", "2026-11-30")
		must(t, err)
		want := []posthaste.Usage{{Key: "a", Day: "2026-11-24", Scope: posthaste.SendNotices, Requests: 6, Refused: 2, Notices: 14}, {Key: "b", Day: "2026-11-24", Scope: posthaste.ReadTopics, Requests: 10, Failed: 4}}
		if !slices.Equal(got, want) {
			t.Errorf("usage %+v", got)
		}
		if got, err = s.ListUsage(t.Context(), "a", "2026-11-01", "2026-11-30"); err != nil || len(got) != 2 {
			t.Errorf("one key's usage %+v %v", got, err)
		}
		if k, err := s.FindKeyByName(t.Context(), "a"); err != nil || !k.LastUsedAt.Equal(at.Truncate(time.Minute)) {
			t.Errorf("last used %v %v", k.LastUsedAt, err)
		}
	})
}

func TestWebhookMessagesTakeTurnsAndAreReplayed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		add := func(events ...posthaste.EventName) int64 {
			w, err := s.AddWebhook(t.Context(), posthaste.Webhook{URL: "https://example.com", Events: events})
			must(t, err)
			return w.ID
		}
		first, second, other := add(posthaste.NoticeWasAccepted, posthaste.NoticeHasBounced), add(posthaste.NoticeWasAccepted), add(posthaste.CampaignWasSent)
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		var emails []string
		for i := range 5 {
			emails = append(emails, fmt.Sprintf("r%d@example.com", i))
		}
		all := ids(accept(t, s, callFor(kind, "", emails...)).Notices)
		claim(t, s, "w", all...)
		for _, id := range all {
			record(t, s, "w", id, posthaste.NoticeAccepted)
		}
		now := time.Now().Add(time.Second)
		take := func(limit int) (hooks []int64, ids []int64) {
			got, err := s.TakeWebhookMessages(t.Context(), now, now.Add(time.Hour), limit)
			must(t, err)
			for _, m := range got {
				hooks, ids = append(hooks, m.Webhook.ID), append(ids, m.ID)
			}
			return hooks, ids
		}
		hooks, taken := take(4)
		if !slices.Equal(hooks, []int64{first, second, first, second}) {
			t.Errorf("turns %v", hooks)
		}
		if _, rest := take(100); len(rest) != 6 || slices.ContainsFunc(rest, func(id int64) bool { return slices.Contains(taken, id) }) {
			t.Errorf("the rest %v", rest)
		}
		must(t, s.RecordWebhook(t.Context(), []posthaste.WebhookOutcome{{ID: taken[0], State: posthaste.WebhookDead, Status: 500, Fault: "answered 500"},
			{ID: taken[1], State: posthaste.WebhookDelivered, Status: 204}, {ID: 99999, State: posthaste.WebhookDead}}))
		dead, err := s.ListWebhookMessages(t.Context(), first, posthaste.WebhookDead, 0, 10)
		must(t, err)
		if len(dead) != 1 || dead[0].Attempts != 1 || dead[0].Fault != "answered 500" {
			t.Errorf("dead %+v", dead)
		}
		if n, err := s.ReplayWebhook(t.Context(), first, 0); err != nil || n != 1 {
			t.Errorf("replayed %d %v", n, err)
		}
		if n, err := s.ReplayWebhook(t.Context(), second, taken[1]); err != nil || n != 0 {
			t.Errorf("a delivered one was replayed: %d %v", n, err)
		}
		if _, again := take(100); !slices.Equal(again, taken[:1]) {
			t.Errorf("after the replay %v", again)
		}
		w, err := s.RotateWebhook(t.Context(), first, now)
		must(t, err)
		if w.Generation != 2 || w.OldUntil.IsZero() || !slices.Equal(w.Events, []posthaste.EventName{posthaste.NoticeWasAccepted, posthaste.NoticeHasBounced}) {
			t.Errorf("rotated %+v", w)
		}
		w.DisabledAt = now
		_, err = s.SaveWebhook(t.Context(), w)
		must(t, err)
		now = now.Add(2 * time.Hour)
		if hooks, _ := take(100); slices.Contains(hooks, first) || !slices.Contains(hooks, second) {
			t.Errorf("a disabled one is told: %v", hooks)
		}
		must(t, s.DeleteWebhook(t.Context(), second))
		wantKind(t, s.DeleteWebhook(t.Context(), second), posthaste.NotFound)
		if left, err := s.ListWebhooks(t.Context()); err != nil || len(left) != 2 || left[1].ID != other {
			t.Errorf("left %+v %v", left, err)
		}
	})
}
