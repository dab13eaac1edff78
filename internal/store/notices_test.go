package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
)

// noticeType is the first version of a type.
func noticeType(tb testing.TB, s *store.Store, key string, kind posthaste.NoticeKind) posthaste.NoticeType {
	tb.Helper()
	var demanded string
	if kind == posthaste.Mandatory {
		demanded = "the law"
	}
	t, err := s.AddNoticeType(tb.Context(), posthaste.NoticeType{Key: key, Name: "N " + key, Reason: "why", Kind: kind, MandatoryReason: demanded, From: "a@example.com", Subject: "s",
		Format: posthaste.Markdown, Body: "b", Schema: json.RawMessage(`{"type":"object"}`), Validity: time.Hour, Keys: []string{"shop"}, Actor: "me"})
	must(tb, err)
	return t
}

func answer(call posthaste.NoticeCall) (json.RawMessage, error) {
	return json.Marshal(map[string]any{"call": call.ID, "ids": ids(call.Notices)})
}

func ids(notices []posthaste.Notice) []int64 {
	out := make([]int64, len(notices))
	for i, n := range notices {
		out[i] = n.ID
	}
	return out
}

// callFor is a call with one notice for each address.
func callFor(t posthaste.NoticeType, key string, emails ...string) posthaste.NoticeCall {
	call := posthaste.NoticeCall{Type: t, KeyID: 1, Origin: posthaste.Origin{Actor: "shop", RequestID: "req"}, Idempotency: key, BodyHash: []byte("hash"),
		Data: json.RawMessage(`{"a":1}`), ValidUntil: time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC(),
		Files: []posthaste.NoticeFile{{Name: "a.txt", ContentType: "text/plain", Content: []byte{0, 1, 255}}}}
	for i, e := range emails {
		call.Notices = append(call.Notices, posthaste.Notice{Index: i, Email: e, Canonical: e, Name: "N", Locale: "de", Data: json.RawMessage(`{"b":2}`),
			ExternalID: fmt.Sprint("x", i), Metadata: map[string]string{"k": "v'?"}})
	}
	return call
}

func accept(tb testing.TB, s *store.Store, call posthaste.NoticeCall) posthaste.NoticeCall {
	tb.Helper()
	call, err := s.AcceptNotices(tb.Context(), call, answer)
	must(tb, err)
	return call
}

func claim(tb testing.TB, s *store.Store, worker string, ids ...int64) []posthaste.NoticeMail {
	tb.Helper()
	must(tb, s.Beat(tb.Context(), worker))
	mails, err := s.ClaimNotices(tb.Context(), ids, worker)
	must(tb, err)
	return mails
}

func noticeState(tb testing.TB, s *store.Store, id int64) (posthaste.Notice, []posthaste.Attempt) {
	tb.Helper()
	n, attempts, err := s.FindNotice(tb.Context(), id)
	must(tb, err)
	return n, attempts
}

// record writes one outcome of a notice in the hands of a worker.
func record(tb testing.TB, s *store.Store, worker string, id int64, state posthaste.NoticeState) {
	tb.Helper()
	o := posthaste.NoticeOutcome{ID: id, State: state, Tried: true, At: time.Now(), Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Text: "ok"}}
	if state == posthaste.NoticeDeferred {
		o.RetryAt = time.Now().Add(-time.Millisecond)
	}
	must(tb, s.RecordNotices(tb.Context(), worker, []posthaste.NoticeOutcome{o}))
}

func TestNoticeTypesKeepTheirVersions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		first := noticeType(t, s, "receipt", posthaste.Necessary)
		_, err := s.AddNoticeType(t.Context(), first)
		wantKind(t, err, posthaste.Conflict)
		second := first
		second.Body, second.Keys = "other", nil
		second, err = s.SaveNoticeType(t.Context(), second)
		must(t, err)
		if second.Version != 2 || second.ID != first.ID {
			t.Errorf("second version %+v", second)
		}
		_, err = s.SaveNoticeType(t.Context(), first) // over a version that is not current any more
		wantKind(t, err, posthaste.Conflict)
		for version, body := range map[int64]string{1: "b", 2: "other"} {
			got, err := s.FindNoticeTypeVersion(t.Context(), first.ID, version)
			must(t, err)
			if got.Body != body || got.Validity != time.Hour || string(got.Schema) != `{"type":"object"}` {
				t.Errorf("version %d: %+v", version, got)
			}
		}
		noticeType(t, s, "alert", posthaste.Mandatory)
		all, err := s.ListNoticeTypes(t.Context())
		must(t, err)
		if len(all) != 2 || all[0].Key != "alert" || all[1].Version != 2 || len(all[1].Keys) != 0 {
			t.Errorf("list %+v", all)
		}
		_, err = s.FindNoticeType(t.Context(), "none")
		wantKind(t, err, posthaste.NotFound)
	})
}

func TestACallIsTakenInOnceForEachKey(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		known, _, err := s.PutRecipient(t.Context(), posthaste.Recipient{Email: "b@example.com", Name: "Known"}, "b@example.com")
		must(t, err)
		// Many at once, as clients do that lost an answer.
		const times = 16
		calls := make([]posthaste.NoticeCall, times)
		var all sync.WaitGroup
		for i := range times {
			all.Go(func() { calls[i] = accept(t, s, callFor(kind, "key-1", "a@example.com", "b@example.com")) })
		}
		all.Wait()
		fresh := 0
		for _, c := range calls {
			if !c.Repeated {
				fresh++
			}
			if string(c.Answer) != string(calls[0].Answer) || c.ID != calls[0].ID {
				t.Errorf("answers differ: %s, %s", c.Answer, calls[0].Answer)
			}
		}
		found, err := s.ListNotices(t.Context(), posthaste.NoticeFilter{}, 0, 100)
		must(t, err)
		if fresh != 1 || len(found) != 2 {
			t.Fatalf("%d were new, %d notices", fresh, len(found))
		}
		other := callFor(kind, "key-1", "a@example.com")
		other.BodyHash = []byte("other")
		_, err = s.AcceptNotices(t.Context(), other, answer)
		wantKind(t, err, posthaste.Conflict)
		_, err = s.FindNoticeAnswer(t.Context(), other)
		wantKind(t, err, posthaste.Conflict)
		other.KeyID = 2 // whose keys are their own
		if c := accept(t, s, other); c.Repeated {
			t.Error("another key's Idempotency counted")
		}
		for range 2 { // without one every call is its own
			if c := accept(t, s, callFor(kind, "", "a@example.com")); c.Repeated {
				t.Error("a call without a key was a repetition")
			}
		}
		n, attempts := noticeState(t, s, found[1].ID)
		if n.Email != "a@example.com" || n.ExternalID != "x0" || n.Metadata["k"] != "v'?" || n.State != posthaste.NoticeQueued || n.Actor != "shop" || len(attempts) != 0 || n.TypeVersion != 1 {
			t.Errorf("notice %+v %v", n, attempts)
		}
		if found[0].RecipientID != known.ID {
			t.Error("a recipient on file was added again")
		}
		if r, err := s.FindRecipient(t.Context(), known.ID); err != nil || r.Name != "Known" {
			t.Errorf("a notice changed a recipient: %+v %v", r, err)
		}
		for filter, want := range map[posthaste.NoticeFilter]int{{Type: "receipt"}: 5, {Type: "none"}: 0, {State: posthaste.NoticeQueued}: 5, {Canonical: "b@example.com"}: 1,
			{ExternalID: "x1"}: 1, {CallID: calls[0].ID}: 2, {CallID: calls[0].ID, ExternalID: "x0", State: posthaste.NoticeAccepted}: 0} {
			if got, err := s.ListNotices(t.Context(), filter, 0, 100); err != nil || len(got) != want {
				t.Errorf("%+v: %d (%v), want %d", filter, len(got), err, want)
			}
		}
	})
}

func TestANoticeIsClaimedByOneAndRecorded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		call := accept(t, s, callFor(kind, "", "a@example.com", "b@example.com", "c@example.com"))
		all := ids(call.Notices)
		mails := claim(t, s, "w1", all...)
		if len(mails) != 3 || len(claim(t, s, "w2", all...)) != 0 {
			t.Fatalf("claimed %d", len(mails))
		}
		m := mails[0]
		if string(m.CallData) != `{"a":1}` || string(m.Data) != `{"b":2}` || m.Recipient.Email != "a@example.com" || m.Name != "N" || m.Type != "receipt" || len(m.Stopped) != 0 {
			t.Errorf("mail %+v", m)
		}
		files, err := s.FindNoticeFiles(t.Context(), call.ID)
		must(t, err)
		if len(files) != 1 || !slices.Equal(files[0].Content, []byte{0, 1, 255}) {
			t.Errorf("files %+v", files)
		}
		record(t, s, "w2", all[0], posthaste.NoticeAccepted) // who does not have it
		if n, _ := noticeState(t, s, all[0]); n.State != posthaste.NoticeClaimed {
			t.Errorf("another worker's outcome was taken: %+v", n)
		}
		record(t, s, "w1", all[0], posthaste.NoticeAccepted)
		record(t, s, "w1", all[0], posthaste.NoticeAccepted) // again
		record(t, s, "w1", all[1], posthaste.NoticeDeferred)
		record(t, s, "w1", all[2], posthaste.NoticeBounced)
		for i, want := range []posthaste.NoticeState{posthaste.NoticeAccepted, posthaste.NoticeDeferred, posthaste.NoticeBounced} {
			n, attempts := noticeState(t, s, all[i])
			if n.State != want || n.Attempts != 1 || len(attempts) != 1 || attempts[0].State != want || attempts[0].Reply.Code != 250 {
				t.Errorf("%s: %+v %+v", want, n, attempts)
			}
		}
		if x, err := s.ListSuppressions(t.Context(), "c@example.com", 0, 10); err != nil || len(x) != 1 || x[0].Reason != posthaste.HardBounce || x[0].TopicID != posthaste.AllTopics {
			t.Errorf("suppressions %+v %v", x, err)
		}
		// A call is forgotten only when all its notices are final.
		_, err = s.ForgetNotices(t.Context(), 0, 10)
		must(t, err)
		if files, err := s.FindNoticeFiles(t.Context(), call.ID); err != nil || len(files) != 1 {
			t.Errorf("files are gone too soon: %v %v", files, err)
		}
		due, err := s.QueueNotices(t.Context(), time.Now(), false, 10)
		must(t, err)
		if !slices.Equal(due, all[1:2]) {
			t.Fatalf("due %v", due)
		}
		again := claim(t, s, "w1", due...)
		if len(again) != 1 || again[0].Attempts != 1 || string(again[0].Data) != `{"b":2}` {
			t.Errorf("second attempt %+v", again)
		}
		record(t, s, "w1", all[1], posthaste.NoticeAccepted)
		if next, err := s.ForgetNotices(t.Context(), 0, 1); err != nil || next != call.ID {
			t.Errorf("next %d %v", next, err)
		}
		if files, err := s.FindNoticeFiles(t.Context(), call.ID); err != nil || len(files) != 0 {
			t.Errorf("files stay: %v %v", files, err)
		}
	})
}

func TestWhatStopsANoticeIsRead(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		digest, receipt := noticeType(t, s, "digest", posthaste.Optional), noticeType(t, s, "receipt", posthaste.Necessary)
		topic, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
		must(t, err)
		who := accept(t, s, callFor(digest, "", "a@example.com")).Notices[0].RecipientID
		stopped := func(kind posthaste.NoticeType) []posthaste.Reason {
			n := accept(t, s, callFor(kind, "", "a@example.com")).Notices[0]
			return claim(t, s, "w", n.ID)[0].Stopped
		}
		out := func(topicID int64) {
			_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: who, TopicID: topicID})
			must(t, err)
		}
		out(topic.ID)
		if got := stopped(digest); len(got) != 0 {
			t.Errorf("a topic's opt-out stops a notice: %v", got)
		}
		out(posthaste.TypeAsTopic(digest.ID))
		if got := stopped(digest); !slices.Equal(got, []posthaste.Reason{posthaste.OptedOut}) {
			t.Errorf("a type that is switched off: %v", got)
		}
		if got := stopped(receipt); len(got) != 0 {
			t.Errorf("another type: %v", got)
		}
		p, err := s.FindPreferences(t.Context(), who)
		must(t, err)
		if want := []posthaste.NoticeChoice{{TypeID: digest.ID, Name: "N digest", Off: true}}; !slices.Equal(p.Notices, want) || p.StopAll {
			t.Errorf("preferences %+v", p)
		}
		entry := posthaste.Consent{RecipientID: who, Purpose: posthaste.ForNotice, TopicID: posthaste.TypeAsTopic(digest.ID), Decision: posthaste.Given, Channel: posthaste.ByAPI}
		wantKind(t, s.RecordConsents(t.Context(), []posthaste.Consent{entry}), posthaste.Conflict) // an operator cannot
		entry.Channel = posthaste.ByPreferences
		must(t, s.RecordConsents(t.Context(), []posthaste.Consent{entry}))
		if got := stopped(digest); len(got) != 0 {
			t.Errorf("switched on again: %v", got)
		}
		out(posthaste.AllTopics)
		if got := stopped(receipt); !slices.Equal(got, []posthaste.Reason{posthaste.OptedOut}) {
			t.Errorf("stop all: %v", got)
		}
	})
}

// TestAnOptOutSeesWhoHasANotice: whoever claimed before the opt-out is named,
// and nobody whom it does not concern.
func TestAnOptOutSeesWhoHasANotice(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		digest, receipt := noticeType(t, s, "digest", posthaste.Optional), noticeType(t, s, "receipt", posthaste.Necessary)
		a, b := accept(t, s, callFor(digest, "", "a@example.com")).Notices[0], accept(t, s, callFor(receipt, "", "a@example.com")).Notices[0]
		claim(t, s, "w1", a.ID)
		claim(t, s, "w2", b.ID)
		for topicID, want := range map[int64][]string{posthaste.TypeAsTopic(digest.ID): {"w1"}, posthaste.AllTopics: {"w1", "w2"}, 77: nil, -77: nil} {
			got, err := s.ListSending(t.Context(), posthaste.OptOut{RecipientID: a.RecipientID, TopicID: topicID})
			must(t, err)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("topic %d: %v, want %v", topicID, got, want)
			}
		}
	})
}

func TestNoticesOfALostWorkerGoAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		n := accept(t, s, callFor(kind, "", "a@example.com")).Notices[0]
		claim(t, s, "lost", n.ID)
		if released, err := s.ReleaseLostNotices(t.Context(), time.Hour); err != nil || released != 0 {
			t.Fatalf("a living worker's: %d %v", released, err)
		}
		if released, err := s.ReleaseLostNotices(t.Context(), 0); err != nil || released != 1 {
			t.Fatalf("released %d %v", released, err)
		}
		got, attempts := noticeState(t, s, n.ID)
		if got.State != posthaste.NoticeQueued || got.Attempts != 1 || len(attempts) != 1 || attempts[0].Reply.Text == "" {
			t.Errorf("notice %+v %+v", got, attempts)
		}
		due, err := s.QueueNotices(t.Context(), time.Now(), false, 10)
		must(t, err)
		if !slices.Equal(due, []int64{n.ID}) {
			t.Errorf("due %v", due)
		}
		record(t, s, "lost", n.ID, posthaste.NoticeDeferred) // what it says now is too late
		if got, _ := noticeState(t, s, n.ID); got.State != posthaste.NoticeQueued {
			t.Errorf("deferred by a lost worker: %+v", got)
		}
		record(t, s, "lost", n.ID, posthaste.NoticeAccepted) // but this spares a second mail
		if got, _ := noticeState(t, s, n.ID); got.State != posthaste.NoticeAccepted {
			t.Errorf("accepted by a lost worker: %+v", got)
		}
	})
}

func TestQueueNoticesFindsWhatItsMessageLost(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		n := accept(t, s, callFor(kind, "", "a@example.com")).Notices[0]
		queue := func(after time.Duration, empty bool) int {
			got, err := s.QueueNotices(t.Context(), time.Now().Add(after), empty, 10)
			must(t, err)
			return len(got)
		}
		if queue(0, true) != 0 || queue(time.Minute, false) != 0 {
			t.Error("one on its way was queued again")
		}
		if queue(3*time.Second, true) != 1 || queue(3*time.Second, true) != 0 || queue(10*time.Minute, false) != 1 {
			t.Error("a lost one was not queued again, or twice")
		}
		must(t, s.UnqueueNotices(t.Context(), []int64{n.ID}))
		if queue(0, false) != 1 {
			t.Error("one that could not be published was not queued again")
		}
	})
}

func TestExpiredNoticesAreNeverClaimed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		kind := noticeType(t, s, "receipt", posthaste.Necessary)
		_, err := s.AddWebhook(t.Context(), posthaste.Webhook{URL: "https://example.com", Events: []posthaste.EventName{posthaste.NoticeHasExpired}})
		must(t, err)
		call := accept(t, s, callFor(kind, "", "a@example.com", "b@example.com"))
		claim(t, s, "w", call.Notices[1].ID)
		if n, err := s.ExpireNotices(t.Context(), time.Now(), 10); err != nil || n != 0 {
			t.Errorf("expired %d %v", n, err)
		}
		if n, err := s.ExpireNotices(t.Context(), time.Now().Add(2*time.Hour), 10); err != nil || n != 1 {
			t.Errorf("expired %d %v", n, err)
		}
		if n, _ := noticeState(t, s, call.Notices[0].ID); n.State != posthaste.NoticeExpired || len(claim(t, s, "w", n.ID)) != 0 {
			t.Errorf("notice %+v", n)
		}
		told, err := s.ListWebhookMessages(t.Context(), 1, "", 0, 10)
		must(t, err)
		if len(told) != 1 || told[0].Event != posthaste.NoticeHasExpired {
			t.Errorf("told %+v", told)
		}
		due, err := s.QueueNotices(t.Context(), time.Now().Add(2*time.Hour), true, 10)
		must(t, err)
		if len(due) != 0 {
			t.Errorf("expired or claimed ones are queued: %v", due)
		}
	})
}
