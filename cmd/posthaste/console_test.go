package main

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
)

// TestConsoleLeavesATrace looks at what the console shows of people, and finds
// each look in the audit log, by the key that was the password.
func TestConsoleLeavesATrace(t *testing.T) {
	t.Parallel()
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=off", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"}
	p := start(t, env)
	p.addTopic()
	p.importCSV("weekly", manyRecipients(3))
	id := p.draft("Hello", "")
	p.step(id, "schedule")
	p.untilSent(id)
	look := func(path string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.operators+path, nil)
		must(t, err)
		request.SetBasicAuth("me", p.key)
		return p.do(request, 200)
	}
	list := look("/outbox")
	message := regexp.MustCompile(`href="(/outbox/[^"?]+)`).FindStringSubmatch(list)
	if message == nil {
		t.Fatalf("no message in %s", list)
	}
	look(message[1])
	look(fmt.Sprintf("/campaigns/%d?state=accepted", id))
	look("/") // which shows nobody
	for action, want := range map[string]int{"outbox.list": 1, "outbox.read": 1, "campaign.read_deliveries": 1} {
		var found struct{ Items []logged }
		p.call("GET", "/audit?action="+action, "", 200, &found)
		if len(found.Items) != want || want > 0 && found.Items[0].Network != "127.0.0.0/24" {
			t.Errorf("%s: %+v", action, found.Items)
		}
	}
}
