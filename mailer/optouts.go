package mailer

import (
	"sync"
	"time"

	"posthaste"
)

// remember is how long a heard opt-out is kept: longer than any window stays open.
const remember = 30 * time.Minute

// optOuts is what a worker has heard since its windows opened, and whom it is
// sending to. It is safe for concurrent use.
type optOuts struct {
	mu      sync.Mutex
	stopped map[int64][]heard       // by recipient
	sending map[int64]chan struct{} // those between begin and MAIL FROM
	swept   time.Time
}

type heard struct {
	posthaste.OptOut
	at time.Time
}

func newOptOuts() *optOuts {
	return &optOuts{stopped: map[int64][]heard{}, sending: map[int64]chan struct{}{}, swept: time.Now()}
}

// hear notes an opt-out and returns when no mail to that recipient is before
// its MAIL FROM any more: one that is beginning at this moment is waited for.
func (o *optOuts) hear(out posthaste.OptOut) {
	o.mu.Lock()
	o.sweep()
	o.stopped[out.RecipientID] = append(o.stopped[out.RecipientID], heard{out, time.Now()})
	underway := o.sending[out.RecipientID]
	o.mu.Unlock()
	if underway != nil {
		<-underway
	}
}

// begin reports whether a mail of the topic to the recipient, claimed at some
// instant, may start now. What was heard before the claim the claim has read,
// and with it what the recipient decided since. If it may start, begun is to be
// called once its MAIL FROM is on its way; calling it again does nothing. Two
// mails to one recipient do not begin at once.
func (o *optOuts) begin(recipientID, topicID int64, claimed time.Time) (begun func(), ok bool) {
	for {
		o.mu.Lock()
		for _, h := range o.stopped[recipientID] {
			if h.at.After(claimed) && h.Stops(topicID) {
				o.mu.Unlock()
				return nil, false
			}
		}
		underway := o.sending[recipientID]
		if underway == nil {
			break
		}
		o.mu.Unlock()
		<-underway
	}
	defer o.mu.Unlock()
	over := make(chan struct{})
	o.sending[recipientID] = over
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.sending, recipientID)
		close(over)
	}), true
}

func (o *optOuts) sweep() {
	if time.Since(o.swept) < remember {
		return
	}
	o.swept = time.Now()
	for id, all := range o.stopped {
		if time.Since(all[len(all)-1].at) > remember {
			delete(o.stopped, id)
		}
	}
}
