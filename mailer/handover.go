package mailer

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"posthaste"
	"posthaste/mailer/bounce"
	"posthaste/mailer/relay"
)

// underwayMost is how many messages a connection has at a time: the one that is
// being handed over, and the one whose envelope goes with its final dot.
const underwayMost = 2

// handover is the relay.Source of one open window. It decides what becomes of
// each mail, and looks for an opt-out for the last time before each begins.
type handover struct {
	*lane
	ctx     context.Context
	mailing *Mailing
	mails   []pending            // in their order
	next    int                  // of mails
	flights [underwayMost]flight // those under way; a message has the same place at all times
	begun   int                  // how many have begun: the next one's place, modulo
	ended   int                  // how many of those were answered: the oldest one's place, modulo
	back    []pending            // those to begin again
	permit  bool                 // the oldest under way may be on the wire
	lost    bool                 // the connection was
	halted  bool                 // nothing more of the window may begin
}

// pending is a mail that has not begun, or is to begin again.
type pending struct {
	posthaste.Mail
	again bool // a connection was lost with it
}

// flight is a mail under way.
type flight struct {
	pending
	item  relay.Item
	space Space
}

func (h *handover) open(ctx context.Context, l *lane, mailing *Mailing, mails []posthaste.Mail) {
	h.lane, h.ctx, h.mailing, h.lost, h.halted = l, ctx, mailing, false, false
	h.mails, h.next, h.back = h.mails[:0], 0, h.back[:0]
	for _, mail := range mails {
		h.mails = append(h.mails, pending{Mail: mail})
	}
}

// goesOn reports whether there is something to do for a connection. What a lost
// one left comes first again.
func (h *handover) goesOn() bool {
	if len(h.back) > 0 {
		h.mails = slices.Concat(h.back, h.mails[h.next:])
		h.next, h.back = 0, h.back[:0]
	}
	h.lost = false
	return !h.halted && h.next < len(h.mails)
}

// Next makes the next mail that may begin.
func (h *handover) Next() *relay.Item {
	for !h.halted && h.next < len(h.mails) {
		if h.stops(h.ctx) {
			h.halted = true
			break
		}
		next := h.mails[h.next]
		h.next++
		if item := h.begin(next); item != nil {
			return item
		}
	}
	return nil
}

// begin decides whether a mail begins; nil when it does not.
func (h *handover) begin(next pending) *relay.Item {
	outcome := posthaste.Outcome{Number: next.Number, RecipientID: next.Recipient.ID, At: time.Now()}
	if !next.Allowed {
		outcome.State = posthaste.Suppressed
		h.outcomes = append(h.outcomes, outcome)
		return nil
	}
	f := &h.flights[h.begun%underwayMost]
	letter, err := h.mailing.Compose(&f.space, next.Mail, h.mailing.campaign.FrozenAt)
	if err != nil {
		outcome.State, outcome.Reply.Text = posthaste.Failed, "this mail cannot be made: "+err.Error()
		h.outcomes = append(h.outcomes, outcome)
		return nil
	}
	begun, ok := h.mailing.begin(h.worker.optOuts, next.Recipient.ID, h.claimed)
	if !ok {
		outcome.State = posthaste.Suppressed
		h.outcomes = append(h.outcomes, outcome)
		return nil
	}
	if !h.mayBegin(h.claimed) { // begin may have had to wait
		begun()
		h.halted = true
		return nil
	}
	h.begun++
	letter.Begun = begun
	f.pending, f.item = next, letter.Item
	return &f.item
}

// Permit notes that the oldest mail under way is about to go.
func (h *handover) Permit() bool {
	oldest := &h.flights[h.ended%underwayMost]
	h.permit = !h.owing && h.mayBegin(h.claimed) && h.journal.Begin(h.chunk, oldest.Number, oldest.Recipient.ID)
	h.halted = h.halted || !h.permit
	return h.permit
}

// Answered decides what became of the oldest mail under way. One that was lost
// with its connection before the final dot, as servers do after some number of
// messages, begins once more over another.
func (h *handover) Answered(answer relay.Answer) {
	f := &h.flights[h.ended%underwayMost]
	h.ended++
	noted := h.permit
	h.permit = false
	outcome := posthaste.Outcome{Number: f.Number, RecipientID: f.Recipient.ID, Reply: answer.Reply, At: time.Now(), Measured: h.mailing.measured(f.Mail)}
	bystander := h.lost // lost with the mail before it
	h.lost = h.lost || answer.Lost
	switch {
	case answer.Unanswered() && (bystander || !f.again || h.halted):
		f.again = f.again || !bystander
		h.back = append(h.back, f.pending)
		outcome.State = posthaste.Queued
	case answer.Unknown:
		outcome.State = posthaste.Uncertain
	default:
		since := h.mailing.campaign.SendingSince
		outcome.State, outcome.RetryAt = bounce.Mailings.Decide(answer.Reply, f.Attempts+1, since, outcome.At, since.Add(mailingLife), rand.Float64())
	}
	if noted {
		h.journal.Answered(outcome)
	}
	if h.ended == h.begun { // nothing may follow for a while
		h.journal.Flush()
	}
	if outcome.State == posthaste.Queued {
		return
	}
	h.outcomes = append(h.outcomes, outcome)
	if !h.owing && time.Since(h.recorded) > recordEvery {
		h.record(h.ctx)
	}
}
