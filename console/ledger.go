package console

import (
	"strconv"

	"posthaste"
)

// barWidth is the width of the bar in its own units; the page stretches it.
const barWidth = 1000.0

// ledger is a campaign's Counts as rows that a person can add up.
type ledger struct {
	Audience int64
	Sum      int64
	AddsUp   bool
	Settled  int64 // deliveries that do not change by themselves any more
	Rows     []ledgerRow
}

// ledgerRow is one state of the ledger and its piece of the bar.
type ledgerRow struct {
	State   posthaste.DeliveryState
	Meaning string
	Count   int64
	Share   string
	X, W    string // of the piece, in units of the bar
}

func newLedger(c posthaste.Counts) ledger {
	l := ledger{Audience: c.Audience, AddsUp: c.AddsUp()}
	l.Rows = []ledgerRow{
		{State: posthaste.Queued, Count: c.Queued, Meaning: "waits for a worker"},
		{State: posthaste.Claimed, Count: c.Claimed, Meaning: "a worker has it in hand"},
		{State: posthaste.Accepted, Count: c.Accepted, Meaning: "the next server took it"},
		{State: posthaste.Deferred, Count: c.Deferred, Meaning: "will be tried again"},
		{State: posthaste.Bounced, Count: c.Bounced, Meaning: "the address does not exist"},
		{State: posthaste.Failed, Count: c.Failed, Meaning: "given up for another reason"},
		{State: posthaste.Suppressed, Count: c.Suppressed, Meaning: "no consent, or an opt-out: not sent"},
		{State: posthaste.Uncertain, Count: c.Uncertain, Meaning: "handed over, but no answer came: a person decides"},
		{State: posthaste.Cancelled, Count: c.Cancelled, Meaning: "the campaign was cancelled first"},
	}
	for _, row := range l.Rows {
		l.Sum += row.Count
	}
	l.Settled = l.Sum - c.Open()
	// The bar is drawn of what is there, so that it is never longer than itself.
	whole := float64(max(l.Sum, l.Audience, 1))
	x := 0.0
	for i := range l.Rows {
		row := &l.Rows[i]
		w := barWidth * float64(row.Count) / whole
		row.Share = share(row.Count, l.Audience)
		row.X, row.W = units(x), units(w)
		x += w
	}
	return l
}

func (l ledger) count(state posthaste.DeliveryState) int64 {
	for _, row := range l.Rows {
		if row.State == state {
			return row.Count
		}
	}
	return 0
}

func units(n float64) string { return strconv.FormatFloat(n, 'f', 2, 64) }
