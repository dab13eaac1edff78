package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/mail"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/internal/testkit"
)

// links collects the one-click link of every mail that a sink takes, by recipient.
type links struct {
	mu    sync.Mutex
	links map[string]string
}

func (l *links) take(m testkit.Received) error {
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[m.To] = strings.Trim(parsed.Header.Get("List-Unsubscribe"), "<>")
	return nil
}

// TestTenThousandUnsubscribeFromOneAddress is unsubscribeMany. Under the race
// detector, which makes the database twenty times slower, fewer do.
func TestTenThousandUnsubscribeFromOneAddress(t *testing.T) {
	t.Parallel()
	testkit.Slow(t, "it takes some twenty seconds")
	asking := 10_000
	if underRace() {
		asking = 500
	}
	inBothModes(t, func(t *testing.T, env []string) { unsubscribeMany(t, env, asking) })
}

// BenchmarkTenThousandUnsubscribe is the same with nothing else beside it: it
// fails when it takes more than a minute.
func BenchmarkTenThousandUnsubscribe(b *testing.B) {
	benchInBothModes(b, func(b *testing.B, env []string) {
		for b.Loop() {
			took := unsubscribeMany(b, freshData(b, env), 10_000)
			b.ReportMetric(10_000/took.Seconds(), "requests/s")
			if took > time.Minute {
				b.Errorf("they took %s", took)
			}
		}
	})
}

// unsubscribeMany: a mailbox provider sends the one-click requests of all its
// users from one address. None is throttled and none is in vain: of a campaign
// that waits with its audience fixed, and of one that comes later, only those
// who did not ask get a mail. It gives how long the requests took.
func unsubscribeMany(tb testing.TB, env []string, asking int) (took time.Duration) {
	tb.Helper()
	const staying = 3
	mailed := &links{links: map[string]string{}}
	var gate sync.RWMutex // closed while a campaign is to wait
	sink := testkit.NewSink(tb, testkit.SinkOptions{OnData: mailed.take, OnMail: func(string) error {
		gate.RLock()
		defer gate.RUnlock()
		return nil
	}})
	p := start(tb, append(env, "POSTHASTE_SMTP_URL="+sink.URL()))
	p.addTopic()
	p.importCSV("weekly", manyRecipients(asking+staying))
	campaign := func() int64 {
		id := p.draft("Hello", "")
		p.step(id, "schedule")
		return id
	}
	p.untilSent(campaign())
	gate.Lock()
	waiting := campaign()
	p.until(waiting, "its audience", func(c campaignAnswer) bool { return c.Counts.Audience > 0 })
	p.step(waiting, "pause")
	gate.Unlock()
	early := p.until(waiting, "a standstill", func(c campaignAnswer) bool { return c.Counts.Claimed == 0 }).Counts.Accepted
	before := sink.Count()
	if len(mailed.links) != asking+staying || before != asking+staying+int(early) || int(early) > asking/2 {
		tb.Fatalf("%d links of %d mails, %d of them early", len(mailed.links), before, early)
	}

	stay := map[string]int{} // mails to each
	for to := range mailed.links {
		if len(stay) < staying {
			stay[to] = 0
			delete(mailed.links, to)
		}
	}
	took = p.oneClickAll(slices.Collect(maps.Values(mailed.links)))
	tb.Logf("%d requests from one address in %s: %.0f a second", asking, took.Round(time.Millisecond), float64(asking)/took.Seconds())

	p.step(waiting, "resume")
	if c := p.untilSent(waiting).Counts; c.Accepted+c.Suppressed != int64(asking+staying) || c.Accepted > early+staying {
		tb.Errorf("of the campaign that waited, %d before: %+v", early, c)
	}
	if c := p.untilSent(campaign()).Counts; c.Audience != staying || c.Accepted != staying {
		tb.Errorf("of a later campaign: %+v", c)
	}
	for i, m := range sink.Messages() {
		if _, stays := stay[m.To]; stays {
			stay[m.To]++
		} else if i >= before {
			tb.Errorf("%s got a mail after the answer", m.To)
		}
	}
	for to, mails := range stay {
		if mails != 3 {
			tb.Errorf("%s, who did not ask, got %d mails of 3", to, mails)
		}
	}
	return took
}

// underRace reports that the race detector watches.
func underRace() bool {
	info, known := debug.ReadBuildInfo()
	return known && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// oneClickAll requests each link as a provider does, over a few connections that
// it keeps, and gives how long it took. Each must be answered with 200.
func (p *program) oneClickAll(links []string) time.Duration {
	p.tb.Helper()
	const connections = 8
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	begun := time.Now()
	var wait sync.WaitGroup
	next := make(chan string) // unbuffered: each sender takes what it sends at once
	for range connections {
		wait.Go(func() {
			for link := range next {
				answer, err := client.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
				if err != nil {
					p.tb.Error(err)
					continue
				}
				if _, err = io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
					p.tb.Errorf("%s: %v", answer.Status, err)
				}
				answer.Body.Close()
			}
		})
	}
	for _, link := range links {
		next <- link
	}
	close(next)
	wait.Wait()
	return time.Since(begun)
}
