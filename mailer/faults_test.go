package mailer_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
)

// TestServerFaults sends three mails over one connection to a server that
// misbehaves, and looks at the ledger.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	type counts = posthaste.Counts
	nth := testkit.Nth
	for _, test := range []struct {
		name  string
		steps []testkit.Step
		want  posthaste.Counts
	}{
		{"all is well", nil, counts{Accepted: 3}},
		{"nothing but the base protocol is offered", []testkit.Step{testkit.Offer()}, counts{Accepted: 3}},
		{"the address does not exist", []testkit.Step{nth(1, testkit.RCPT, testkit.Say("550 5.1.1 no such user"))}, counts{Bounced: 1, Accepted: 2}},
		{"mailbox full", []testkit.Step{nth(1, testkit.RCPT, testkit.Say("452 4.2.2 mailbox full"))}, counts{Deferred: 1, Accepted: 2}},
		{"greylisted", []testkit.Step{nth(1, testkit.RCPT, testkit.Say("451 4.7.1 greylisted, try again later"))}, counts{Deferred: 1, Accepted: 2}},
		{"refused for policy", []testkit.Step{nth(1, testkit.RCPT, testkit.Say("550 5.7.1 blocked by policy"))}, counts{Failed: 1, Accepted: 2}},
		{"sender refused for now", []testkit.Step{nth(1, testkit.MAIL, testkit.Say("451 4.3.0 try later"))}, counts{Deferred: 1, Accepted: 2}},
		{"sender refused", []testkit.Step{nth(1, testkit.MAIL, testkit.Say("550 5.7.1 go away"))}, counts{Failed: 1, Accepted: 2}},
		{"DATA refused for now", []testkit.Step{nth(1, testkit.DATA, testkit.Say("451 4.3.0 try later"))}, counts{Deferred: 1, Accepted: 2}},
		{"message refused", []testkit.Step{nth(1, testkit.Dot, testkit.Say("554 5.6.0 not this"))}, counts{Failed: 1, Accepted: 2}},
		{"message refused for now", []testkit.Step{nth(1, testkit.Dot, testkit.Say("451 4.3.0 try later"))}, counts{Deferred: 1, Accepted: 2}},
		{"closes with 421 at the second MAIL", []testkit.Step{nth(2, testkit.MAIL, testkit.SayAndDrop("421 4.3.2 enough for now"))}, counts{Accepted: 3}},
		{"drops without a word at MAIL", []testkit.Step{nth(2, testkit.MAIL, testkit.Drop())}, counts{Accepted: 3}},
		{"drops at RCPT", []testkit.Step{nth(2, testkit.RCPT, testkit.Drop())}, counts{Accepted: 3}},
		{"drops at DATA", []testkit.Step{nth(2, testkit.DATA, testkit.Drop())}, counts{Accepted: 3}},
		// The whole message was written, its dot included: nobody can know.
		{"drops amid the message", []testkit.Step{nth(2, testkit.Body, testkit.Drop())}, counts{Accepted: 2, Uncertain: 1}},
		{"drops after the final dot", []testkit.Step{nth(2, testkit.Dot, testkit.Drop())}, counts{Accepted: 2, Uncertain: 1}},
		{"stalls at MAIL", []testkit.Step{nth(1, testkit.MAIL, testkit.Stall())}, counts{Accepted: 3}},
		{"stalls at RCPT", []testkit.Step{nth(1, testkit.RCPT, testkit.Stall())}, counts{Accepted: 3}},
		{"stalls at DATA", []testkit.Step{nth(1, testkit.DATA, testkit.Stall())}, counts{Accepted: 3}},
		{"stalls after the final dot", []testkit.Step{nth(1, testkit.Dot, testkit.Stall())}, counts{Accepted: 2, Uncertain: 1}},
		{"drops the first two connections at the greeting", []testkit.Step{nth(1, testkit.Greeting, testkit.Drop()), nth(2, testkit.Greeting, testkit.Drop())}, counts{Accepted: 3}},
		{"refuses the first connection", []testkit.Step{nth(1, testkit.Greeting, testkit.SayAndDrop("421 4.3.2 busy"))}, counts{Accepted: 3}},
		{"refuses EHLO once", []testkit.Step{nth(1, testkit.EHLO, testkit.SayAndDrop("421 4.3.2 busy"))}, counts{Accepted: 3}},
		{"drops every message at MAIL", []testkit.Step{testkit.At(testkit.MAIL, testkit.Drop())}, counts{Deferred: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := build(t, 3)
			script := testkit.NewScript(t, test.steps...)
			h.run(dialer(t, script.URL()), 1)
			test.want.Audience = 3
			if d := cmp.Diff(test.want, h.until("the end", settled)); d != "" {
				t.Error(d)
			}
			seen := map[string]int{}
			for _, m := range script.Messages() {
				if seen[m.To]++; seen[m.To] > 1 {
					t.Errorf("%s got %d", m.To, seen[m.To])
				}
			}
			if int64(len(seen)) < test.want.Accepted {
				t.Errorf("the server has %d messages, %d are recorded as accepted", len(seen), test.want.Accepted)
			}
		})
	}
}

// TestNextHopAwayClaimsNothing keeps every delivery queued while no connection can be had.
func TestNextHopAwayClaimsNothing(t *testing.T) {
	t.Parallel()
	h := build(t, 3)
	script := testkit.NewScript(t, testkit.At(testkit.Greeting, testkit.SayAndDrop("554 5.3.2 no service here")))
	h.run(dialer(t, script.URL()), 1)
	script.Arrived(t.Context(), testkit.Greeting)
	h.until("the freeze", func(c posthaste.Counts) bool {
		return c.Queued == 3 && script.Connections() >= 2
	})
}

// TestBouncedAddressIsSuppressed and gets nothing of the next campaign.
func TestBouncedAddressIsSuppressed(t *testing.T) {
	t.Parallel()
	h := build(t, 1)
	script := testkit.NewScript(t, testkit.At(testkit.RCPT, testkit.Say("550 5.1.1 no such user")))
	h.run(dialer(t, script.URL()), 1)
	h.until("the bounce", func(c posthaste.Counts) bool { return c.Bounced == 1 })
	found, err := h.store.ListSuppressions(t.Context(), email(0), 0, 10)
	must(t, err)
	if len(found) != 1 || found[0].Reason != posthaste.HardBounce || found[0].Evidence == "" {
		t.Errorf("suppressions %+v", found)
	}
}
