package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"posthaste/internal/testkit"
)

// notMetrics are other things whose names begin so.
var notMetrics = map[string]bool{"posthaste_secret": true}

// TestMonitor sends a campaign and reads what the process tells of it.
func TestMonitor(t *testing.T) {
	t.Parallel()
	sink := testkit.NewFastSink(t)
	env := []string{"POSTHASTE_SMTP_URL=" + sink.URL(), "POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0",
		"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"}
	p := start(t, env)
	p.addTopic()
	p.importCSV("weekly", manyRecipients(200)+"stop@example.com,S,,,\n")
	p.call("POST", "/suppressions", `{"email": "stop@example.com", "reason": "manual"}`, 201, nil)
	id := p.draft("Hello {{ recipient.name }}", "")
	p.step(id, "schedule")
	p.untilSent(id)
	for path, want := range map[string]string{"/healthz": "alive", "/readyz": "ready", "/debug/pprof/goroutine?debug=1": "goroutine profile"} {
		if got := p.get(p.monitor+path, http.StatusOK); !strings.Contains(got, want) {
			t.Errorf("%s: %.100s", path, got)
		}
	}
	text := p.get(p.monitor+"/metrics", http.StatusOK)
	for _, want := range []string{
		`posthaste_deliveries_total{state="accepted"} 200`, `posthaste_dials_total{result="connected"}`, "posthaste_sending_connections ",
		"posthaste_claim_seconds_bucket", "posthaste_claim_age_seconds 0", "posthaste_beat_age_seconds ", `posthaste_queue_messages{stream="chunks"} 0`,
		`posthaste_queue_messages{stream="hits"}`, "posthaste_scheduler_leader 1", "posthaste_scheduler_failures_total 0", "posthaste_optout_to_effect_seconds_count",
		`posthaste_request_seconds_count{class="2xx",listener="operator"}`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, file := range []string{"../../deploy/alerts.yaml", "../../docs/operations.md"} {
		words, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`posthaste_[a-z_]+[a-z]`).FindAllString(string(words), -1) {
			if !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"_bucket{") && !notMetrics[name] {
				t.Errorf("%s names %s, which the program does not have", file, name)
			}
		}
	}
	if strings.Contains(text, "example.com") {
		t.Error("an address is told")
	}
	host := strings.TrimPrefix(p.monitor, "http://")
	if out := command(t, append(env, "POSTHASTE_MONITOR_LISTEN="+host), "health"); out != "alive\n" {
		t.Errorf("health: %q", out)
	}
	if err := run(t.Context(), []string{"health"}, []string{"POSTHASTE_MONITOR_LISTEN=127.0.0.1:1"}, &strings.Builder{}); err == nil {
		t.Error("nobody is there, and is healthy")
	}
	if err := run(t.Context(), []string{"health"}, []string{"POSTHASTE_MONITOR_LISTEN=off"}, &strings.Builder{}); err == nil || !strings.Contains(fmt.Sprint(err), "POSTHASTE_MONITOR_LISTEN") {
		t.Errorf("health of what is off: %v", err)
	}
}

// TestNotReadyWithoutBroker: the process lives, and says that it is not ready.
func TestNotReadyWithoutBroker(t *testing.T) {
	t.Parallel()
	broker := testkit.NewNATS(t)
	p := start(t, []string{"POSTHASTE_NATS_URL=" + broker.URL(), "POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0",
		"POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0"})
	p.get(p.monitor+"/readyz", http.StatusOK)
	broker.Stop()
	p.get(p.monitor+"/readyz", http.StatusServiceUnavailable)
	p.get(p.monitor+"/healthz", http.StatusOK)
	p.get(p.monitor+"/metrics", http.StatusOK)
	broker.Start()
	waitFor(t, "the broker to be back", func() bool {
		answer, err := http.Get(p.monitor + "/readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
