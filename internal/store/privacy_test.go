package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// form is a form for some topics, which it adds.
func form(tb testing.TB, s *store.Store, topics ...string) (posthaste.Form, []posthaste.Topic) {
	tb.Helper()
	f := posthaste.Form{Key: "news", Title: "News", Measurement: true, Policy: "2026-11"}
	var all []posthaste.Topic
	for _, key := range topics {
		t, err := s.AddTopic(tb.Context(), posthaste.Topic{Key: key, Name: key})
		must(tb, err)
		all, f.Topics = append(all, t), append(f.Topics, t.ID)
	}
	f, err := s.AddForm(tb.Context(), f)
	must(tb, err)
	return f, all
}

// signUp asks for some topics for an address, and for opens.
func signUp(tb testing.TB, s *store.Store, f posthaste.Form, address, network string, topics ...posthaste.Topic) (posthaste.SignUp, bool) {
	tb.Helper()
	u := posthaste.SignUp{Form: f, Email: address, Canonical: address, Name: "Ada", Language: "de", Network: posthaste.ParseNetwork(network),
		Choices: []posthaste.Choice{{Purpose: posthaste.ForOpens, Wording: "Öffnungen"}}}
	for _, t := range topics {
		u.Choices = append(u.Choices, posthaste.Choice{Purpose: posthaste.ForTopic, TopicID: t.ID, Wording: "Ja, " + t.Name})
	}
	u, allowed, err := s.AddSignUp(tb.Context(), u)
	must(tb, err)
	return u, allowed
}

func confirm(tb testing.TB, s *store.Store, u posthaste.SignUp) {
	tb.Helper()
	_, err := s.ConfirmSignUp(tb.Context(), u.ID, posthaste.ParseNetwork("198.51.100.0/24"))
	must(tb, err)
}

// allowed tells whether a mail of a topic may go to a recipient.
func allowed(tb testing.TB, s *store.Store, topic posthaste.Topic, recipientID int64) bool {
	tb.Helper()
	m, err := s.FindMail(tb.Context(), topic.ID, recipientID)
	if errors.Is(err, posthaste.NotFound) {
		return false
	}
	must(tb, err)
	return m.Allowed
}

func optOut(tb testing.TB, s *store.Store, recipientID, topicID int64) int64 {
	tb.Helper()
	id, err := s.OptOut(tb.Context(), posthaste.OptOut{RecipientID: recipientID, TopicID: topicID, Channel: posthaste.ByOneClick})
	must(tb, err)
	return id
}

func erase(tb testing.TB, s *store.Store, recipientID int64) posthaste.Receipt {
	tb.Helper()
	must(tb, s.SuppressErased(tb.Context(), recipientID))
	r, err := s.Erase(tb.Context(), recipientID, 0)
	must(tb, err)
	return r
}

func TestSignUpIsConsentOnceConfirmed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a", "b")
		u, ok := signUp(t, s, f, "ada@example.com", "192.0.2.0/24", topics[0])
		if !ok || allowed(t, s, topics[0], u.RecipientID) {
			t.Fatalf("before it is confirmed: sent %t, allowed %t", ok, allowed(t, s, topics[0], u.RecipientID))
		}
		must(t, s.NoteConfirmationMail(t.Context(), u.ID, "x@example.com"))
		f.Topics, f.Policy = []int64{topics[1].ID}, "2027-01" // the form says something else by the time it is confirmed
		f, err := s.SaveForm(t.Context(), f)
		must(t, err)
		confirm(t, s, u)
		confirm(t, s, u) // which changes nothing
		if !allowed(t, s, topics[0], u.RecipientID) || allowed(t, s, topics[1], u.RecipientID) {
			t.Error("confirmed: not what was ticked")
		}
		ledger, err := s.ListConsents(t.Context(), u.RecipientID)
		must(t, err)
		if len(ledger) != 2 {
			t.Fatalf("ledger %+v", ledger)
		}
		for _, c := range ledger {
			if c.Channel != posthaste.ByForm || c.Source != "form:news" || c.Language != "de" || c.Policy != "2026-11" || c.SignUpID != u.ID || c.Network.String() != "198.51.100.0/24" || c.At.IsZero() {
				t.Errorf("evidence %+v", c)
			}
		}
		kept, err := s.FindSignUp(t.Context(), u.ID)
		must(t, err)
		if kept.MessageID != "x@example.com" || kept.Form.Version != 1 || kept.ConfirmedAt.IsZero() || kept.Network.String() != "192.0.2.0/24" || len(kept.Choices) != 2 || f.Version != 2 {
			t.Errorf("%+v", kept)
		}
		r, err := s.FindRecipient(t.Context(), u.RecipientID)
		must(t, err)
		if r.Name != "Ada" || r.Locale != "de" {
			t.Errorf("recipient %+v", r)
		}
	})
}

// What the person said against mail is taken back by a confirmed sign-up only,
// and no more of it than was ticked.
func TestConfirmedSignUpLiftsNoMoreThanItNames(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a", "b")
		first, _ := signUp(t, s, f, "ada@example.com", "", topics...)
		confirm(t, s, first)
		id := first.RecipientID
		optOut(t, s, id, posthaste.AllTopics)
		_, err := s.Suppress(t.Context(), "ada@example.com", posthaste.Suppression{TopicID: topics[0].ID, Reason: posthaste.Manual})
		must(t, err)
		again, ok := signUp(t, s, f, "ada@example.com", "", topics[0])
		if !ok || allowed(t, s, topics[0], id) {
			t.Fatal("a sign-up alone lifts nothing")
		}
		confirm(t, s, again)
		if allowed(t, s, topics[0], id) {
			t.Error("what an operator entered was lifted")
		}
		found, err := s.ListSuppressions(t.Context(), "ada@example.com", 0, 10)
		must(t, err)
		must(t, s.LiftSuppression(t.Context(), found[0].ID))
		if len(found) != 2 || !allowed(t, s, topics[0], id) || allowed(t, s, topics[1], id) {
			t.Errorf("suppressions %v, a %t, b %t", found, allowed(t, s, topics[0], id), allowed(t, s, topics[1], id))
		}
	})
}

func TestSignUpsAreGuardedAgainstListBombing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		count := func(address func(int) string, network string, n int) (sent int) {
			for i := range n {
				if _, ok := signUp(t, s, f, address(i), network, topics...); ok {
					sent++
				}
			}
			return sent
		}
		if n := count(func(int) string { return "victim@example.com" }, "", 10); n != 3 {
			t.Errorf("one address got %d mails in a day", n)
		}
		if n := count(func(i int) string { return fmt.Sprintf("v%d@example.com", i) }, "192.0.2.0/24", 40); n != 30 {
			t.Errorf("one network caused %d mails in an hour", n)
		}
		if n := count(func(i int) string { return fmt.Sprintf("w%d@example.com", i) }, "198.51.100.0/24", 5); n != 5 {
			t.Errorf("another network caused %d of 5", n)
		}
	})
}

func TestUnconfirmedSignUpsArePurged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		stranger, _ := signUp(t, s, f, "stranger@example.com", "", topics...)
		known, _, err := s.PutRecipient(t.Context(), posthaste.Recipient{Email: "known@example.com"}, "known@example.com")
		must(t, err)
		signUp(t, s, f, "known@example.com", "", topics...)
		became, _ := signUp(t, s, f, "became@example.com", "", topics...)
		_, err = s.Import(t.Context(), posthaste.Import{TopicID: topics[0].ID, Evidence: evidence}, rowsOf("became@example.com"))
		must(t, err)
		confirmed, _ := signUp(t, s, f, "confirmed@example.com", "", topics...)
		confirm(t, s, confirmed)
		everybody, _, err := s.CountAudience(t.Context(), posthaste.Campaign{TopicID: -1})
		must(t, err)
		if everybody != 3 {
			t.Errorf("everybody is %d: a stranger holds no account", everybody)
		}
		if n, err := s.PurgeSignUps(t.Context(), time.Now().Add(-time.Hour), 100); err != nil || n != 0 {
			t.Errorf("too early: %d %v", n, err)
		}
		if n, err := s.PurgeSignUps(t.Context(), time.Now().Add(time.Hour), 100); err != nil || n != 3 {
			t.Errorf("purged %d %v", n, err)
		}
		_, err = s.FindRecipient(t.Context(), stranger.RecipientID)
		wantKind(t, err, posthaste.NotFound)
		_, err = s.ConfirmSignUp(t.Context(), stranger.ID, posthaste.Network{})
		wantKind(t, err, posthaste.NotFound)
		for _, id := range []int64{known.ID, became.RecipientID, confirmed.RecipientID} {
			_, err := s.FindRecipient(t.Context(), id)
			must(t, err)
		}
	})
}

func TestUndoOfAnOptOut(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		f, topics := form(t, s, "a", "b")
		u, _ := signUp(t, s, f, "ada@example.com", "", topics...)
		confirm(t, s, u)
		out := posthaste.OptOut{RecipientID: u.RecipientID, TopicID: topics[0].ID}
		added := optOut(t, s, u.RecipientID, topics[0].ID)
		if again := optOut(t, s, u.RecipientID, topics[0].ID); added == 0 || again != 0 {
			t.Fatalf("added %d, again %d", added, again)
		}
		wantKind(t, s.UndoOptOut(t.Context(), posthaste.OptOut{RecipientID: u.RecipientID, TopicID: topics[1].ID}, added), posthaste.Conflict)
		wantKind(t, s.UndoOptOut(t.Context(), posthaste.OptOut{RecipientID: u.RecipientID + 1, TopicID: topics[0].ID}, added), posthaste.Conflict)
		must(t, s.UndoOptOut(t.Context(), out, added))
		ledger, err := s.ListConsents(t.Context(), u.RecipientID)
		must(t, err)
		if last := ledger[len(ledger)-1]; !allowed(t, s, topics[0], u.RecipientID) || last.Channel != posthaste.ByUndo || last.Wording != "Ja, a" || last.Policy != "2026-11" {
			t.Errorf("undone: %+v", last)
		}
		wantKind(t, s.UndoOptOut(t.Context(), out, added), posthaste.Conflict) // it was done
		late := optOut(t, s, u.RecipientID, topics[0].ID)
		tamper(t, testkit.RawSQL(t, url), fmt.Sprintf("UPDATE suppressions SET created_at = created_at - %d WHERE id = %d", store.UndoWithin.Microseconds(), late))
		wantKind(t, s.UndoOptOut(t.Context(), out, late), posthaste.Conflict)
		all := optOut(t, s, u.RecipientID, posthaste.AllTopics)
		must(t, s.UndoOptOut(t.Context(), posthaste.OptOut{RecipientID: u.RecipientID}, all))
		if allowed(t, s, topics[0], u.RecipientID) || !allowed(t, s, topics[1], u.RecipientID) {
			t.Error("undoing a stop of all mail brought back more, or less, than it stopped")
		}
		must(t, s.CountReason(t.Context(), topics[0].ID, "too_often"))
		must(t, s.CountReason(t.Context(), topics[0].ID, "too_often"))
	})
}

// marked is a person of whom there is something in every table, under a marker.
func marked(tb testing.TB, s *store.Store, url string) (id int64, topic posthaste.Topic) {
	tb.Helper()
	const address = "marker@example.com"
	ctx := posthaste.WithOrigin(tb.Context(), posthaste.Origin{Actor: "desk", Reason: "MARKER-reason"})
	f, topics := form(tb, s, "a")
	u, _ := signUp(tb, s, f, address, "192.0.2.0/24", topics...)
	must(tb, s.NoteConfirmationMail(tb.Context(), u.ID, "MARKER-message@example.com"))
	confirm(tb, s, u)
	id = u.RecipientID
	_, _, err := s.PutRecipient(ctx, posthaste.Recipient{Email: address, Name: "MARKER-name", Locale: "de", TimeZone: "Europe/Berlin", Attributes: map[string]string{"city": "MARKER-city"}}, address)
	must(tb, err)
	c, err := s.Freeze(tb.Context(), scheduled(tb, s, topics[0]).ID)
	must(tb, err)
	chunks, err := s.QueueReady(tb.Context(), time.Now(), 10)
	must(tb, err)
	mails := take(tb, s, chunks[0], "w", 10)
	done := outcomes(mails, posthaste.Accepted)
	done[0].Reply.Text = "ok MARKER-reply <" + address + ">"
	must(tb, s.Release(tb.Context(), chunks[0], "w", done))
	must(tb, s.RecordHits(tb.Context(), []posthaste.Hit{{ID: posthaste.NewHitID(time.Now()), Kind: posthaste.Open, CampaignID: c.ID, Number: 1, RecipientID: id,
		Network: posthaste.ParseNetwork("203.0.113.0/24"), Region: "DE-BY", Agent: "browser", Place: "datacentre", At: time.Now()}}, rules(tb)))
	_, err = s.AddWebhook(tb.Context(), posthaste.Webhook{URL: "https://example.com", Events: []posthaste.EventName{posthaste.NoticeWasAccepted}})
	must(tb, err)
	accepted, open := noticeOf(tb, s, address, "one"), noticeOf(tb, s, address, "two")
	claimed, err := s.ClaimNotices(tb.Context(), []int64{accepted}, "n")
	must(tb, err)
	must(tb, s.RecordNotices(tb.Context(), "n", []posthaste.NoticeOutcome{{ID: claimed[0].ID, State: posthaste.NoticeAccepted, Tried: true, At: time.Now(),
		Reply: posthaste.Reply{Stage: posthaste.AtDot, Code: 250, Text: "MARKER-answer"}}}))
	_ = open
	_, err = s.Suppress(tb.Context(), address, posthaste.Suppression{TopicID: topics[0].ID, Reason: posthaste.Manual, Evidence: "MARKER-evidence"})
	must(tb, err)
	_, mail, err := s.AddRequest(tb.Context(), address, posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk, Actor: "desk", Reason: "MARKER-ticket"})
	must(tb, err)
	if !mail {
		tb.Fatal("no link may be sent")
	}
	correction(tb, s, address, "marker.new@example.com")
	return id, topics[0]
}

// noticeOf accepts a notice to an address, with markers wherever its caller can put one.
func noticeOf(tb testing.TB, s *store.Store, address, key string) int64 {
	tb.Helper()
	t, err := s.FindNoticeType(tb.Context(), "receipt")
	if errors.Is(err, posthaste.NotFound) {
		t, err = s.AddNoticeType(tb.Context(), posthaste.NoticeType{Key: "receipt", Name: "Receipt", Reason: "r", Kind: posthaste.Necessary, From: "a@example.com", Subject: "s",
			Format: posthaste.Markdown, Body: "b", Schema: json.RawMessage(`{}`), Validity: time.Hour})
	}
	must(tb, err)
	call, err := s.AcceptNotices(tb.Context(), posthaste.NoticeCall{Type: t, KeyID: 1, Origin: posthaste.Origin{Actor: "shop"}, Idempotency: key, BodyHash: []byte("h"),
		Data: json.RawMessage(`{"code":"MARKER-call-` + key + `"}`), ValidUntil: time.Now().Add(time.Hour),
		Files: []posthaste.NoticeFile{{Name: "MARKER-file.txt", ContentType: "text/plain", Content: []byte("MARKER-content")}},
		Notices: []posthaste.Notice{{Email: address, Canonical: address, Name: "MARKER-called", Locale: "de", Data: json.RawMessage(`{"own":"MARKER-own-` + key + `"}`),
			ExternalID: "MARKER-external-" + key, Metadata: map[string]string{"m": "MARKER-metadata"}}}},
		func(posthaste.NoticeCall) (json.RawMessage, error) { return json.RawMessage(`"MARKER-told"`), nil })
	must(tb, err)
	return call.Notices[0].ID
}

func TestExportTellsAll(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		id, _ := marked(t, s, url)
		out, err := s.Export(t.Context(), id, []string{"the mail server"})
		must(t, err)
		text, err := json.Marshal(out)
		must(t, err)
		for _, want := range []string{"marker@example.com", "MARKER-name", "MARKER-city", "Europe/Berlin", "Ja, a", "2026-11", "form:news", "MARKER-message@example.com",
			"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "MARKER-reply", "MARKER-answer", "MARKER-called", "MARKER-external-one", "MARKER-metadata", "MARKER-call-two", "MARKER-own-two",
			"MARKER-evidence", "MARKER-ticket", "marker.new@example.com", "MARKER-reason", "recipient.change", "the mail server"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is not in the export: %s", want, text)
			}
		}
		_, err = s.Export(t.Context(), id+1, nil)
		wantKind(t, err, posthaste.NotFound)
	})
}

// TestErasureLeavesNothing looks through every column of every table.
func TestErasureLeavesNothing(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		id, topic := marked(t, s, url)
		before := grep(t, url, "marker")
		for _, table := range []string{"recipients", "sign_ups", "deliveries", "notices", "notice_attempts", "notice_calls", "notice_files", "webhook_messages", "suppressions", "requests"} {
			if !slices.ContainsFunc(before, func(found string) bool { return strings.HasPrefix(found, table+".") }) {
				t.Fatalf("no marker was in %s, so that this test proves nothing: %v", table, before)
			}
		}
		receipt := erase(t, s, id)
		// The audit log is kept, and says what operators and callers put there.
		after := slices.DeleteFunc(grep(t, url, "marker"), func(found string) bool { return strings.HasPrefix(found, "audit.") })
		if len(after) > 0 {
			t.Errorf("left: %v", after)
		}
		if receipt.Removed["recipients"] != 1 || receipt.Removed["consents"] != 2 || receipt.Removed["deliveries"] != 1 || receipt.Removed["notices"] != 2 || receipt.Removed["hits"] != 1 {
			t.Errorf("receipt %+v", receipt)
		}
		if c := counts(t, s, 1); c.Accepted != 1 || c.Audience != 1 {
			t.Errorf("the ledger lost somebody: %+v", c)
		}
		if h, err := s.CountHits(t.Context(), 1); err != nil || h.Opened != 1 {
			t.Errorf("counts %+v %v", h, err)
		}
		_, err := s.Erase(t.Context(), id, 0)
		wantKind(t, err, posthaste.NotFound)
		report, err := s.Import(t.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf("marker@example.com"))
		must(t, err)
		again, err := s.FindRecipientByAddress(t.Context(), "marker@example.com")
		must(t, err)
		if again.ID == id || report.Suppressed != 1 || allowed(t, s, topic, again.ID) {
			t.Errorf("imported again: %+v", report)
		}
		ids, err := s.ListErasedAgain(t.Context(), 10)
		if err != nil || len(ids) != 0 {
			t.Errorf("who came after the erasure is to be erased again: %v %v", ids, err)
		}
	})
}

// grep gives where a text is in the database, in any case, as table.column.
func grep(tb testing.TB, url, text string) (found []string) {
	tb.Helper()
	db := testkit.RawSQL(tb, url)
	for table, columns := range testkit.Columns(tb, db) {
		for _, column := range columns {
			like := "lower(CAST(" + column + " AS TEXT)) LIKE '%" + text + "%'"
			if strings.HasPrefix(url, "postgres") {
				like += " OR lower(CAST(" + column + " AS TEXT)) LIKE '%" + fmt.Sprintf("%x", text) + "%'" // bytes show as hexadecimal digits
			}
			var n int
			if err := db.QueryRowContext(tb.Context(), "SELECT count(*) FROM "+table+" WHERE "+like).Scan(&n); err != nil {
				tb.Fatal(err)
			}
			if n > 0 {
				found = append(found, table+"."+column)
			}
		}
	}
	return found
}

// A notice for somebody who was erased goes: the account is another system's to end.
func TestErasureStopsMailingsAndNotNotices(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		id, _ := marked(t, s, url)
		must(t, s.SuppressErased(t.Context(), id))
		for notice, want := range map[int64]int{noticeOf(t, s, "marker@example.com", "three"): 0} {
			claimed, err := s.ClaimNotices(t.Context(), []int64{notice}, "n")
			must(t, err)
			if len(claimed) != 1 || len(claimed[0].Stopped) != want {
				t.Errorf("%+v", claimed)
			}
		}
	})
}

func TestRequestsHaveAClock(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, ids := audience(t, s, 1)
		ask := func(address string) (posthaste.Request, bool) {
			q, mail, err := s.AddRequest(t.Context(), address, posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk})
			must(t, err)
			return q, mail
		}
		nobody, mail := ask("nobody@example.com")
		if nobody.State != posthaste.RequestNothing || mail {
			t.Errorf("of nobody: %+v %t", nobody, mail)
		}
		q, mail := ask(email(0))
		if q.State != posthaste.RequestOpen || !mail || q.RecipientID != ids[0] || !q.DueAt.Equal(q.CreatedAt.Add(posthaste.RequestDue)) || !q.LinkWorks(time.Now()) || q.LinkWorks(time.Now().Add(posthaste.LinkKept)) {
			t.Errorf("%+v %t", q, mail)
		}
		mails := 1
		for range 9 {
			if _, mail := ask(email(0)); mail {
				mails++
			}
		}
		if mails != 5 {
			t.Errorf("%d mails in a day", mails)
		}
		must(t, s.EndRequest(t.Context(), q.ID))
		open, err := s.ListRequests(t.Context(), posthaste.RequestOpen, 0, 100)
		must(t, err)
		if len(open) != 9 {
			t.Errorf("%d open", len(open))
		}
		if n, err := s.ExpireRequests(t.Context(), time.Now()); err != nil || n != 0 {
			t.Errorf("too early: %d %v", n, err)
		}
		if n, err := s.ExpireRequests(t.Context(), time.Now().Add(posthaste.LinkKept)); err != nil || n != 9 {
			t.Errorf("expired %d %v", n, err)
		}
		if q, err = s.FindRequest(t.Context(), q.ID); err != nil || q.State != posthaste.RequestDone {
			t.Errorf("%+v %v", q, err)
		}
	})
}

// Who was erased twice is erased again by a restored backup from between the two.
func TestASecondErasureIsKnownToARestoredBackup(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		topic, ids := audience(t, s, 1)
		erase(t, s, ids[0])
		_, err := s.Import(t.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(email(0)))
		must(t, err)
		before, err := s.ListSuppressions(t.Context(), email(0), 0, 10)
		must(t, err)
		must(t, s.SuppressErased(t.Context(), recipient(t, s, 0).ID)) // and the database is put back to before it was erased
		kept, err := s.ListSuppressions(t.Context(), email(0), before[0].ID, 10)
		must(t, err)
		if len(kept) != 1 {
			t.Fatalf("the second erasure is not kept outside of the database: %+v", kept)
		}
		tamper(t, testkit.RawSQL(t, url), fmt.Sprintf("UPDATE suppressions SET created_at = %d", before[0].CreatedAt.UnixMicro()))
		_, err = s.RestoreSuppressions(t.Context(), kept)
		must(t, err)
		again, err := s.ListErasedAgain(t.Context(), 10)
		must(t, err)
		if len(again) != 1 {
			t.Error("somebody who was erased is back")
		}
	})
}

// A stop of all mail covers optional notices; one topic brings none of them back.
func TestOneTopicBringsNoNoticesBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		kind, err := s.AddNoticeType(t.Context(), posthaste.NoticeType{Key: "tips", Name: "Tips", Kind: posthaste.Optional, Schema: json.RawMessage("{}")})
		must(t, err)
		u, _ := signUp(t, s, f, "ada@example.com", "", topics...)
		confirm(t, s, u)
		optOut(t, s, u.RecipientID, posthaste.AllTopics)
		again, _ := signUp(t, s, f, "ada@example.com", "", topics...)
		confirm(t, s, again)
		silent, err := s.FindWhyNotice(t.Context(), posthaste.Notice{RecipientID: u.RecipientID, TypeID: kind.ID})
		must(t, err)
		if len(silent) != 1 || !allowed(t, s, topics[0], u.RecipientID) {
			t.Errorf("notices are stopped by %+v", silent)
		}
		ledger, err := s.ListConsents(t.Context(), u.RecipientID)
		must(t, err)
		if last := ledger[len(ledger)-1]; last.SignUpID != again.ID {
			t.Errorf("the ledger does not know of the new words: %+v", ledger)
		}
	})
}

// That an address exists after all withdraws nothing.
func TestAConfirmedAddressThatHadBouncedKeepsItsConsents(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a", "b")
		u, _ := signUp(t, s, f, "ada@example.com", "", topics[0])
		confirm(t, s, u)
		_, err := s.Suppress(t.Context(), "ada@example.com", posthaste.Suppression{Reason: posthaste.HardBounce})
		must(t, err)
		again, _ := signUp(t, s, f, "ada@example.com", "", topics[1])
		confirm(t, s, again)
		if !allowed(t, s, topics[0], u.RecipientID) || !allowed(t, s, topics[1], u.RecipientID) {
			t.Error("the other consent is gone")
		}
	})
}

func TestSignUpsAtOnceAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		var sent atomic.Int64
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				_, ok, err := s.AddSignUp(t.Context(), posthaste.SignUp{Form: f, Email: "victim@example.com", Canonical: "victim@example.com",
					Choices: []posthaste.Choice{{Purpose: posthaste.ForTopic, TopicID: topics[0].ID}}})
				if err != nil {
					t.Error(err)
				}
				if ok {
					sent.Add(1)
				}
			})
		}
		all.Wait()
		if sent.Load() != 3 {
			t.Errorf("%d mails", sent.Load())
		}
	})
}
