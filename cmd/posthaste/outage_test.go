package main

import (
	"testing"

	"posthaste/internal/testkit"
)

// TestBrokerAwayInTheMiddle stops NATS while a campaign is being sent and starts
// it again: the campaign goes on, nobody gets two, nothing is uncertain.
func TestBrokerAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	const audience = 3000
	broker := testkit.NewNATS(t)
	sink := testkit.NewFastSink(t)
	sink.Watch("")
	p := start(t, []string{"POSTHASTE_NATS_URL=" + broker.URL(), "POSTHASTE_SMTP_URL=" + sink.URL(), "POSTHASTE_DATA_DIR=" + t.TempDir(),
		"POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"})
	p.addTopic()
	p.importCSV("weekly", manyRecipients(audience))
	id := p.draft("Hello {{ recipient.name }}", "")
	p.step(id, "schedule")
	waitFor(t, "a third to be sent", func() bool { return sink.Count() > audience/3 })
	broker.Stop()
	stopped := p.campaign(id) // the ledger can be read without a broker
	broker.Start()
	done := p.untilSent(id)
	if done.Counts.Accepted != audience {
		t.Errorf("counts %+v, when the broker was away %+v", done.Counts, stopped.Counts)
	}
	for to, n := range sink.Times() {
		if n > 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
}
