package posthaste_test

import (
	"strings"
	"testing"
	"time"

	"posthaste"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 11, n, 12, 0, 0, 0, time.UTC) }
	given := posthaste.Consent{Decision: posthaste.Given, Channel: posthaste.ByForm, At: day(1)}
	withdrawn := posthaste.Consent{Decision: posthaste.Withdrawn, Channel: posthaste.ByOneClick, At: day(3)}
	late := posthaste.Consent{Decision: posthaste.Given, Channel: posthaste.ByForm, At: day(9)}
	silent := posthaste.Suppression{Reason: posthaste.HardBounce, CreatedAt: day(2)}
	frozen := posthaste.Campaign{TopicID: 1, FrozenAt: day(5)}
	announced := posthaste.Campaign{TopicID: -1, FrozenAt: day(5), Announcement: posthaste.Announcement{Kind: posthaste.Mandatory}}
	delivery := func(state posthaste.DeliveryState) *posthaste.Delivery {
		return &posthaste.Delivery{State: state, ChangedAt: day(6), RetryAt: day(7), Attempts: 4}
	}
	for name, c := range map[string]struct {
		why  posthaste.Why
		want string
	}{
		"accepted":                    {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given}, Delivery: delivery(posthaste.Accepted)}, `since consent to "T" had been given on 2026-11-01 12:00:00 UTC by form: the next mail server took it on 2026-11-06`},
		"accepted, no record":         {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Accepted)}, "not on record any more"},
		"accepted, withdrawn later":   {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given, {Decision: posthaste.Withdrawn, At: day(8)}}, Delivery: delivery(posthaste.Accepted)}, "had been given on 2026-11-01"},
		"announced, by law":           {posthaste.Why{Campaign: announced, Delivery: delivery(posthaste.Accepted)}, "since law or safety demand it"},
		"not in the segment":          {posthaste.Why{Campaign: announced}, "those of its segment on 2026-11-05"},
		"suppressed, withdrawn":       {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given, withdrawn}, Delivery: delivery(posthaste.Suppressed)}, "had been withdrawn on 2026-11-03 12:00:00 UTC by one_click"},
		"suppressed, silent":          {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given}, Suppressions: []posthaste.Suppression{silent}, Delivery: delivery(posthaste.Suppressed)}, "suppressed on 2026-11-02 12:00:00 UTC (hard_bounce)"},
		"suppressed, lifted since":    {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given}, Delivery: delivery(posthaste.Suppressed)}, "has been lifted since"},
		"bounced":                     {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Bounced)}, "does not exist"},
		"failed":                      {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Failed)}, "after 4 attempts"},
		"deferred":                    {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Deferred)}, "tried again on 2026-11-07"},
		"uncertain":                   {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Uncertain)}, "may have been sent"},
		"cancelled":                   {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Cancelled)}, "the campaign was cancelled"},
		"queued":                      {posthaste.Why{Campaign: frozen, Delivery: delivery(posthaste.Queued)}, "has not been sent it yet"},
		"never consented":             {posthaste.Why{Campaign: frozen}, `never consented to "T"`},
		"consented too late":          {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{late}}, "first decided about \"T\" on 2026-11-09"},
		"withdrawn before":            {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given, withdrawn}}, "had withdrawn consent"},
		"not in it, for no reason":    {posthaste.Why{Campaign: frozen, Consents: []posthaste.Consent{given}}, "another address of the same person"},
		"not frozen, would be":        {posthaste.Why{Campaign: posthaste.Campaign{TopicID: 1}, Consents: []posthaste.Consent{given}}, "This address would be sent it."},
		"not frozen, no consent":      {posthaste.Why{Campaign: posthaste.Campaign{TopicID: 1}}, `there is no consent to "T"`},
		"not frozen, silent":          {posthaste.Why{Campaign: posthaste.Campaign{TopicID: 1}, Suppressions: []posthaste.Suppression{silent}}, "suppressed since 2026-11-02"},
		"not frozen, an announcement": {posthaste.Why{Campaign: posthaste.Campaign{TopicID: -1}}, "if it is in its segment"},
	} {
		c.why.Topic = "T"
		if got := c.why.Explain(); !strings.Contains(strings.ToLower(got), strings.ToLower(c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, state := range posthaste.NoticeStates {
		if got := (posthaste.Notice{State: state}).Explain(); got == "" {
			t.Errorf("nothing is said of %s", state)
		}
	}
}
