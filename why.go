package posthaste

import (
	"fmt"
	"time"
)

// Why is what tells why a recipient got a mail of a campaign or announcement, or
// did not.
type Why struct {
	Campaign     Campaign
	Topic        string // name of the topic, or of the notice type
	Recipient    Recipient
	Consents     []Consent     // about the campaign's topic, oldest first
	Suppressions []Suppression // of the topic or of all mail, that hold now
	Delivery     *Delivery     // nil: not of the audience
}

// Explain says it in a sentence or two.
func (w Why) Explain() string {
	switch {
	case w.Delivery != nil:
		return w.explainDelivery()
	case w.Campaign.FrozenAt.IsZero():
		return "Nobody has been sent this: its audience is fixed when its time has come. " + w.wouldBe()
	case w.Campaign.IsAnnouncement():
		return fmt.Sprintf("Was not among its recipients: these were those of its segment on %s.", when(w.Campaign.FrozenAt))
	}
	return w.explainAbsence()
}

// explainAbsence is of a frozen campaign to a topic.
func (w Why) explainAbsence() string {
	frozen := when(w.Campaign.FrozenAt)
	switch c, ok := w.heldAt(w.Campaign.FrozenAt); {
	case !ok && len(w.Consents) == 0:
		return fmt.Sprintf("Was not sent it: never consented to %q.", w.Topic)
	case !ok:
		return fmt.Sprintf("Was not sent it: first decided about %q on %s, after its audience had been fixed on %s.", w.Topic, when(w.Consents[0].At), frozen)
	case c.Decision == Withdrawn:
		return fmt.Sprintf("Was not sent it: had withdrawn consent to %q on %s by %s, before its audience was fixed on %s.", w.Topic, when(c.At), c.Channel, frozen)
	}
	return fmt.Sprintf("Consented to %q before its audience was fixed on %s, and yet is not in it: perhaps this is another address of the same person.", w.Topic, frozen)
}

func (w Why) explainDelivery() string {
	d := w.Delivery
	at := when(d.ChangedAt)
	switch d.State {
	case Accepted:
		return fmt.Sprintf("Was sent it, %s: the next mail server took it on %s.", w.because(), at)
	case Suppressed:
		return fmt.Sprintf("Was not sent it on %s, %s.", at, w.stopped())
	case Bounced:
		return fmt.Sprintf("Was not reached: the address does not exist, said its mail server on %s.", at)
	case Failed:
		return fmt.Sprintf("Was not reached: it was given up on %s after %d attempts.", at, d.Attempts)
	case Deferred:
		return fmt.Sprintf("Has not been reached yet: it is tried again on %s.", when(d.RetryAt))
	case Uncertain:
		return fmt.Sprintf("May have been sent it on %s: the connection broke before the next mail server answered. A person decides.", at)
	case Cancelled:
		return fmt.Sprintf("Was not sent it: the %s was cancelled.", w.Campaign.Word())
	}
	return "Is among its recipients, and has not been sent it yet."
}

// because is why it went.
func (w Why) because() string {
	if w.Campaign.IsAnnouncement() {
		if w.Campaign.Announcement.Kind == Mandatory {
			return "as every recipient of its segment, whatever they chose, since law or safety demand it"
		}
		return "as every recipient of its segment"
	}
	if c, ok := w.heldAt(w.Delivery.ChangedAt); ok && c.Decision == Given {
		return fmt.Sprintf("since consent to %q had been given on %s by %s", w.Topic, when(c.At), c.Channel)
	}
	return fmt.Sprintf("by a consent to %q that is not on record any more", w.Topic)
}

// stopped is why it did not go.
func (w Why) stopped() string {
	if c, ok := w.heldAt(w.Delivery.ChangedAt); ok && c.Decision == Withdrawn {
		return fmt.Sprintf("since consent to %q had been withdrawn on %s by %s", w.Topic, when(c.At), c.Channel)
	}
	for _, x := range w.Suppressions {
		if !x.CreatedAt.After(w.Delivery.ChangedAt) {
			return fmt.Sprintf("since the address was suppressed on %s (%s)", when(x.CreatedAt), x.Reason)
		}
	}
	return "since consent was missing or the address was suppressed at that moment; the suppression has been lifted since"
}

// wouldBe is how it stands before the audience is fixed.
func (w Why) wouldBe() string {
	if len(w.Suppressions) > 0 {
		return fmt.Sprintf("This address would not be sent it: it is suppressed since %s (%s).", when(w.Suppressions[0].CreatedAt), w.Suppressions[0].Reason)
	}
	if w.Campaign.IsAnnouncement() {
		return "This address would be sent it, if it is in its segment."
	}
	if c, ok := w.heldAt(time.Now()); ok && c.Decision == Given {
		return "This address would be sent it."
	}
	return fmt.Sprintf("This address would not be sent it: there is no consent to %q.", w.Topic)
}

// heldAt is the decision that held at an instant.
func (w Why) heldAt(at time.Time) (held Consent, ok bool) {
	for _, c := range w.Consents {
		if !c.At.After(at) {
			held, ok = c, true
		}
	}
	return held, ok
}

// Explain says what became of a notice, in a sentence.
func (n Notice) Explain() string {
	at := when(n.ChangedAt)
	switch n.State {
	case NoticeAccepted:
		return fmt.Sprintf("Was sent it, since %s asked for it on %s: the next mail server took it on %s.", n.Actor, when(n.CreatedAt), at)
	case NoticeSuppressed:
		return fmt.Sprintf("Was not sent it on %s: %s.", at, n.Reply.Text)
	case NoticeBounced:
		return fmt.Sprintf("Was not reached: the address does not exist, said its mail server on %s.", at)
	case NoticeFailed:
		return fmt.Sprintf("Was not reached: it was given up on %s after %d attempts.", at, n.Attempts)
	case NoticeExpired:
		return fmt.Sprintf("Was not reached: its time ran out on %s after %d attempts.", when(n.ValidUntil), n.Attempts)
	case NoticeDeferred:
		return fmt.Sprintf("Has not been reached yet: it is tried again on %s.", when(n.DueAt))
	}
	return fmt.Sprintf("Is being sent it, since %s asked for it on %s.", n.Actor, when(n.CreatedAt))
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
