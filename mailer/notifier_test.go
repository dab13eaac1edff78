package mailer_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
)

// noticeSays is the ledger's word on one notice: its state and each attempt's.
func (h *noticeHouse) noticeSays(id int64) string {
	h.tb.Helper()
	n, attempts := h.find(id)
	line := []string{string(n.State)}
	for _, a := range attempts {
		line = append(line, fmt.Sprintf("%s %d", a.State, a.Reply.Code))
	}
	if n.Attempts != len(attempts) {
		line = append(line, fmt.Sprintf("(but %d attempts counted)", n.Attempts))
	}
	return strings.Join(line, ", ")
}

// TestNoticesAndServerFaults sends three notices of one call over one connection
// to a server that misbehaves, and looks at the ledger.
func TestNoticesAndServerFaults(t *testing.T) {
	t.Parallel()
	const accepted, again = "accepted, accepted 250", "deferred, deferred 0"
	nth := testkit.Nth
	for _, test := range []struct {
		name  string
		steps []testkit.Step
		want  []string // of each notice, in their order
	}{
		{"all is well", nil, []string{accepted, accepted, accepted}},
		{"nothing but the base protocol is offered", []testkit.Step{testkit.Offer()}, []string{accepted, accepted, accepted}},
		{"the address does not exist", []testkit.Step{nth(2, testkit.RCPT, testkit.Say("550 5.1.1 no such user"))}, []string{accepted, "bounced, bounced 550", accepted}},
		{"mailbox full", []testkit.Step{nth(2, testkit.RCPT, testkit.Say("452 4.2.2 mailbox full"))}, []string{accepted, "deferred, deferred 452", accepted}},
		{"refused for policy", []testkit.Step{nth(2, testkit.RCPT, testkit.Say("550 5.7.1 blocked by policy"))}, []string{accepted, "failed, failed 550", accepted}},
		{"message refused", []testkit.Step{nth(2, testkit.Dot, testkit.Say("554 5.6.0 not this"))}, []string{accepted, "failed, failed 554", accepted}},
		{"message refused for now", []testkit.Step{nth(2, testkit.Dot, testkit.Say("451 4.3.0 try later"))}, []string{accepted, "deferred, deferred 451", accepted}},
		{"closes with 421 at the second MAIL", []testkit.Step{nth(2, testkit.MAIL, testkit.SayAndDrop("421 4.3.2 enough for now"))}, []string{accepted, accepted, accepted}},
		{"drops without a word at MAIL", []testkit.Step{nth(2, testkit.MAIL, testkit.Drop())}, []string{accepted, accepted, accepted}},
		{"drops at RCPT", []testkit.Step{nth(2, testkit.RCPT, testkit.Drop())}, []string{accepted, accepted, accepted}},
		{"drops at DATA", []testkit.Step{nth(2, testkit.DATA, testkit.Drop())}, []string{accepted, accepted, accepted}},
		{"stalls at MAIL", []testkit.Step{nth(2, testkit.MAIL, testkit.Stall())}, []string{accepted, accepted, accepted}},
		// What may have been taken goes again: not now, but soon.
		{"drops amid the message", []testkit.Step{nth(2, testkit.Body, testkit.Drop())}, []string{accepted, again, accepted}},
		{"drops after the final dot", []testkit.Step{nth(2, testkit.Dot, testkit.Drop())}, []string{accepted, again, accepted}},
		{"drops after the first final dot", []testkit.Step{nth(1, testkit.Dot, testkit.Drop())}, []string{again, accepted, accepted}},
		{"drops after every final dot", []testkit.Step{testkit.At(testkit.Dot, testkit.Drop())}, []string{again, again, again}},
		{"stalls after the final dot", []testkit.Step{nth(2, testkit.Dot, testkit.Stall())}, []string{accepted, again, accepted}},
		{"drops every message at MAIL", []testkit.Step{testkit.At(testkit.MAIL, testkit.Drop())}, []string{again, again, again}},
		{"closes with 421 at every MAIL", []testkit.Step{testkit.At(testkit.MAIL, testkit.SayAndDrop("421 4.3.2 busy"))}, []string{"deferred, deferred 421", "deferred, deferred 421", "deferred, deferred 421"}},
		{"refuses the first connection", []testkit.Step{nth(1, testkit.Greeting, testkit.SayAndDrop("421 4.3.2 busy"))}, []string{accepted, accepted, accepted}},
		{"refuses EHLO once", []testkit.Step{nth(1, testkit.EHLO, testkit.SayAndDrop("421 4.3.2 busy"))}, []string{accepted, accepted, accepted}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := buildNotices(t)
			h.add(receipt())
			script := testkit.NewScript(t, test.steps...)
			ids := h.accept(callTo("receipt", email(0), email(1), email(2)))
			h.run(dialer(t, script.URL()), 1)
			var states []posthaste.NoticeState
			for _, want := range test.want {
				state, _, _ := strings.Cut(want, ",")
				states = append(states, posthaste.NoticeState(state))
			}
			h.until(ids, states...)
			var got []string
			for _, id := range ids {
				got = append(got, h.noticeSays(id))
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			seen := map[string]int{}
			for _, m := range script.Messages() {
				if seen[m.To]++; seen[m.To] > 1 {
					t.Errorf("%s got %d", m.To, seen[m.To])
				}
			}
			if took := measured(t, h, "posthaste_notice_handover_seconds_count"); took != "3" {
				t.Errorf("%s notices are measured to be handed over for the first time, want 3", took)
			}
		})
	}
}

// measured is one figure of the house's metrics.
func measured(tb testing.TB, h *noticeHouse, name string) string {
	tb.Helper()
	response := httptest.NewRecorder()
	h.metrics.Handler().ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(response.Body.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	tb.Fatalf("no %s in\n%s", name, response.Body)
	return ""
}

// TestFailedStepsOfNoticesAreCounted: an alert asks for them.
func TestFailedStepsOfNoticesAreCounted(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.bus.Close() // retries that are due cannot be queued
	h.accept(callTo(h.kind(posthaste.Necessary).Key, "ann@example.com"))
	h.schedule()
	for deadline := time.Now().Add(20 * time.Second); measured(t, h, "posthaste_scheduler_failures_total") == "0"; {
		if time.Now().After(deadline) {
			t.Fatal("no failed step is counted")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestAnUnansweredNoticeGoesAgainUnchanged: signed, with HTML and files, each
// attempt is the same message, so that whoever got it twice can tell.
func TestAnUnansweredNoticeGoesAgainUnchanged(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	kind := h.kind(posthaste.Optional)
	script := testkit.NewScript(t, testkit.Nth(1, testkit.Dot, testkit.Drop()), testkit.Nth(2, testkit.Dot, testkit.Drop()))
	c := callTo(kind.Key, "ann@example.com")
	c.Files = []posthaste.NoticeFile{image("logo@example"), {Name: "Rechnung für Ann.pdf", ContentType: "application/pdf", Content: bytes.Repeat([]byte{0, 255, '\n', '.'}, 5000)}}
	ids := h.accept(c)
	h.run(dialer(t, script.URL()), 1)
	for attempt := 1; attempt <= 2; attempt++ {
		h.untilAttempts(ids[0], attempt)
		n, _ := h.find(ids[0])
		if wait := time.Until(n.DueAt); n.State != posthaste.NoticeDeferred || wait < time.Duration(attempt)*20*time.Second || wait > time.Duration(attempt)*35*time.Second {
			t.Errorf("it is %s and goes again in %s", n.State, wait)
		}
		if h.later(0) != 0 || h.later(75*time.Second) != 1 {
			t.Error("it is due at another time")
		}
	}
	h.until(ids, posthaste.NoticeAccepted)
	if got, want := h.noticeSays(ids[0]), "accepted, deferred 0, deferred 0, accepted 250"; got != want {
		t.Errorf("the ledger says %s, want %s", got, want)
	}
	got := script.Messages()
	if len(got) != 3 || !bytes.Equal(got[0].Data, got[1].Data) || !bytes.Equal(got[0].Data, got[2].Data) || got[0].From != got[2].From {
		t.Fatalf("%d attempts differ", len(got))
	}
	n, _ := h.find(ids[0])
	id, err := h.composer.MessageID(t.Context(), n)
	must(t, err)
	for _, part := range []string{"Message-ID: <" + id + ">\r\n", "DKIM-Signature: ", "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "Content-Disposition: inline", "Content-Disposition: attachment", "Content-Type: text/html"} {
		if bytes.Count(got[0].Data, []byte(part)) != 1 {
			t.Errorf("no %q, or several, in\n%.3000s", part, got[0].Data)
		}
	}
	if v := verified(t, bytes.ReplaceAll(got[0].Data, []byte("\r\n.."), []byte("\r\n."))); v.Err != nil {
		t.Error(v.Err)
	}
}

// untilAttempts waits for a notice to be tried so often.
func (h *noticeHouse) untilAttempts(id int64, attempts int) {
	h.tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n, _ := h.find(id)
		if n.Attempts >= attempts {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.tb.Fatalf("waited too long for attempt %d: %+v", attempts, n)
		}
	}
}

// TestADeferredNoticeIsSentLater, when the next hop takes it.
func TestADeferredNoticeIsSentLater(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	script := testkit.NewScript(t, testkit.Nth(1, testkit.RCPT, testkit.Say("451 4.7.1 greylisted, try again later")))
	ids := h.accept(callTo("receipt", "ann@example.com"))
	h.run(dialer(t, script.URL()), 1)
	h.until(ids, posthaste.NoticeDeferred)
	n, _ := h.find(ids[0])
	if wait := time.Until(n.DueAt); wait < 100*time.Second || wait > 135*time.Second || n.Reply.Text != "greylisted, try again later" {
		t.Errorf("after greylisting it goes again in %s: %+v", wait, n.Reply)
	}
	if h.later(90*time.Second) != 0 || h.later(135*time.Second) != 1 {
		t.Error("it is due at another time")
	}
	h.until(ids, posthaste.NoticeAccepted)
	if got, want := h.noticeSays(ids[0]), "accepted, deferred 451, accepted 250"; got != want {
		t.Errorf("the ledger says %s, want %s", got, want)
	}
}

// TestTheLastChanceIsJustInTime: a notice whose next attempt would come too late
// is tried once more right before its end.
func TestTheLastChanceIsJustInTime(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	script := testkit.NewScript(t, testkit.Nth(1, testkit.RCPT, testkit.Say("451 4.3.0 later")))
	c := callTo("receipt", "ann@example.com")
	c.ValidUntil = time.Now().Add(25 * time.Second).Truncate(time.Microsecond) // sooner than the first retry would be
	ids := h.accept(c)
	h.run(dialer(t, script.URL()), 1)
	h.until(ids, posthaste.NoticeDeferred)
	n, _ := h.find(ids[0])
	if !n.DueAt.Equal(c.ValidUntil.Add(-3 * time.Second)) {
		t.Errorf("it is due %s before its end", c.ValidUntil.Sub(n.DueAt))
	}
	if h.later(0) != 0 || h.later(time.Until(n.DueAt)+time.Second) != 1 {
		t.Error("it is queued at another time")
	}
	h.until(ids, posthaste.NoticeAccepted)
}

// TestNoticeToAnUnknownAddressBounces, and nothing more is tried for that address
// but what is mandatory.
func TestNoticeToAnUnknownAddressBounces(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	h.kind(posthaste.Mandatory)
	script := testkit.NewScript(t, testkit.Nth(1, testkit.RCPT, testkit.Say("550 5.1.1 no such user")))
	h.run(dialer(t, script.URL()), 1)
	first := h.accept(callTo("receipt", "ann@example.com"))
	h.until(first, posthaste.NoticeBounced)
	found, err := h.store.ListSuppressions(t.Context(), "ann@example.com", 0, 10)
	must(t, err)
	if len(found) != 1 || found[0].Reason != posthaste.HardBounce || found[0].TopicID != posthaste.AllTopics || found[0].Evidence == "" {
		t.Errorf("suppressions %+v", found)
	}
	second, recall := h.accept(callTo("receipt", "ann@example.com")), h.accept(callTo("mandatory", "ann@example.com"))
	h.until(append(second, recall...), posthaste.NoticeSuppressed, posthaste.NoticeAccepted)
	if got := h.noticeSays(second[0]); got != "suppressed" {
		t.Errorf("the ledger says %s", got)
	}
	audit, err := h.store.ListAudit(t.Context(), posthaste.AuditFilter{Object: fmt.Sprintf("notice/%d", recall[0])}, 0, 10)
	must(t, err)
	if !slices.ContainsFunc(audit, func(e posthaste.AuditEntry) bool {
		return e.Action == "notice.send_despite_suppression" && e.Reason == "product recall" && e.Details["suppressed_by"] == "hard_bounce"
	}) {
		t.Errorf("the audit log has %+v", audit)
	}
	arrived := slices.DeleteFunc(script.Messages(), func(m testkit.Received) bool { return len(m.Data) == 0 }) // what was pipelined to nobody
	if len(arrived) != 1 || !bytes.Contains(arrived[0].Data, []byte("Subject: Receipt A-7")) {
		t.Errorf("%d messages arrived", len(arrived))
	}
}

// watchedLedger tells of each claim before it is made.
type watchedLedger struct {
	*store.Store
	claiming func()
}

func (l watchedLedger) ClaimNotices(ctx context.Context, ids []int64, worker string) ([]posthaste.NoticeMail, error) {
	l.claiming()
	return l.Store.ClaimNotices(ctx, ids, worker)
}

// TestNothingIsClaimedWhileTheNextHopIsAway, so that another worker could have it.
func TestNothingIsClaimedWhileTheNextHopIsAway(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	script := testkit.NewScript(t, testkit.Nth(1, testkit.Greeting, testkit.SayAndDrop("554 5.3.2 no service here")))
	ids := h.accept(callTo("receipt", "ann@example.com", "bob@example.com"))
	claims := 0
	stop := h.runOn(watchedLedger{h.store, func() {
		if claims++; script.Connections() < 2 {
			t.Error("notices are claimed while there is no connection")
		}
	}}, dialer(t, script.URL()), 1)
	must(t, script.Arrived(t.Context(), testkit.Greeting))
	h.until(ids, posthaste.NoticeQueued, posthaste.NoticeQueued)
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeAccepted)
	stop()
	for _, id := range ids {
		if got := h.noticeSays(id); got != "accepted, accepted 250" {
			t.Errorf("the ledger says %s", got)
		}
	}
	if claims != 1 {
		t.Errorf("%d claims for one message of the queue", claims)
	}
}

// TestTheNextHopGoesAwayAmidACall: what was not begun is given back, and sent
// when it is there again.
func TestTheNextHopGoesAwayAmidACall(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	busy := testkit.SayAndDrop("421 4.3.2 busy")
	script := testkit.NewScript(t, testkit.Nth(2, testkit.MAIL, testkit.Drop()), testkit.Nth(2, testkit.Greeting, busy), testkit.Nth(3, testkit.Greeting, busy))
	ids := h.accept(callTo("receipt", email(0), email(1), email(2), email(3)))
	h.run(dialer(t, script.URL()), 1)
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeDeferred, posthaste.NoticeQueued, posthaste.NoticeQueued)
	for _, id := range ids[2:] {
		if n, _ := h.find(id); n.Attempts != 0 {
			t.Errorf("an attempt is counted of what was not begun: %+v", n)
		}
	}
	if got := h.later(time.Minute); got != 3 {
		t.Errorf("%d are queued again, want all that are not accepted", got)
	}
	h.until(ids, posthaste.NoticeAccepted, posthaste.NoticeAccepted, posthaste.NoticeAccepted, posthaste.NoticeAccepted)
}

// absent is a next hop that takes no connection until it is back.
type absent struct {
	relay.Dialer
	back *atomic.Bool
}

func (a absent) Dial(ctx context.Context) (relay.Connection, error) {
	if !a.back.Load() {
		return nil, &relay.ConnectError{Reply: posthaste.Reply{Stage: posthaste.AtConnect, Text: "away"}}
	}
	return a.Dialer.Dial(ctx)
}

// TestNoticeExpiresWhileTheNextHopIsAway, and is never sent.
func TestNoticeExpiresWhileTheNextHopIsAway(t *testing.T) {
	t.Parallel()
	h := buildNotices(t)
	h.add(receipt())
	script := testkit.NewScript(t)
	hop := absent{dialer(t, script.URL()), &atomic.Bool{}}
	h.run(hop, 1)
	h.schedule()
	first := h.accept(callTo("receipt", "ann@example.com"))
	c := callTo("receipt", "bob@example.com")
	c.ValidUntil = time.Now().Add(time.Second)
	c.Files = []posthaste.NoticeFile{large(10)}
	ids := h.accept(c)
	h.until(ids, posthaste.NoticeExpired)
	if got := h.noticeSays(ids[0]); got != "expired" || time.Now().Before(c.ValidUntil) {
		t.Errorf("the ledger says %s", got)
	}
	hop.back.Store(true)
	h.until(append(first, h.accept(callTo("receipt", "carl@example.com"))...), posthaste.NoticeAccepted, posthaste.NoticeAccepted)
	for _, m := range script.Messages() {
		if m.To == "bob@example.com" {
			t.Error("an expired notice was sent")
		}
	}
	n, _ := h.find(ids[0])
	if files, err := h.store.FindNoticeFiles(t.Context(), n.CallID); err != nil || len(files) != 0 {
		t.Errorf("files of an expired notice are kept: %d (%v)", len(files), err)
	}
}
