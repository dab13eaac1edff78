package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste"
)

// times notes when each host was called.
type times struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (s *times) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string][]time.Time{}
	}
	s.at[r.URL.Host] = append(s.at[r.URL.Host], time.Now())
}

func (s *times) of(host string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.at[host]...)
}

func TestRetriesEndWithinADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		m := message(1, "https://broken.example.com/")
		store := newMemory(m)
		stop, ended := run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			return answers(500), nil
		}))
		pass(25 * time.Hour)
		stop()
		<-ended

		waits := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
			2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour}
		at := calls.of("broken.example.com")
		// Whether the second wait of 8 h still fits into the day hangs on the jitter.
		if len(at) != len(waits) && len(at) != len(waits)+1 {
			t.Fatalf("%d attempts", len(at))
		}
		for i := 1; i < len(at); i++ {
			// It is posted at the poll after it is due.
			least, most := waits[i-1]*9/10, waits[i-1]*11/10+time.Second
			if got := at[i].Sub(at[i-1]); got < least || got > most {
				t.Errorf("wait %d: %v, want %v to %v", i, got, least, most)
			}
		}
		outcomes := store.done()
		if len(outcomes) != len(at) {
			t.Errorf("%d outcomes of %d attempts", len(outcomes), len(at))
		}
		if last := at[len(at)-1].Sub(m.SentSince); last > 24*time.Hour {
			t.Errorf("the last attempt came after %v", last)
		}
		for i, o := range outcomes {
			if dead := i == len(outcomes)-1; (o.State == posthaste.WebhookDead) != dead {
				t.Errorf("outcome %d of %d: %+v", i+1, len(outcomes), o)
			}
		}
	})
}

// load counts the posts under way and keeps the most there ever were.
type load struct {
	mu           sync.Mutex
	now, most    map[string]int
	sum, sumMost int
}

func (l *load) begin(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		l.now, l.most = map[string]int{}, map[string]int{}
	}
	l.now[host]++
	l.sum++
	l.most[host], l.sumMost = max(l.most[host], l.now[host]), max(l.sumMost, l.sum)
}

func (l *load) end(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[host]--
	l.sum--
}

// messagesTo gives n messages to one webhook, with ids from first on.
func messagesTo(webhookID, first int64, n int) []posthaste.WebhookMessage {
	var messages []posthaste.WebhookMessage
	for i := range int64(n) {
		m := message(first+i, fmt.Sprintf("https://w%d.example.com/", webhookID))
		m.Webhook.ID = webhookID
		messages = append(messages, m)
	}
	return messages
}

func TestPostsAtATimeAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l load
		var all []posthaste.WebhookMessage
		for i := range int64(50) { // 6 webhooks with 4 each would be 24 at a time
			for w := range int64(6) {
				all = append(all, messagesTo(w+1, w*100+i, 1)...)
			}
		}
		store := newMemory(all...)
		begun := time.Now()
		stop, ended := run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			l.begin(r.URL.Host)
			defer l.end(r.URL.Host)
			<-time.After(200 * time.Millisecond)
			return answers(200), nil
		}))
		for range all {
			<-store.recorded
		}
		took := time.Since(begun)
		stop()
		<-ended
		if l.sumMost != 16 {
			t.Errorf("at most %d at a time, want 16", l.sumMost)
		}
		for host, n := range l.most {
			if n > 4 {
				t.Errorf("%d at a time to %s", n, host)
			}
		}
		if took > 5*time.Second { // 3.8 s of posts
			t.Errorf("it took %v", took)
		}
		for _, limit := range store.limits {
			if limit < 1 || limit > 64 {
				t.Errorf("%d messages were asked for at once", limit)
			}
		}
	})
}

// One webhook alone is told as fast as it answers, four at a time, however much waits.
func TestOneWebhookIsKeptBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l load
		store := newMemory(messagesTo(1, 1, 400)...)
		begun := time.Now()
		run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			l.begin(r.URL.Host)
			defer l.end(r.URL.Host)
			<-time.After(50 * time.Millisecond)
			return answers(200), nil
		}))
		for range 400 {
			<-store.recorded
		}
		if took := time.Since(begun); took > 6*time.Second { // 5 s of posts
			t.Errorf("400 messages took %v", took)
		}
		if l.sumMost != 4 {
			t.Errorf("at most %d at a time, want 4", l.sumMost)
		}
	})
}

func TestASlowReceiverDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		// Five that never answer could fill all places, and their messages came first.
		var all []posthaste.WebhookMessage
		for w := range int64(5) {
			all = append(all, messagesTo(w+1, w*100, 50)...)
		}
		all = append(all, messagesTo(9, 900, 1)...)
		store := newMemory(all...)
		run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			if r.URL.Host != "w9.example.com" {
				return hang(r)
			}
			return answers(200), nil
		}))
		pass(20 * time.Second)
		if n := len(calls.of("w9.example.com")); n != 1 {
			t.Errorf("the one that answers was called %d times within 20 s", n)
		}
		if n := len(calls.of("w1.example.com")); n < 4 {
			t.Errorf("a slow one was called %d times", n)
		}
	})
}

// When a place is free the webhook with the fewest posts under way gets it.
func TestAWebhookWithNothingUnderWayComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		var all []posthaste.WebhookMessage
		for w := range int64(4) {
			all = append(all, messagesTo(w+1, w*100, 8)...)
		}
		all = append(all, messagesTo(9, 900, 1)...)
		run(t, newMemory(all...), clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			return hang(r)
		}))
		pass(5*time.Second + time.Millisecond)
		if n := len(calls.of("w9.example.com")); n != 1 {
			t.Errorf("called %d times when the first places became free", n)
		}
	})
}

// What was let go, because a slow receiver did not get to it, comes again.
func TestNothingIsForgottenBehindASlowReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(messagesTo(1, 1, 150)...)
		run(t, store, clientOf(func(*http.Request) (*http.Response, error) {
			<-time.After(3 * time.Second)
			return answers(200), nil
		}))
		pass(10 * time.Minute)
		seen := map[int64]int{}
		for _, o := range store.done() {
			seen[o.ID]++
		}
		for id := int64(1); id <= 150; id++ {
			if seen[id] != 1 {
				t.Errorf("message %d was posted %d times", id, seen[id])
			}
		}
	})
}

func TestTheStoreIsAskedAgainAfterAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		store := newMemory(messagesTo(1, 1, 20)...)
		store.takeFails = []error{errors.New("away"), errors.New("away")}
		store.recordFails = []error{errors.New("away"), errors.New("away"), errors.New("away")}
		run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			return answers(200), nil
		}))
		pass(time.Minute)
		if n := len(calls.of("w1.example.com")); n != 20 {
			t.Errorf("%d posts of 20 messages", n)
		}
		if n := len(store.done()); n != 20 || len(store.takeFails)+len(store.recordFails) != 0 {
			t.Errorf("%d outcomes; not tried: %v %v", n, store.takeFails, store.recordFails)
		}
	})
}

func TestTheStoreIsLeftAloneWhileItIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(messagesTo(1, 1, 60)...)
		for range 1000 {
			store.recordFails = append(store.recordFails, errors.New("away"))
		}
		stop, ended := run(t, store, clientOf(func(*http.Request) (*http.Response, error) {
			<-time.After(200 * time.Millisecond)
			return answers(200), nil
		}))
		pass(4500 * time.Millisecond)
		tries := len(store.recordFails)
		stop()
		<-ended
		if n := 1000 - tries; n < 4 || n > 5 {
			t.Errorf("asked %d times in 4.5 s, want once a second", n)
		}
	})
}

// While outcomes cannot be recorded nothing new is taken: it would be posted twice.
func TestNothingIsTakenWhileOutcomesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		store := newMemory(messagesTo(1, 1, 1)...)
		for range 100 { // longer than a message that was taken stays away
			store.recordFails = append(store.recordFails, errors.New("away"))
		}
		run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			return answers(200), nil
		}))
		pass(90 * time.Second)
		if n := len(calls.of("w1.example.com")); n != 1 || len(store.done()) != 0 {
			t.Errorf("%d posts, %d outcomes", n, len(store.done()))
		}
		pass(15 * time.Second)
		if n := len(store.done()); n != 1 {
			t.Errorf("%d outcomes in the end", n)
		}
	})
}
