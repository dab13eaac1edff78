package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste"
)

const (
	// stateLife is how long the bucket remembers that a campaign stands still;
	// SQL knows it for good, the bucket only makes it known at once.
	stateLife = 24 * time.Hour
	// optOutWait bounds the wait for one worker to confirm an opt-out.
	optOutWait = 2 * time.Second
)

// AnnounceState tells all workers the new state of a campaign.
func (b *Bus) AnnounceState(ctx context.Context, campaignID int64, state posthaste.CampaignState) error {
	if _, err := b.states.PutString(ctx, strconv.FormatInt(campaignID, 10), string(state)); err != nil {
		return unavailable(err)
	}
	return nil
}

// WatchStates calls heard for each campaign whose state was announced, first
// for the past ones, until ctx ends. It returns when the past ones are told.
func (b *Bus) WatchStates(ctx context.Context, heard func(campaignID int64, state posthaste.CampaignState)) error {
	watcher, err := b.states.WatchAll(ctx)
	if err != nil {
		return unavailable(err)
	}
	context.AfterFunc(ctx, func() { _ = watcher.Stop() })
	past := make(chan struct{})
	go func() {
		told := false
		for entry := range watcher.Updates() {
			if entry == nil { // the mark between past and present
				if !told {
					told = true
					close(past)
				}
				continue
			}
			if id, err := strconv.ParseInt(entry.Key(), 10, 64); err == nil && entry.Operation() == jetstream.KeyValuePut {
				heard(id, posthaste.CampaignState(entry.Value()))
			}
		}
	}()
	select {
	case <-past:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heardOptOut is the message of an opt-out: ids only.
type heardOptOut struct {
	RecipientID int64 `json:"recipient"`
	TopicID     int64 `json:"topic"`
}

// TellOptOut tells one worker of an opt-out and returns when the worker has
// confirmed that it starts no mail to that recipient any more. Unavailable when it does not.
func (b *Bus) TellOptOut(ctx context.Context, worker string, o posthaste.OptOut) error {
	body, err := json.Marshal(heardOptOut{o.RecipientID, o.TopicID})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, optOutWait)
	defer cancel()
	if _, err := b.conn.RequestWithContext(ctx, optOutSubject+worker, body); err != nil {
		return unavailable(fmt.Errorf("tell worker %s: %w", worker, err))
	}
	return nil
}

// HearOptOuts calls heard for each opt-out told to the worker, and confirms it
// when heard returns, until stop is called.
func (b *Bus) HearOptOuts(worker string, heard func(posthaste.OptOut)) (stop func(), err error) {
	return b.serve(optOutSubject+worker, "", func(m *nats.Msg) ([]byte, error) {
		var o heardOptOut
		if err := json.Unmarshal(m.Data, &o); err != nil {
			return nil, err
		}
		heard(posthaste.OptOut{RecipientID: o.RecipientID, TopicID: o.TopicID})
		return nil, nil
	})
}

// testOrder and testAnswer are the messages of a test send.
type testOrder struct {
	CampaignID  int64 `json:"campaign"`
	RecipientID int64 `json:"recipient"`
}

type testAnswer struct {
	Reply posthaste.Reply `json:"reply"`
	Kind  posthaste.Kind  `json:"kind,omitempty"` // of the error, when there was one
	Error string          `json:"error,omitempty"`
}

// testWait bounds a test send: as long as a slow next hop may take.
const testWait = time.Minute

// RequestTest has some worker send one mail of a campaign to one recipient,
// outside any audience, and gives the reply of the next hop. Unavailable when
// no worker is there or the mail could not be handed over.
func (b *Bus) RequestTest(ctx context.Context, campaignID, recipientID int64) (posthaste.Reply, error) {
	var answer testAnswer
	body, err := json.Marshal(testOrder{campaignID, recipientID})
	if err != nil {
		return answer.Reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	msg, err := b.conn.RequestWithContext(ctx, testSubject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return answer.Reply, &posthaste.Error{Kind: posthaste.Unavailable, Message: "no worker is running", Err: err}
	}
	if err != nil {
		return answer.Reply, unavailable(err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer.Reply, err
	}
	if answer.Error != "" {
		return answer.Reply, &posthaste.Error{Kind: answer.Kind, Message: "the test mail was not sent: " + answer.Error}
	}
	return answer.Reply, nil
}

// ServeTests has this worker share in sending test mails until stop is called.
func (b *Bus) ServeTests(send func(campaignID, recipientID int64) (posthaste.Reply, error)) (stop func(), err error) {
	return b.serve(testSubject, "workers", func(m *nats.Msg) ([]byte, error) {
		var order testOrder
		if err := json.Unmarshal(m.Data, &order); err != nil {
			return nil, err
		}
		reply, err := send(order.CampaignID, order.RecipientID)
		answer := testAnswer{Reply: reply}
		if ours, ok := errors.AsType[*posthaste.Error](err); ok {
			answer.Kind, answer.Error = ours.Kind, ours.Message
		} else if err != nil {
			slog.Error("test mail not sent", "campaign", order.CampaignID, "error", err)
			answer.Kind, answer.Error = posthaste.Unavailable, "the log of the worker says why"
		}
		return json.Marshal(answer)
	})
}

// serve answers requests on a subject, each in a goroutine of its own, since
// one may have to wait for a mail under way; a queue name shares them out.
func (b *Bus) serve(subject, queue string, answer func(*nats.Msg) ([]byte, error)) (func(), error) {
	var answering sync.WaitGroup
	sub, err := b.conn.QueueSubscribe(subject, queue, func(m *nats.Msg) {
		answering.Go(func() {
			if body, err := answer(m); err == nil {
				_ = m.Respond(body) // without a response the asker reports Unavailable
			}
		})
	})
	if err != nil {
		return nil, unavailable(err)
	}
	// The broker must know of it before the worker claims anything.
	if err := b.conn.Flush(); err != nil {
		return nil, unavailable(err)
	}
	return func() { _ = sub.Unsubscribe(); answering.Wait() }, nil
}
