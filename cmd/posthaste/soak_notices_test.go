package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
)

// storm are clients that have notices sent, each again and again with the same
// Idempotency-Key until it is taken, whatever happens to the service.
type storm struct {
	soak    *soak
	key     string // one that outlives the web process: an Idempotency-Key counts for each key
	clients sync.WaitGroup
	next    atomic.Int64
	stop    atomic.Bool
	mu      sync.Mutex
	answers map[int64]string // by notice
	retries atomic.Int64
	repeats atomic.Int64
}

// notify starts clients that send as many notices, or without end with 0, with
// a pause between two.
func (s *soak) notify(total int64, clients int, pause func(client int) time.Duration) *storm {
	n := &storm{soak: s, answers: map[int64]string{}}
	var made struct{ Key string }
	s.web.program.call("POST", "/keys", `{"name": "shop", "scopes": ["notices:send"]}`, 201, &made)
	n.key = made.Key
	for client := range clients {
		n.clients.Go(func() {
			for !n.stop.Load() {
				number := n.next.Add(1)
				if total > 0 && number > total {
					return
				}
				n.send(number)
				if rand.IntN(5) == 0 { // as clients do that are not sure
					n.repeats.Add(1)
					n.send(1 + rand.Int64N(number))
				}
				if wait := pause(client); wait > 0 {
					<-time.After(wait)
				}
			}
		})
	}
	s.tb.Cleanup(func() { n.stop.Store(true); n.clients.Wait() })
	return n
}

// end stops the clients and gives how many notices were taken.
func (n *storm) end() int64 {
	n.stop.Store(true)
	n.clients.Wait()
	return int64(len(n.answers))
}

func noticeAddress(number int64) string { return fmt.Sprintf("notice%06d@example.com", number) }

// send asks until the answer is 202, and wants the same answer each time.
func (n *storm) send(number int64) {
	body := fmt.Sprintf(`{"type": "receipt", "to": {"email": %q}, "data": %s, "external_id": "n-%d"}`, noticeAddress(number), order, number)
	client := http.Client{Timeout: 20 * time.Second}
	for {
		p := n.soak.web.latest.Load()
		status, answer, err := postNotice(&client, p.operators, n.key, body, fmt.Sprintf("key-%d", number))
		switch {
		case err != nil || status >= 500:
			if n.stop.Load() && n.soak.tb.Failed() {
				return
			}
			n.retries.Add(1)
			<-time.After(100 * time.Millisecond)
			continue
		case status != http.StatusAccepted:
			n.soak.tb.Errorf("notice %d was answered %d: %s", number, status, answer)
			return
		}
		n.mu.Lock()
		if before := n.answers[number]; before != "" && before != answer {
			n.soak.tb.Errorf("notice %d was answered %s and then %s", number, before, answer)
		}
		n.answers[number] = answer
		n.mu.Unlock()
		return
	}
}

func postNotice(client *http.Client, operators, key, body, idempotency string) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, operators+"/api/v1/notices", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", idempotency)
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// compare waits until every notice is final, and holds the ledger against what
// arrived: one row each, all accepted, all received, one Message-ID.
func (n *storm) compare() string {
	tb, ledger := n.soak.tb, n.soak.ledger
	tb.Helper()
	rows := map[string]posthaste.Notice{}
	waitFor(tb, "the end of the notices", func() bool {
		clear(rows)
		for before := int64(0); ; {
			page, err := ledger.ListNotices(context.Background(), posthaste.NoticeFilter{}, before, 1000)
			if err != nil {
				return false
			}
			for _, row := range page {
				if !row.State.Final() {
					return false
				}
				if _, twice := rows[row.ExternalID]; twice {
					tb.Fatalf("%s has two rows", row.ExternalID)
				}
				rows[row.ExternalID], before = row, row.ID
			}
			if len(page) < 1000 {
				return true
			}
		}
	})
	twice := 0
	received := n.soak.hop.snapshot()
	for number := range n.answers {
		row, to := rows[fmt.Sprintf("n-%d", number)], noticeAddress(number)
		ids := n.soak.hop.messageIDs(to)
		if row.State != posthaste.NoticeAccepted || received[to] == 0 || len(ids) != 1 {
			tb.Errorf("notice %d is %q (%s), came %d times as %v", number, row.State, row.Reply.Text, received[to], ids)
		}
		if received[to] > 1 {
			twice++
		}
	}
	if len(rows) != len(n.answers) {
		tb.Errorf("%d rows of %d notices", len(rows), len(n.answers))
	}
	return fmt.Sprintf("each has one row, arrived, and has one Message-ID; %d came more than once; %d requests failed and were repeated, %d repeated without need", twice, n.retries.Load(), n.repeats.Load())
}

// stormNotices is how many.
const stormNotices = 10_000

// TestNoticesInAStorm: 10,000 notices by 16 clients that repeat themselves, while
// workers, web process, scheduler, brokers and database are killed.
func TestNoticesInAStorm(t *testing.T) {
	testkit.Slow(t, "it takes half a minute")
	t.Parallel()
	s := newSoak(t)
	s.web.program.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
	begun := time.Now()
	notices := s.notify(stormNotices, 16, func(int) time.Duration { return 0 })
	done := make(chan struct{})
	go func() { notices.clients.Wait(); close(done) }()
	faults := s.faults()
	killed := 0
	names := []string{"kill a worker", "kill a NATS server", "kill both workers", "kill the web process", "kill a NATS server", "kill PostgreSQL", "kill a scheduler"}
	for over := false; !over; killed++ {
		faults[names[killed%len(names)]]()
		select {
		case <-done:
			over = true
		case <-time.After(500 * time.Millisecond):
		}
	}
	if n := notices.end(); n != stormNotices {
		t.Fatalf("%d were taken", n)
	}
	t.Logf("%d notices taken in %.0f s under %d faults: %s", stormNotices, time.Since(begun).Seconds(), killed, notices.compare())
}
