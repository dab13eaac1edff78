package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthaste"
	"posthaste/internal/api"
)

const (
	// noticePrefix begins the addresses of notices; it begins with stopPrefix, so
	// that the sink watches them too.
	noticePrefix = stopPrefix + "notice"
	benchType    = "bench"
	// idleNotices are sent one after the other before the campaign, busyGap apart
	// while it is sent.
	idleNotices = 200
	busyGap     = 50 * time.Millisecond
)

// notices has account notices sent through the API and notes when each was asked
// for. The sink knows when it was handed over.
type notices struct {
	*bench
	key    string
	next   int
	sent   atomic.Int64
	client sync.WaitGroup
	stop   context.CancelFunc
	mu     sync.Mutex
	asked  map[string]time.Time // by address
	failed error
}

// prepare makes the key and the type that they need.
func (n *notices) prepare(ctx context.Context) error {
	key, hash := api.NewKey()
	n.key, n.asked = key, map[string]time.Time{}
	if _, err := n.store.PutKey(ctx, posthaste.Key{Name: "bench", Scopes: []posthaste.Scope{posthaste.SendNotices}}, hash); err != nil {
		return err
	}
	_, err := n.store.AddNoticeType(ctx, posthaste.NoticeType{Key: benchType, Name: "Bench", Reason: "you measure", Kind: posthaste.Necessary, From: "account@bench.example",
		Subject: "Your code is {{ data.code }}", Format: posthaste.Markdown, Body: "Hello {{ recipient.name }}, your code is **{{ data.code }}**.", Validity: time.Hour,
		Schema: json.RawMessage(`{"type": "object", "required": ["code"], "properties": {"code": {"type": "string"}}}`), Actor: "bench"})
	return err
}

// send has one notice sent.
func (n *notices) send(ctx context.Context) error {
	email := fmt.Sprintf("%s%07d@bench.example", noticePrefix, n.next)
	n.next++
	body := fmt.Sprintf(`{"type": %q, "to": {"email": %q, "name": "Ada"}, "data": {"code": "%06d"}}`, benchType, email, n.next)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.operators+"/api/v1/notices", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+n.key)
	request.Header.Set("Content-Type", "application/json")
	n.sent.Add(1) // before, so that what the sink counts is never more than the campaign's
	asked := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	text, _ := io.ReadAll(answer.Body) // it is only shown
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("a notice was answered with %s: %s", answer.Status, text)
	}
	n.mu.Lock()
	n.asked[email] = asked
	n.mu.Unlock()
	return nil
}

// idle measures while nothing else is done.
func (n *notices) idle(ctx context.Context) error {
	for range idleNotices {
		if err := n.send(ctx); err != nil {
			return err
		}
	}
	answers, err := n.handedOver(ctx)
	n.figures.Notices.Idle, n.figures.Notices.IdleP50, n.figures.Notices.IdleP99 = len(answers), milliseconds(percentile(answers, 50)), milliseconds(percentile(answers, 99))
	return err
}

// begin sends one after the other until end.
func (n *notices) begin(ctx context.Context) {
	ctx, n.stop = context.WithCancel(ctx)
	n.client.Go(func() {
		for tick := time.NewTicker(busyGap); ctx.Err() == nil; {
			if err := n.send(ctx); err != nil && ctx.Err() == nil {
				n.failed = err
				return
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
}

func (n *notices) end(ctx context.Context) error {
	n.stop()
	n.client.Wait()
	if n.failed != nil {
		return n.failed
	}
	answers, err := n.handedOver(ctx)
	n.figures.Notices.Busy, n.figures.Notices.BusyP50, n.figures.Notices.BusyP99 = len(answers), milliseconds(percentile(answers, 50)), milliseconds(percentile(answers, 99))
	n.figures.Notices.BusyMost = milliseconds(percentile(answers, 100))
	return err
}

// handedOver waits until the sink has seen all of them, and gives how long each
// took from its request to its RCPT. It forgets them then.
func (n *notices) handedOver(ctx context.Context) (took []time.Duration, err error) {
	for deadline := time.Now().Add(benchStall); ; {
		report, err := n.sink.ask(withNames)
		if err != nil {
			return nil, err
		}
		took = took[:0]
		for email, asked := range n.asked {
			if at, ok := report.Named[email]; ok {
				took = append(took, time.UnixMicro(at).Sub(asked))
			}
		}
		if len(took) == len(n.asked) {
			clear(n.asked)
			return took, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d notices were not handed over within %s", len(n.asked)-len(took), benchStall)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(benchPoll):
		}
	}
}
