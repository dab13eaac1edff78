package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/testkit"
)

// TestRestoredBackup puts an old database back: an opt-out made since is in
// force again, what was to be sent is held, and a second run changes nothing.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	dir, broker := t.TempDir(), testkit.NATS(t)
	env := []string{"POSTHASTE_NATS_URL=" + broker, "POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=off", "POSTHASTE_LISTEN=127.0.0.1:0",
		"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"}
	p := start(t, env)
	p.addTopic()
	p.importCSV("weekly", manyRecipients(3))
	p.call("POST", "/suppressions", `{"email": "reader000000@example.com", "reason": "manual"}`, 201, nil)
	p.step(p.draft("Hello", ""), "schedule")
	p.untilSent(1)
	later := p.draft("Hello again", "")
	at := time.Now().UTC().AddDate(1, 0, 0).Format("2006-01-02T15:04")
	p.call("POST", fmt.Sprintf("/campaigns/%d/schedule", later), `{"at": "`+at+`", "time_zone": "UTC"}`, 200, nil)
	p.call("POST", "/notice-types", policyType("policy", ""), 201, nil)
	p.call("POST", "/announcements", announcement("policy", `{"everybody": true}`, `, "at": "`+at+`", "time_zone": "UTC"`), 201, nil)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(dir + "/posthaste.db")
	if err != nil {
		t.Fatal(err)
	}

	p = start(t, env)
	p.call("POST", "/suppressions", `{"email": "reader000001@example.com", "reason": "manual"}`, 201, nil)
	watch, err := bus.Open(t.Context(), broker)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	waitFor(t, "both to be kept", func() bool {
		var kept int
		err := watch.ReplaySuppressions(t.Context(), 0, func(_ context.Context, batch []posthaste.Suppression) error { kept += len(batch); return nil })
		return err == nil && kept >= 2
	})
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(dir + "/posthaste.db" + suffix)
	}
	writeFile(t, dir+"/posthaste.db", string(backup))

	out := command(t, env, "restored")
	for _, want := range []string{"1 of them were missing", "The campaign 2 (First) was scheduled for " + at + ":00Z and is a draft again",
		"The announcement 3 (Change) was scheduled for " + at + ":00Z and is cancelled", "2 campaigns and announcements are held"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := command(t, env, "restored"); !strings.Contains(out, "0 of them were missing") || !strings.Contains(out, "0 campaigns and announcements are held") {
		t.Errorf("a second run: %s", out)
	}
	p = start(t, env)
	id := p.draft("Once more", "")
	if id < 1_000_000 {
		t.Errorf("the next campaign has id %d, which one may have had that the backup does not know", id)
	}
	p.step(id, "schedule")
	if done := p.untilSent(id); done.Counts.Suppressed != 2 || done.Counts.Accepted != 1 {
		t.Errorf("after the restore %+v", done.Counts)
	}
}
