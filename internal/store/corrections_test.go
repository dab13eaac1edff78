package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
)

// correction asks for another address of whoever has one.
func correction(tb testing.TB, s *store.Store, from, to string) posthaste.Request {
	tb.Helper()
	q, mail, err := s.AddRequest(tb.Context(), from, posthaste.Request{Kind: posthaste.CorrectionRequest, Channel: posthaste.ByDesk, Actor: "desk", NewAddress: to})
	must(tb, err)
	if !mail {
		tb.Fatal("no link may be sent")
	}
	return q
}

func correct(tb testing.TB, s *store.Store, q posthaste.Request) {
	tb.Helper()
	must(tb, s.CorrectAddress(tb.Context(), q.ID))
}

func importOf(tb testing.TB, s *store.Store, topic posthaste.Topic, address string) int64 {
	tb.Helper()
	_, err := s.Import(tb.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(address))
	must(tb, err)
	r, err := s.FindRecipientByAddress(tb.Context(), address)
	must(tb, err)
	return r.ID
}

// wantNobody wants no recipient at an address.
func wantNobody(tb testing.TB, s *store.Store, address string) {
	tb.Helper()
	_, err := s.FindRecipientByAddress(tb.Context(), address)
	wantKind(tb, err, posthaste.NotFound)
}

// An address becomes another one with all that was chosen; nothing of it is in
// the log, nor in the request that asked for it.
func TestAddressIsCorrected(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		topic, ids := audience(t, s, 1)
		q := correction(t, s, email(0), "Ada@example.org")
		if q.State != posthaste.RequestOpen || q.RecipientID != ids[0] || !q.LinkWorks(time.Now()) || q.LinkWorks(time.Now().Add(posthaste.LinkKept)) {
			t.Errorf("request %+v", q)
		}
		everybody, _, err := s.CountAudience(t.Context(), posthaste.Campaign{TopicID: -1})
		must(t, err)
		if everybody != 1 {
			t.Errorf("everybody is %d: whoever was sent a link holds no account", everybody)
		}
		correct(t, s, q)
		correct(t, s, q) // which changes nothing
		r, err := s.FindRecipientByAddress(t.Context(), "ada@example.org")
		must(t, err)
		if r.ID != ids[0] || r.Email != "Ada@example.org" || !allowed(t, s, topic, r.ID) {
			t.Errorf("recipient %+v, allowed %t", r, allowed(t, s, topic, r.ID))
		}
		wantNobody(t, s, email(0))
		done, err := s.FindRequest(t.Context(), q.ID)
		must(t, err)
		if done.State != posthaste.RequestDone || done.EndedAt.IsZero() || done.NewAddress != "" || !done.LinkWorks(time.Now()) {
			t.Errorf("request %+v", done)
		}
		log, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Action: "recipient.correct_address"}, 0, 10)
		must(t, err)
		if len(log) != 1 || log[0].Object != fmt.Sprintf("recipient/%d", ids[0]) || log[0].Details["request"] != fmt.Sprint(q.ID) {
			t.Errorf("log %+v", log)
		}
		if found := grep(t, url, "example.org"); !sameSet(found, []string{"recipients.email", "recipients.canonical"}) {
			t.Errorf("the new address is in %v", found)
		}
		for _, found := range grep(t, url, "r00000@") {
			t.Errorf("the old address is in %v", found)
		}
		if again := importOf(t, s, topic, email(0)); again == ids[0] || !allowed(t, s, topic, again) {
			t.Error("nobody said no, and the old address is silent")
		}
	})
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// Another spelling of the same mailbox is a correction too, and no other address.
func TestSpellingIsCorrected(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 1)
		optOut(t, s, ids[0], topic.ID)
		other, _, err := s.AddRequest(t.Context(), email(0), posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk})
		must(t, err)
		correct(t, s, correction(t, s, email(0), strings.ToUpper(email(0)[:1])+email(0)[1:]))
		r, err := s.FindRecipientByAddress(t.Context(), email(0))
		must(t, err)
		found, err := s.ListSuppressions(t.Context(), email(0), 0, 10)
		must(t, err)
		other, err = s.FindRequest(t.Context(), other.ID)
		must(t, err)
		if r.ID != ids[0] || r.Email[0] != 'R' || len(found) != 1 || allowed(t, s, topic, r.ID) || !other.LinkWorks(time.Now()) {
			t.Errorf("%+v, suppressions %+v, request %+v", r, found, other)
		}
	})
}

// Who said no is silent under the new address, and whoever comes with the old
// one, also when the secret was rotated in between.
func TestWhoSaidNoIsSilentAtBothAddresses(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, _ *store.Store, url string) {
		keys := &testKeys{}
		s := openWith(t, url, keys)
		topic, ids := audience(t, s, 2)
		other, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "other", Name: "Other"})
		must(t, err)
		optOut(t, s, ids[0], topic.ID)
		_, err = s.Suppress(t.Context(), email(0), posthaste.Suppression{Reason: posthaste.Manual, TopicID: other.ID, Evidence: "letter", Actor: "me"})
		must(t, err)
		_, err = s.Suppress(t.Context(), "new@example.org", posthaste.Suppression{Reason: posthaste.Complaint, TopicID: other.ID, Evidence: "report"})
		must(t, err)
		_, err = s.Suppress(t.Context(), email(0), posthaste.Suppression{Reason: posthaste.HardBounce})
		must(t, err)
		before, err := s.ListSuppressions(t.Context(), email(0), 0, 10)
		must(t, err)
		keys.rotated++
		correct(t, s, correction(t, s, email(0), "new@example.org"))
		if after, err := s.ListSuppressions(t.Context(), email(0), 0, 10); err != nil || !slices.EqualFunc(before, after, func(a, b posthaste.Suppression) bool { return a.ID == b.ID }) {
			t.Errorf("of the old address: %+v, were %+v", after, before)
		}
		found, err := s.ListSuppressions(t.Context(), "new@example.org", 0, 10)
		must(t, err)
		var said []string
		for _, x := range found {
			said = append(said, fmt.Sprint(x.TopicID, " ", x.Reason, " ", x.Evidence, " ", x.Actor))
			if x.Reason == posthaste.OptedOut && !x.CreatedAt.Equal(before[0].CreatedAt) {
				t.Errorf("its time is another: %+v", x)
			}
		}
		if want := []string{fmt.Sprint(topic.ID, " opted_out one_click "), fmt.Sprint(other.ID, " manual letter me"), fmt.Sprint(other.ID, " complaint report ")}; !sameSet(said, want) {
			t.Errorf("of the new address: %q, want %q", said, want)
		}
		if allowed(t, s, topic, ids[0]) || allowed(t, s, topic, importOf(t, s, topic, email(0))) {
			t.Error("who said no is not silent")
		}
	})
}

// A link to a new address makes nobody known, and leaves nothing when it ends
// otherwise.
func TestCorrectionsThatEndOtherwise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   func(tb testing.TB, s *store.Store, q posthaste.Request)
		state posthaste.RequestState
	}{
		"its mail is not sent": {func(tb testing.TB, s *store.Store, q posthaste.Request) {
			must(tb, s.WithdrawRequest(tb.Context(), q.ID))
		}, posthaste.RequestWithdrawn},
		"nobody confirms it": {func(tb testing.TB, s *store.Store, _ posthaste.Request) {
			n, err := s.ExpireRequests(tb.Context(), time.Now().Add(posthaste.LinkKept))
			must(tb, err)
			if n != 1 {
				tb.Errorf("%d expired", n)
			}
		}, posthaste.RequestExpired},
		"another address is asked for": {func(tb testing.TB, s *store.Store, _ posthaste.Request) {
			correction(tb, s, email(0), "later@example.com")
		}, posthaste.RequestExpired},
		"the person is erased": {func(tb testing.TB, s *store.Store, q posthaste.Request) { erase(tb, s, q.RecipientID) }, posthaste.RequestDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothAt(t, func(t *testing.T, s *store.Store, url string) {
				audience(t, s, 1)
				q := correction(t, s, email(0), "new@example.org")
				if len(grep(t, url, "new@example.org")) == 0 {
					t.Fatal("nothing is kept of it, so that this proves nothing")
				}
				c.end(t, s, q)
				after, err := s.FindRequest(t.Context(), q.ID)
				must(t, err)
				if found := grep(t, url, "new@example.org"); after.State != c.state || len(found) > 0 {
					t.Errorf("%+v, the new address is in %v", after, found)
				}
				wantKind(t, s.CorrectAddress(t.Context(), q.ID), posthaste.NotFound)
			})
		})
	}
}

// An address that somebody has is nobody else's; one that a stranger entered
// into a form is.
func TestAddressesInUse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		id := importOf(t, s, topics[0], email(0))
		_, _, err := s.AddRequest(t.Context(), email(0), posthaste.Request{Kind: posthaste.CorrectionRequest, NewAddress: "taken@example.org"})
		must(t, err)
		taken := importOf(t, s, topics[0], "taken@example.org")
		_, _, err = s.AddRequest(t.Context(), email(0), posthaste.Request{Kind: posthaste.CorrectionRequest, NewAddress: "Taken@example.org"})
		wantKind(t, err, posthaste.Conflict)
		open, err := s.ListRequests(t.Context(), posthaste.RequestOpen, 0, 10)
		must(t, err)
		if len(open) != 1 {
			t.Fatalf("open %+v", open)
		}
		wantKind(t, s.CorrectAddress(t.Context(), open[0].ID), posthaste.Conflict)
		if open, err = s.ListRequests(t.Context(), posthaste.RequestOpen, 0, 10); err != nil || len(open) != 1 || open[0].NewAddress == "" {
			t.Errorf("after a conflict: %+v %v", open, err)
		}
		if r, err := s.FindRecipient(t.Context(), id); err != nil || r.Email != email(0) {
			t.Errorf("%+v %v", r, err)
		}
		erase(t, s, taken)
		signed, _ := signUp(t, s, f, "entered@example.org", "", topics...)
		q := correction(t, s, email(0), "entered@example.org")
		if n, err := s.PurgeSignUps(t.Context(), time.Now().Add(time.Hour), 10); err != nil || n != 1 {
			t.Errorf("purged %d %v", n, err)
		}
		if _, err := s.FindRecipientByAddress(t.Context(), "entered@example.org"); err != nil {
			t.Errorf("who is to get the link is gone: %v", err)
		}
		correct(t, s, q)
		_, err = s.ConfirmSignUp(t.Context(), signed.ID, posthaste.Network{})
		wantKind(t, err, posthaste.NotFound)
		if r, err := s.FindRecipientByAddress(t.Context(), "entered@example.org"); err != nil || r.ID != id {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// Whoever reads the mailbox before has no power over the person any more: not by
// links to data, and not by a sign-up that was asked for there.
func TestLinksToTheMailboxBeforeWorkNoMore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		f, topics := form(t, s, "a")
		id := importOf(t, s, topics[0], email(0))
		optOut(t, s, id, topics[0].ID)
		ask := func() posthaste.Request {
			q, _, err := s.AddRequest(t.Context(), email(0), posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk})
			must(t, err)
			return q
		}
		open, done := ask(), ask()
		must(t, s.EndRequest(t.Context(), done.ID))
		u, _ := signUp(t, s, f, email(0), "", topics...)
		correct(t, s, correction(t, s, email(0), "new@example.org"))
		for _, q := range []posthaste.Request{open, done} {
			after, err := s.FindRequest(t.Context(), q.ID)
			must(t, err)
			if after.LinkWorks(time.Now()) || after.State == posthaste.RequestOpen {
				t.Errorf("%+v", after)
			}
		}
		_, err := s.FindSignUp(t.Context(), u.ID)
		wantKind(t, err, posthaste.NotFound)
		_, err = s.ConfirmSignUp(t.Context(), u.ID, posthaste.Network{})
		wantKind(t, err, posthaste.NotFound)
		if allowed(t, s, topics[0], id) {
			t.Error("a sign-up from the mailbox before speaks for the new one")
		}
		again, _, err := s.AddRequest(t.Context(), "new@example.org", posthaste.Request{Kind: posthaste.AccessRequest, Channel: posthaste.ByDesk})
		must(t, err)
		if again, err = s.FindRequest(t.Context(), again.ID); err != nil || !again.LinkWorks(time.Now()) {
			t.Errorf("a link to the new mailbox: %+v %v", again, err)
		}
		u, _ = signUp(t, s, f, "new@example.org", "", topics...)
		confirm(t, s, u)
		if !allowed(t, s, topics[0], id) {
			t.Error("a sign-up from the new mailbox does not count")
		}
	})
}

// Five links go to one mailbox in a day, whatever they are for and whosever
// address it is to be; those that could not be sent do not count.
func TestLinksToOneMailboxAreCounted(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, _ *store.Store, url string) {
		keys := &testKeys{}
		s := openWith(t, url, keys)
		audience(t, s, 9)
		ask := func(from, to string) (posthaste.Request, bool) {
			q, mail, err := s.AddRequest(t.Context(), from, posthaste.Request{Kind: posthaste.CorrectionRequest, NewAddress: to})
			must(t, err)
			return q, mail
		}
		sent := 0
		for n := range 7 {
			if n == 4 {
				keys.rotated++
			}
			if q, mail := ask(email(n), "victim@example.org"); mail {
				sent++
			} else if q.NewAddress != "" {
				t.Error("an address is kept that nobody can confirm")
			}
		}
		if sent != 5 {
			t.Errorf("%d links to one mailbox, of several people", sent)
		}
		sent = 0
		for n := range 7 {
			if _, mail := ask(email(8), fmt.Sprintf("v%d@example.org", n)); mail {
				sent++
			}
		}
		if _, mail, err := s.AddRequest(t.Context(), email(8), posthaste.Request{Kind: posthaste.AccessRequest}); err != nil || mail || sent != 5 {
			t.Errorf("%d links on behalf of one person, and another: %t %v", sent, mail, err)
		}
		for range 9 {
			q, mail := ask(email(7), "lost@example.org")
			if !mail {
				t.Fatal("what could not be sent is counted")
			}
			must(t, s.WithdrawRequest(t.Context(), q.ID))
		}
	})
}

// A restored backup erases again whoever was erased, and nobody who came to their
// address since.
func TestCorrectionsAndErasures(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 2)
		erase(t, s, importOf(t, s, topic, "gone@example.org"))
		correct(t, s, correction(t, s, email(0), "gone@example.org"))
		if again, err := s.ListErasedAgain(t.Context(), 10); err != nil || len(again) > 0 {
			t.Errorf("who came to the address of somebody erased is to be erased: %v %v", again, err)
		}
		if allowed(t, s, topic, ids[0]) {
			t.Error("the address of somebody who was erased is mailed")
		}
		// Whoever came back after an erasure takes it along, and stays.
		erase(t, s, ids[1])
		back := importOf(t, s, topic, email(1))
		correct(t, s, correction(t, s, email(1), "back@example.org"))
		if again, err := s.ListErasedAgain(t.Context(), 10); err != nil || len(again) > 0 || allowed(t, s, topic, back) {
			t.Errorf("erased again %v %v, allowed %t", again, err, allowed(t, s, topic, back))
		}
		must(t, s.SuppressErased(t.Context(), back))
		if again, err := s.ListErasedAgain(t.Context(), 10); err != nil || !slices.Equal(again, []int64{back}) {
			t.Errorf("who was erased at the new address is back: %v %v", again, err)
		}
	})
}

// An opt-out that is made while the address becomes another one is one of both.
func TestOptOutsWhileAnAddressIsCorrected(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		const people = 20
		topic, ids := audience(t, s, people)
		var all sync.WaitGroup
		for n := range people {
			q := correction(t, s, email(n), fmt.Sprintf("n%d@example.org", n))
			all.Go(func() { correct(t, s, q) })
			all.Go(func() { optOut(t, s, ids[n], topic.ID) })
		}
		all.Wait()
		for n := range people {
			if found, err := s.ListSuppressions(t.Context(), fmt.Sprintf("n%d@example.org", n), 0, 10); err != nil || len(found) != 1 {
				t.Errorf("person %d: suppressions %+v %v", n, found, err)
			}
		}
	})
}

// The mails that went to a new address are the person's, once it is theirs.
func TestMailsToTheNewAddressAreThePersons(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		_, ids := audience(t, s, 1)
		q := correction(t, s, email(0), "marker@example.com")
		own, err := s.AddNoticeType(t.Context(), posthaste.NoticeType{Key: posthaste.DataNotice, Name: "Link", Kind: posthaste.Mandatory, Schema: []byte("{}"), Validity: time.Hour})
		must(t, err)
		call := posthaste.NoticeCall{Type: own, BodyHash: []byte("h"), Data: []byte(`{"text":"a link"}`), ValidUntil: time.Now().Add(time.Hour), Notices: []posthaste.Notice{{Email: "marker@example.com", Canonical: "marker@example.com"}}}
		call, err = s.AcceptNotices(t.Context(), call, func(posthaste.NoticeCall) (json.RawMessage, error) { return json.RawMessage("1"), nil })
		must(t, err)
		if call.Notices[0].RecipientID == ids[0] {
			t.Fatal("it went to the address before")
		}
		correct(t, s, q)
		out, err := s.Export(t.Context(), ids[0], nil)
		must(t, err)
		if len(out.Notices) != 1 || len(out.Notices[0].Data) > 0 || out.Person.Email != "marker@example.com" {
			t.Errorf("export %+v", out)
		}
		erase(t, s, ids[0])
		if found := grep(t, url, "marker"); len(found) > 0 {
			t.Errorf("left of the person: %v", found)
		}
	})
}

// A sign-up whose mail could not be sent leaves nothing, and does not count.
func TestSignUpsThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		f, topics := form(t, s, "a")
		for range 9 {
			u, ok := signUp(t, s, f, "marker@example.com", "", topics...)
			if !ok {
				t.Fatal("what could not be sent is counted")
			}
			must(t, s.WithdrawSignUp(t.Context(), u.ID))
			must(t, s.WithdrawSignUp(t.Context(), u.ID)) // which changes nothing
		}
		if found := grep(t, url, "marker"); len(found) > 0 {
			t.Errorf("left of a stranger: %v", found)
		}
		id := importOf(t, s, topics[0], "known@example.com")
		u, _ := signUp(t, s, f, "known@example.com", "", topics...)
		must(t, s.WithdrawSignUp(t.Context(), u.ID))
		u, _ = signUp(t, s, f, "known@example.com", "", topics...)
		confirm(t, s, u)
		must(t, s.WithdrawSignUp(t.Context(), u.ID))
		if kept, err := s.FindSignUp(t.Context(), u.ID); err != nil || kept.RecipientID != id {
			t.Errorf("a confirmed one: %+v %v", kept, err)
		}
	})
}

func TestRecipientIsCorrected(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		_, ids := audience(t, s, 1)
		text := func(s string) *string { return &s }
		r, changed, err := s.CorrectRecipient(t.Context(), ids[0], posthaste.Correction{Name: text("Ada"), Attributes: map[string]*string{"city": text("Rome"), "none": nil}})
		must(t, err)
		if !changed || r.Name != "Ada" || r.Attributes["city"] != "Rome" {
			t.Errorf("%+v %t", r, changed)
		}
		r, changed, err = s.CorrectRecipient(t.Context(), ids[0], posthaste.Correction{Attributes: map[string]*string{"city": nil}})
		must(t, err)
		if !changed || r.Name != "Ada" || len(r.Attributes) > 0 {
			t.Errorf("%+v %t", r, changed)
		}
		if kept, err := s.FindRecipient(t.Context(), ids[0]); err != nil || kept.Name != "Ada" || len(kept.Attributes) > 0 || !kept.UpdatedAt.Equal(r.UpdatedAt) {
			t.Errorf("%+v %v", kept, err)
		}
		_, changed, err = s.CorrectRecipient(t.Context(), ids[0], posthaste.Correction{Name: text("Ada")})
		must(t, err)
		log, err := s.ListAudit(t.Context(), posthaste.AuditFilter{Action: "recipient.change"}, 0, 10)
		must(t, err)
		if changed || len(log) != 2 || log[0].Details["fields"] != "attributes" || log[1].Details["fields"] != "attributes name" {
			t.Errorf("changed %t, log %+v", changed, log)
		}
		_, _, err = s.CorrectRecipient(t.Context(), ids[0]+1, posthaste.Correction{Name: text("B")})
		wantKind(t, err, posthaste.NotFound)
	})
}
