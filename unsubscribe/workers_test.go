package unsubscribe_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"posthaste"
	"posthaste/internal/bus"
)

// openBus is a broker with nobody on it.
func openBus(tb testing.TB) *bus.Bus {
	tb.Helper()
	b, err := bus.Open(tb.Context(), "embedded:"+tb.TempDir())
	must(tb, err)
	tb.Cleanup(b.Close)
	return b
}

func TestAWorkerThatDoesNotConfirmMakesItUnavailable(t *testing.T) {
	t.Parallel()
	for name, hear := range map[string]bool{"gone": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBus(t)
			if hear {
				release := make(chan struct{})
				stop, err := b.HearOptOuts("w1", func(posthaste.OptOut) { <-release })
				must(t, err)
				t.Cleanup(func() { close(release); stop() })
			}
			h := openHouse(t, 3, b)
			h.openWindow("w1")
			a := h.post(h.oneClickToken(1, 0)).wantStatus(t, http.StatusServiceUnavailable)
			if strings.Contains(a.body, "You are unsubscribed") {
				t.Error("the page claims that it is done")
			}
			h.wantAllowed(1, 0, false) // it is committed even so
			h.wantAllowed(0, 0, true)
		})
	}
}

func TestTheAnswerFollowsTheWorkersConfirmation(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	h := openHouse(t, 2, b)
	h.openWindow("w1")
	var confirmed, other atomic.Bool
	stop, err := b.HearOptOuts("w1", func(o posthaste.OptOut) {
		if o.RecipientID == h.people[1].ID && o.TopicID == h.topics[0].ID && !h.allowed(1, 0) {
			confirmed.Store(true)
		}
	})
	must(t, err)
	t.Cleanup(stop)
	stop, err = b.HearOptOuts("w2", func(posthaste.OptOut) { other.Store(true) })
	must(t, err)
	t.Cleanup(stop)
	h.onAnswer = func(int) {
		if !confirmed.Load() {
			t.Error("the answer came before the worker had confirmed a committed opt-out")
		}
	}
	h.post(h.oneClickToken(1, 0)).wantStatus(t, http.StatusOK)
	if other.Load() {
		t.Error("a worker without an open window was asked")
	}
}

func TestTheBrokerIsNotNeededWhenNothingIsSent(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	h := openHouse(t, 1, b)
	b.Close()
	h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusOK)
	h.wantAllowed(0, 0, false)
}

func TestTheBrokerIsNeededWhileAWindowIsOpen(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	h := openHouse(t, 1, b)
	h.openWindow("w1")
	b.Close()
	h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusServiceUnavailable)
	h.wantAllowed(0, 0, false)
}

func TestASaveCommitsEveryWithdrawalThoughAWorkerIsSilent(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	h := openHouse(t, 1, b)
	must(t, h.store.RecordConsents(t.Context(), []posthaste.Consent{{RecipientID: h.people[0].ID, Purpose: posthaste.ForOpens,
		Decision: posthaste.Given, Channel: posthaste.ByPreferences}}))
	h.wantHolds(0, h.box(0), h.box(1), "opens")
	h.openWindow("w1")
	h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "save=yes").wantStatus(t, http.StatusServiceUnavailable)
	h.wantHolds(0)
}

// Every repetition asks the worker again: the second answer is as true as the first.
func TestARepetitionIsNoConfirmation(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 2, openBus(t))
	h.openWindow("w1")
	for range 2 {
		h.post(h.oneClickToken(0, 0)).wantStatus(t, http.StatusServiceUnavailable)
		h.do(http.MethodPost, "/p/"+h.preferencesToken(1), form, "stop=all").wantStatus(t, http.StatusServiceUnavailable)
	}
	h.wantAllowed(0, 0, false)
	h.wantAllowed(1, 0, false)
}

// TestRepeatedSaveIsNoFalseSuccess: after a save that no worker confirmed, the
// same save asks the worker again, though nothing is left to withdraw.
func TestRepeatedSaveIsNoFalseSuccess(t *testing.T) {
	t.Parallel()
	b := openBus(t)
	h := openHouse(t, 2, b)
	h.openWindow("w1")
	save := func(want int) {
		t.Helper()
		h.do(http.MethodPost, "/p/"+h.preferencesToken(1), form, "save=yes").wantStatus(t, want)
	}
	save(http.StatusServiceUnavailable)
	save(http.StatusServiceUnavailable)
	h.wantAllowed(1, 0, false)
	stop, err := b.HearOptOuts("w1", func(posthaste.OptOut) {})
	must(t, err)
	t.Cleanup(stop)
	save(http.StatusOK)
}
