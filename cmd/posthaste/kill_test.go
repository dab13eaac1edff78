package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
)

// TestKillInTheMiddle kills the whole program with -9 while it sends, and
// starts it again: nobody gets two, nobody is missing, and whoever may be
// either is listed as uncertain.
func TestKillInTheMiddle(t *testing.T) {
	t.Parallel()
	audience := 10_000
	if testing.Short() {
		audience = 2_000
	}
	const connections = 8
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewFastSink(t)
		sink.Watch("")
		env = append(env, "POSTHASTE_SMTP_URL="+sink.URL(), fmt.Sprintf("POSTHASTE_CONNECTIONS=%d", connections))
		p := spawn(t, env)
		p.addTopic()
		p.importCSV("weekly", manyRecipients(audience))
		id := p.draft("Hello {{ recipient.name }}", "")
		p.step(id, "schedule")
		waitFor(t, "a third to be sent", func() bool { return sink.Count() > int64(audience/3) })
		p.kill()
		seen := sink.Count()

		p = spawn(t, env)
		done := p.untilSent(id)
		uncertain := p.recipientsIn(id, posthaste.Uncertain)
		if done.Counts.Accepted+done.Counts.Uncertain != int64(audience) || int64(len(uncertain)) != done.Counts.Uncertain {
			t.Errorf("counts %+v, %d listed as uncertain", done.Counts, len(uncertain))
		}
		if len(uncertain) > connections { // each has one message under way
			t.Errorf("%d are uncertain, more than the %d connections", len(uncertain), connections)
		}
		times := sink.Times()
		for i := range audience {
			to := fmt.Sprintf("reader%06d@example.com", i)
			if times[to] > 1 {
				t.Errorf("%s got %d", to, times[to])
			}
			if times[to] == 0 && !uncertain[to] {
				t.Errorf("%s got none and is not listed", to)
			}
		}
		t.Logf("killed after %d; %d uncertain, of which %d had arrived", seen, len(uncertain), arrived(uncertain, times))
	})
}

func arrived(addresses map[string]bool, times map[string]int) (n int) {
	for a := range addresses {
		n += times[a]
	}
	return n
}

// recipientsIn lists the addresses whose delivery is in the state, as the API does by name.
func (p *program) recipientsIn(id int64, state posthaste.DeliveryState) map[string]bool {
	p.tb.Helper()
	found := map[string]bool{}
	cursor := ""
	for {
		var page struct {
			Items      []struct{ Email string }
			NextCursor string `json:"next_cursor"`
		}
		p.call("GET", fmt.Sprintf("/campaigns/%d/deliveries?state=%s&limit=1000&cursor=%s", id, state, cursor), "", 200, &page)
		for _, item := range page.Items {
			found[strings.ToLower(item.Email)] = true
		}
		if cursor = page.NextCursor; cursor == "" {
			return found
		}
	}
}

// waitFor asks until it is so.
func waitFor(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	deadline := time.After(5 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("waited too long for " + what)
		}
	}
}
