package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

// many fills the tables that retention, erasures and the audit page read with rows
// enough for a planner to choose as it would of a large installation.
func many(tb testing.TB, s *store.Store, url string, n int) {
	tb.Helper()
	series := fmt.Sprintf("(SELECT g AS n FROM generate_series(1, %d) g) x", n)
	object := "json_build_object('notice', n)::text"
	if s.Single() {
		series = fmt.Sprintf("(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n FROM c) x", n)
		object = "json_object('notice', n)"
	}
	topic, err := s.AddTopic(tb.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
	must(tb, err)
	scheduled(tb, s, topic)
	raw := testkit.RawSQL(tb, url)
	for _, insert := range []string{
		"audit (at, actor, action, object, reason, request_id, metadata) SELECT n, 'actor/' || n % 100, 'action/' || n % 100, 'thing/' || n, '', '', '{}'",
		"webhook_messages (webhook_id, message_id, event, data, state, attempts, created_at, sent_since, due_at, status, fault) SELECT 1, '', 'e', " + object +
			", CASE n % 3 WHEN 0 THEN 'waiting' WHEN 1 THEN 'dead' ELSE 'delivered' END, 0, n, n, n, 0, ''",
		`notices (call_id, number, type_id, type_version, recipient_id, name, locale, data, external_id, metadata, actor, state, attempts, owner, due_at, valid_until,
			published_at, stage, code, enhanced, reply, created_at, changed_at) SELECT n, 1, 1, 1, n, '', '', '{}', '', '{}', 'a', 'accepted', 1, '', 0, 0, 0, 'dot', 250, '', 'ok', n, n`,
		"notice_attempts (notice_id, number, state, stage, code, enhanced, reply, at) SELECT n, 1, 'accepted', 'dot', 250, '', 'ok', n",
		"notice_calls (type_id, type_version, key_id, idempotency, body_hash, answer, data, forgotten, created_at) SELECT 1, 1, 1, 'i' || n, '', 'a', '{}', n % 2, n",
		`deliveries (campaign_id, number, recipient_id, state, attempts, retry_at, stage, code, enhanced, reply, changed_at) SELECT 1, n, n, 'accepted', 1, 0, 'dot', 250,
			'', 'ok', n`,
		"consents (recipient_id, purpose, topic_id, decision, channel, evidence_id, actor, network, at) SELECT n, 'topic', 1, 'given', 'api', 1, '', '', n",
		"consents (recipient_id, purpose, topic_id, decision, channel, evidence_id, actor, network, at) SELECT n, 'topic', 1, 'withdrawn', 'api', 1, '', '', n",
		"consent_states (recipient_id, purpose, topic_id, decision) SELECT n, 'topic', 1, 'withdrawn'",
		`sign_ups (form_id, form_version, recipient_id, address_hash, name, language, choices, network, requested_at, message_id, confirmed_at, confirmed_network)
			SELECT 1, 1, n, '', '', '', '[]', '', n, '', n, ''`,
		"requests (kind, recipient_id, address_hash, channel, actor, reason, state, created_at, due_at, ended_at, receipt) SELECT 'access', n, '', 'desk', '', '', 'done', n, n, n, ''",
	} {
		tamper(tb, raw, "INSERT INTO "+insert+" FROM "+series)
	}
	tamper(tb, raw, "ANALYZE")
}

// TestLargeTablesAreNotScanned asks both databases for their plans.
func TestLargeTablesAreNotScanned(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		many(t, s, url, 20_000)
		old := time.UnixMicro(5000)
		audited := func(f posthaste.AuditFilter, before int64) func() (string, error) {
			return func() (string, error) { return s.PlanAudit(t.Context(), f, before, 50) }
		}
		forgotten := func(rule string) func() (string, error) {
			return func() (string, error) { return s.PlanForget(t.Context(), rule, old) }
		}
		for name, c := range map[string]struct {
			plan  func() (string, error)
			index string
		}{
			"audit by action":           {audited(posthaste.AuditFilter{Action: "action/7"}, 0), "audit_by_action"},
			"audit by action, paged":    {audited(posthaste.AuditFilter{Action: "action/7"}, 15_000), "audit_by_action"},
			"audit by actor":            {audited(posthaste.AuditFilter{Actor: "actor/7"}, 0), "audit_by_actor"},
			"audit of a time":           {audited(posthaste.AuditFilter{From: old, To: old.Add(time.Millisecond)}, 0), "audit_by_time"},
			"audit until a time":        {audited(posthaste.AuditFilter{To: old}, 0), "audit_by_time"},
			"audit since a time":        {audited(posthaste.AuditFilter{From: old}, 0), "audit_by_time"},
			"audit since a time, paged": {audited(posthaste.AuditFilter{From: old}, 7000), "audit_by_time"},
			"erasure":                   {func() (string, error) { return s.PlanErase(t.Context(), "webhook_messages") }, "webhook_messages_by_notice"},
			"consents":                  {forgotten("consents"), ""},
			"sign-ups":                  {forgotten("sign-ups"), "sign_ups_confirmed"},
			"requests":                  {forgotten("requests"), "requests_ended"},
			"replies":                   {forgotten("replies"), ""},
			"ledger":                    {forgotten("ledger"), ""},
			"calls":                     {forgotten("calls"), "notice_calls_answered"},
			"webhook messages":          {forgotten("webhook-messages"), "webhook_messages_dead_since"},
		} {
			plan, err := c.plan()
			must(t, err)
			scans := strings.Contains(plan, "Seq Scan")
			for line := range strings.Lines(plan) { // "part" is what a part of a rule of retention goes through
				scans = scans || strings.HasPrefix(line, "SCAN") && strings.TrimSpace(line) != "SCAN part"
			}
			if scans || !strings.Contains(plan, c.index) {
				t.Errorf("%s is not found by %s:\n%s", name, c.index, plan)
			}
		}
	})
}

// TestRetentionGoesInBatches has several batches of every kind.
func TestRetentionGoesInBatches(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		many(t, s, url, 50)
		wants := map[string]int64{"consents": 100, "sign-ups": 50, "requests": 50, "replies": 150, "ledger": 100, "calls": 25, "webhook-messages": 34}
		for _, rule := range []string{"consents", "sign-ups", "requests", "replies", "ledger", "calls", "webhook-messages"} { // the ledger forgets replies too
			all, want := int64(0), wants[rule]
			batches := 0
			for n, err := range s.Forgotten(t.Context(), rule, time.Now(), 10) {
				must(t, err)
				if n > 10 {
					t.Errorf("%s: %d rows at once", rule, n)
				}
				all, batches = all+n, batches+1
			}
			if all != want || batches < int(want/10) {
				t.Errorf("%s: %d rows in %d batches, want %d", rule, all, batches, want)
			}
			if n, err := s.Forget(t.Context(), rule, time.Now()); err != nil || n != 0 {
				t.Errorf("%s: %d rows were left, %v", rule, n, err)
			}
		}
	})
}

// TestRetentionStopsBetweenBatches ends the context once the first batch is through.
func TestRetentionStopsBetweenBatches(t *testing.T) {
	t.Parallel()
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		many(t, s, url, 50)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var batches []int64
		var last error
		for n, err := range s.Forgotten(ctx, "replies", time.Now(), 10) {
			batches, last = append(batches, n), err
			cancel()
		}
		if !slices.Equal(batches, []int64{10, 0}) || !errors.Is(last, context.Canceled) {
			t.Errorf("batches %v, %v", batches, last)
		}
		var left int
		must(t, testkit.RawSQL(t, url).QueryRowContext(t.Context(), "SELECT count(*) FROM deliveries WHERE reply <> ''").Scan(&left))
		if left != 40 {
			t.Errorf("%d are left", left)
		}
	})
}
