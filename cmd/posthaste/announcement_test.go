package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
)

// policy is the content of a notice type about a change; more is further JSON fields.
func policyType(key, more string) string {
	return `{"key": "` + key + `", "name": "Policy", "reason": "you have an account with us", "from": "Example <account@example.com>",
		"subject": "Our policy changes", "body": "Dear {{ recipient.name }}, [read it]({{ data.url }}).",
		"schema": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string", "format": "uri"}}}` + more + `}`
}

// announcement is an order; more is further JSON fields.
func announcement(kind, segment, more string) string {
	return `{"name": "Change", "type": "` + kind + `", "data": {"url": "https://example.com/policy"}, "segment": ` + segment + more + `}`
}

// announced orders an announcement and waits for its end.
func (p *program) announced(body string) campaignAnswer {
	p.tb.Helper()
	var c campaignAnswer
	p.call("POST", "/announcements", body, 201, &c)
	waitFor(p.tb, "the announcement's end", func() bool {
		p.call("GET", fmt.Sprintf("/announcements/%d", c.ID), "", 200, &c)
		return c.State == posthaste.Sent
	})
	if !c.Counts.AddsUp() {
		p.tb.Errorf("counts %+v", c.Counts)
	}
	return c
}

// TestAnnouncementToEverybody: a mandatory one reaches even those who stopped all
// mail, each audited; a necessary one does not; neither bears an opt-out.
func TestAnnouncementToEverybody(t *testing.T) {
	t.Parallel()
	const audience = 300
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
		p.addTopic()
		p.importCSV("weekly", manyRecipients(audience))
		p.call("PUT", "/recipients/guest@example.com", `{"name": "Guest", "locale": "de-CH", "attributes": {"plan": "pro"}}`, 201, nil) // who consented to nothing
		p.call("POST", "/suppressions", `{"email": "reader000001@example.com", "reason": "opted_out"}`, 201, nil)
		p.call("POST", "/suppressions", `{"email": "reader000002@example.com", "scope": "weekly", "reason": "opted_out"}`, 201, nil)
		p.call("POST", "/notice-types", policyType("policy", ""), 201, nil)
		p.call("POST", "/notice-types", policyType("breach", `, "mandatory": true, "mandatory_reason": "GDPR Art. 34"`), 201, nil)
		var dry struct{ Audience, Suppressed int64 }
		for segment, want := range map[string]int64{`{"everybody": true}`: audience + 1, `{"locales": ["de"], "attributes": {"plan": "pro"}}`: 1, `{"topic": "weekly"}`: audience - 1} {
			p.call("POST", "/announcements", announcement("policy", segment, `, "dry_run": true`), 200, &dry)
			if dry.Audience != want {
				t.Errorf("dry run for %s: %+v, want %d", segment, dry, want)
			}
		}
		necessary := p.announced(announcement("policy", `{"everybody": true}`, ""))
		if necessary.Counts.Accepted != audience || necessary.Counts.Suppressed != 1 {
			t.Errorf("necessary: %+v", necessary.Counts)
		}
		mandatory := p.announced(announcement("breach", `{"everybody": true}`, ""))
		if mandatory.Counts.Accepted != audience+1 {
			t.Errorf("mandatory: %+v", mandatory.Counts)
		}
		if audit := p.getAPI("/audit?limit=1000"); strings.Count(audit, "GDPR Art. 34") != 1 {
			t.Errorf("audit: %s", audit)
		}
		times := map[string]int{}
		for _, m := range sink.Messages() {
			times[m.To]++
			if strings.Contains(string(m.Data), "List-Unsubscribe") || !strings.Contains(string(m.Data), "Our policy changes") {
				t.Fatalf("message\n%s", m.Data)
			}
		}
		if times["guest@example.com"] != 2 || times["reader000001@example.com"] != 1 || times["reader000002@example.com"] != 2 || len(times) != audience+1 {
			t.Errorf("%d got something; guest %d, stopped %d, left the topic %d", len(times), times["guest@example.com"], times["reader000001@example.com"], times["reader000002@example.com"])
		}
		p.call("GET", fmt.Sprintf("/campaigns/%d", mandatory.ID), "", 404, nil)
		if list := p.getAPI("/campaigns"); !strings.Contains(list, `"items":[]`) {
			t.Errorf("campaigns: %s", list)
		}
	})
}

// TestAnnouncementIsPacedAndResumed: no more go than the pace allows, a kill in
// the middle loses and doubles nothing, and the rest goes on.
func TestAnnouncementIsPacedAndResumed(t *testing.T) {
	t.Parallel()
	const audience, perHour = 30, 7200 // ten go every five seconds
	sink := testkit.NewFastSink(t)
	sink.Watch("")
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street", "POSTHASTE_SMTP_URL=" + sink.URL()}
	p := spawn(t, env)
	p.addTopic()
	p.importCSV("weekly", manyRecipients(audience))
	p.call("POST", "/notice-types", policyType("policy", ""), 201, nil)
	var c campaignAnswer
	p.call("POST", "/announcements", announcement("policy", `{"everybody": true}`, fmt.Sprintf(`, "pace_per_hour": %d`, perHour)), 201, &c)
	waitFor(t, "the first of them", func() bool { return sink.Count() > 0 })
	began := time.Now()
	p.kill()
	p = spawn(t, env)
	p.call("POST", fmt.Sprintf("/announcements/%d/pause", c.ID), "{}", 200, nil)
	p.call("POST", fmt.Sprintf("/announcements/%d/resume", c.ID), "{}", 200, nil)
	waitFor(t, "the end", func() bool {
		p.call("GET", fmt.Sprintf("/announcements/%d", c.ID), "", 200, &c)
		return c.State == posthaste.Sent
	})
	if took := time.Since(began); took < 9*time.Second {
		t.Errorf("all went within %s", took)
	}
	if !c.Counts.AddsUp() || c.Counts.Accepted+c.Counts.Uncertain != audience {
		t.Errorf("counts %+v", c.Counts)
	}
	for to, n := range sink.Times() {
		if n > 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
}
