package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"posthaste"
)

// usageEvery is how often counters are written down; a process that is killed
// forgets as much.
const usageEvery = 3 * time.Second

// usageLimit bounds one writing.
const usageLimit = 10 * time.Second

// Meter holds keys to their rates and counts what they do. Each process has its
// own: with several web processes a key may do as much at each. It is safe for
// concurrent use; a nil one limits and counts nothing.
type Meter struct {
	usage Usage
	mu    sync.Mutex
	rates map[int64]*rate.Limiter // by key
	used  map[usageKey]posthaste.Usage
}

type usageKey struct {
	key, day string
	scope    posthaste.Scope
}

// NewMeter makes a Meter.
func NewMeter(usage Usage) *Meter {
	return &Meter{usage: usage, rates: map[int64]*rate.Limiter{}, used: map[usageKey]posthaste.Usage{}}
}

// take uses up one request of a key's minute. It gives what is left of it, in
// how long it is full again, and, when nothing was left, how long to wait.
func (m *Meter) take(k posthaste.Key) (left int, full, wait time.Duration) {
	if m == nil {
		return k.Rate, 0, 0
	}
	perSecond := rate.Limit(float64(k.Rate) / 60)
	m.mu.Lock()
	limiter := m.rates[k.ID]
	if limiter == nil || limiter.Burst() != k.Rate {
		limiter = rate.NewLimiter(perSecond, k.Rate)
		m.rates[k.ID] = limiter
	}
	m.mu.Unlock()
	taken := limiter.Allow()
	tokens := limiter.Tokens()
	full = time.Duration((float64(k.Rate) - tokens) / float64(perSecond) * float64(time.Second))
	if !taken {
		wait = max(time.Duration((1-tokens)/float64(perSecond)*float64(time.Second)), time.Millisecond)
	}
	return max(int(tokens), 0), full, wait
}

// Allow reports whether a key may do one thing more now; for ways in other than HTTP.
func (m *Meter) Allow(k posthaste.Key) bool {
	if k.Rate == 0 {
		return true
	}
	_, _, wait := m.take(k)
	return wait == 0
}

// count notes a request and how it was answered.
func (m *Meter) count(k posthaste.Key, scope posthaste.Scope, status int) {
	u := posthaste.Usage{Requests: 1}
	switch {
	case status >= 500:
		u.Failed = 1
	case status >= 400:
		u.Refused = 1
	}
	m.add(k, scope, u)
}

// CountNotices notes notices that were taken in.
func (m *Meter) CountNotices(k posthaste.Key, n int) {
	m.add(k, posthaste.SendNotices, posthaste.Usage{Notices: int64(n)})
}

func (m *Meter) add(k posthaste.Key, scope posthaste.Scope, more posthaste.Usage) {
	if m == nil {
		return
	}
	at := usageKey{k.Name, time.Now().UTC().Format(time.DateOnly), scope}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.used[at]
	u.Key, u.Day, u.Scope = at.key, at.day, at.scope
	u.Requests += more.Requests
	u.Refused += more.Refused
	u.Failed += more.Failed
	u.Notices += more.Notices
	m.used[at] = u
}

// Run writes the counters down until ctx ends, and once more then.
func (m *Meter) Run(ctx context.Context) {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		m.flush(context.WithoutCancel(ctx))
		if ctx.Err() != nil {
			return
		}
	}
}

// flush writes what was counted; what cannot be written is counted on.
func (m *Meter) flush(ctx context.Context) {
	m.mu.Lock()
	var used []posthaste.Usage
	for _, u := range m.used {
		used = append(used, u)
	}
	clear(m.used)
	m.mu.Unlock()
	if len(used) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, usageLimit)
	defer cancel()
	if err := m.usage.AddUsage(ctx, used, time.Now()); err != nil {
		slog.Warn("usage of keys waits to be written", "error", err)
		for _, u := range used {
			m.add(posthaste.Key{Name: u.Key}, u.Scope, u)
		}
	}
}
