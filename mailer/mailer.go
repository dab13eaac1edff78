// Package mailer turns campaigns into deliveries and hands them to the next
// hop. The scheduler freezes audiences and queues chunks; workers take chunks,
// claim small windows of them, render, look once more for opt-outs, send, and
// record what came of it.
//
// SQL holds the truth. A queue message only says that a chunk may be worth a
// look, so a message that is lost, repeated or late changes nothing:
//
//	scheduled ─► Freeze ─► QueueReady ─► bus ─► TakeChunk ─► Claim ─► send ─► Record ─► Release
//	                          ▲                    └── a window at a time ──┘             │
//	                          └──────────── retries due, chunks of lost workers ──────────┘
//
// The package knows no SQL and no NATS: store.go says what it needs of them.
// SMTP itself is in the packages below this one.
package mailer

import "time"

const (
	// A window is what one connection has claimed at a time, and so the most
	// that becomes uncertain for it when its machine is lost. It starts with
	// windowFirst deliveries, grows while the next hop takes a window within
	// windowFast, and shrinks when it takes longer than windowSlow: a fast next
	// hop is worth large windows, a slow one loses nothing by small ones.
	windowLeast, windowFirst, windowMost = 4, 16, 256
	windowFast, windowSlow               = 50 * time.Millisecond, 200 * time.Millisecond
	// recordEvery bounds how long an outcome waits to be recorded.
	recordEvery = time.Second
	// beatEvery is how often a worker says that it lives; after silence without
	// one it is taken for lost.
	beatEvery = 3 * time.Second
	silence   = 15 * time.Second
	// fence is after how long without a beat a worker begins nothing any more,
	// since it may be taken for lost soon. It leaves time for what is being begun.
	fence = 10 * time.Second
	// ledgerLimit bounds one call of the ledger that must not be given up with its
	// caller. It may be made again: doing the same twice changes nothing.
	ledgerLimit = 10 * time.Second
	// A worker that stops waits for answersFor for what the next hop has under way,
	// tries for insistFor to record it, and for ledgerLimit to say goodbye: within 35
	// seconds it has stopped, whatever does not answer.
	answersFor = 15 * time.Second
	insistFor  = 10 * time.Second
	// mailingLife is how long a mailing is tried, from the freeze or the last resume.
	mailingLife = 72 * time.Hour
	// idleLimit is after how long without work a connection is closed.
	idleLimit = 30 * time.Second
)
