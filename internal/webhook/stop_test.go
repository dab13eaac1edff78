package webhook_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"posthaste"
)

func TestAStopWaitsForWhatIsUnderWayAndRecordsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls times
		release := make(chan struct{})
		store := newMemory(messagesTo(1, 1, 10)...)
		stop, ended := run(t, store, clientOf(func(r *http.Request) (*http.Response, error) {
			calls.note(r)
			select {
			case <-release:
				return answers(200), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}))
		synctest.Wait()
		stop()
		pass(2 * time.Second)
		select {
		case <-ended:
			t.Fatal("the sender ended before its posts")
		default:
		}
		close(release)
		<-ended
		if n := len(calls.of("w1.example.com")); n != 4 {
			t.Errorf("%d posts, want the 4 that were under way", n)
		}
		outcomes := store.done()
		if len(outcomes) != 4 {
			t.Errorf("%d outcomes, want 4", len(outcomes))
		}
		for _, o := range outcomes {
			if o.State != posthaste.WebhookDelivered {
				t.Errorf("%+v", o)
			}
		}
	})
}

func TestAStopLastsNoLongerThanAnExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(messagesTo(1, 1, 1)...)
		stop, ended := run(t, store, clientOf(hang))
		synctest.Wait()
		begun := time.Now()
		stop()
		<-ended
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
		if outcomes := store.done(); len(outcomes) != 1 || outcomes[0].State != posthaste.WebhookWaiting || outcomes[0].Fault != "no answer within 5s" {
			t.Errorf("outcomes %+v", outcomes)
		}
	})
}

// parting is a peer that notes that it is done with.
type parting struct {
	peer
	closed chan struct{}
}

func (p parting) CloseIdleConnections() { close(p.closed) }

func TestAStopClosesConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := clientOf(nil)
		closed := make(chan struct{})
		client.Transport = parting{hang, closed}
		stop, ended := run(t, newMemory(), client)
		synctest.Wait()
		stop()
		<-ended
		select {
		case <-closed:
		default:
			t.Error("they are still open")
		}
	})
}

// A stop does not break off a call of the store: it might have been done all the same.
func TestAStopLetsTheStoreFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(messagesTo(1, 1, 1)...)
		store.slow = 3 * time.Second
		stop, ended := run(t, store, clientOf(func(*http.Request) (*http.Response, error) { return answers(200), nil }))
		pass(time.Second)
		stop()
		<-ended
		if n := len(store.done()); n != 1 || store.records != 1 {
			t.Errorf("%d outcomes by %d calls", n, store.records)
		}
	})
}

func TestAStopGoesOnTryingToRecordForAWhile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fails int
		want  int // outcomes
	}{{"the store comes back", 3, 1}, {"it does not", 1000, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newMemory(messagesTo(1, 1, 1)...)
				for range tt.fails {
					store.recordFails = append(store.recordFails, errors.New("away"))
				}
				stop, ended := run(t, store, clientOf(func(*http.Request) (*http.Response, error) { return answers(200), nil }))
				synctest.Wait()
				begun := time.Now()
				stop()
				<-ended
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if n := len(store.done()); n != tt.want {
					t.Errorf("%d outcomes, want %d", n, tt.want)
				}
			})
		})
	}
}
