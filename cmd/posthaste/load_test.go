package main

import (
	"testing"
	"time"

	"posthaste/internal/testkit"
)

// TestPauseUnderLoad pauses a campaign that is being sent as fast as it can be:
// within a second nothing more comes, and a resume sends the rest, once.
func TestPauseUnderLoad(t *testing.T) {
	t.Parallel()
	const audience = 30_000
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewFastSink(t)
		sink.Watch("")
		p := spawn(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		p.importCSV("weekly", manyRecipients(audience))
		id := p.draft("Hello {{ recipient.name }}", "")
		p.step(id, "schedule")
		waitFor(t, "a sixth to be sent", func() bool { return sink.Count() > audience/6 })
		asked := time.Now()
		p.step(id, "pause")
		last, count := asked, sink.Count()
		for time.Since(last) < 2*time.Second { // nothing came for so long
			if now := sink.Count(); now != count {
				last, count = time.Now(), now
			}
			<-time.After(time.Millisecond)
		}
		if took := last.Sub(asked); took > time.Second || count == audience {
			t.Errorf("the last of %d messages came %s after the pause", count, took)
		} else {
			t.Logf("the last of %d messages came %s after the pause", count, took)
		}
		p.step(id, "resume")
		if done := p.untilSent(id); done.Counts.Accepted != audience {
			t.Errorf("at the end %+v", done.Counts)
		}
		for to, n := range sink.Times() {
			if n > 1 {
				t.Errorf("%s got %d", to, n)
			}
		}
	})
}
