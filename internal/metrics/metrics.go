// Package metrics is what a process tells of itself to Prometheus. It is the
// only package that knows its client library. The rooms are handed a *Metrics
// and say what happened; a nil one hears nothing. No label holds an address, an
// id of a person or a campaign: each is one of the few values that stand beside it.
package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posthaste"
)

// Metrics are one process's. They are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	deliveries  *prometheus.CounterVec   // state: posthaste.DeliveryStates
	notices     *prometheus.CounterVec   // state: posthaste.NoticeStates
	handover    prometheus.Histogram     // seconds from taking a notice in to its first MAIL FROM
	dials       *prometheus.CounterVec   // result: connected, failed
	connections prometheus.Gauge         // open to the next hop
	claims      prometheus.Histogram     // seconds to record a window and claim the next
	effects     prometheus.Histogram     // seconds from an opt-out's request until nothing against it starts
	stops       prometheus.Counter       // opt-outs that could not be confirmed
	hits        *prometheus.CounterVec   // kind: open, click
	lostHits    prometheus.Counter       // that were answered and not counted
	requests    *prometheus.HistogramVec // listener: operator, public; class: 2xx, 3xx, 4xx, 5xx
	leader      prometheus.Gauge         // 1 while this process leads the scheduling
	failures    prometheus.Counter       // steps of the scheduler that failed

	mu      sync.Mutex
	windows map[int]time.Time    // of this worker's lanes: since when each has an open window
	beaten  map[string]time.Time // by worker of this process
}

// New makes the metrics of this process.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), windows: map[int]time.Time{}, beaten: map[string]time.Time{}}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "posthaste_" + name, Help: help}, []string{label})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "posthaste_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "posthaste_" + name, Help: help})
	}
	seconds := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "posthaste_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12)}
	}
	m.deliveries = counters("deliveries_total", "Outcomes that this process recorded.", "state")
	m.notices = counters("notices_total", "Outcomes of notices that this process recorded.", "state")
	m.handover = prometheus.NewHistogram(seconds("notice_handover_seconds", "Time from taking a notice in until it is handed over for the first time."))
	m.dials = counters("dials_total", "Attempts to connect to the next hop.", "result")
	m.hits = counters("hits_total", "Beacon hits to be recorded; not all are kept.", "kind")
	m.lostHits = counter("hits_lost_total", "Beacon hits that were answered and could not be counted, since the broker was away.")
	m.connections = gauge("sending_connections", "Connections to the next hop.")
	m.leader = gauge("scheduler_leader", "1 while this process leads the scheduling.")
	m.stops = counter("optout_failures_total", "Opt-outs that were not confirmed to have taken effect.")
	m.failures = counter("scheduler_failures_total", "Steps of the scheduler that failed.")
	m.claims = prometheus.NewHistogram(seconds("claim_seconds", "Time to record a window and claim the next."))
	m.effects = prometheus.NewHistogram(seconds("optout_to_effect_seconds", "Time from an opt-out's request until no mail against it starts."))
	m.requests = prometheus.NewHistogramVec(seconds("request_seconds", "HTTP requests."), []string{"listener", "class"})
	m.registry.MustRegister(m.deliveries, m.notices, m.handover, m.dials, m.hits, m.lostHits, m.connections, m.leader, m.stops, m.failures, m.claims, m.effects, m.requests,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "posthaste_claim_age_seconds", Help: "Age of the oldest open window of this worker."}, m.claimAge),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "posthaste_beat_age_seconds", Help: "Time since the last beat of this process's workers reached the ledger, of the one that is behind."}, m.beatAge),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

// begin has every series there from the start: a rate cannot be told of one
// that appears with its first event.
func (m *Metrics) begin() {
	for _, state := range states {
		m.deliveries.WithLabelValues(string(state))
	}
	for _, state := range posthaste.NoticeStates {
		m.notices.WithLabelValues(string(state))
	}
	for _, result := range []string{"connected", "failed"} {
		m.dials.WithLabelValues(result)
	}
	for _, kind := range []posthaste.HitKind{posthaste.Open, posthaste.Click} {
		m.hits.WithLabelValues(string(kind))
	}
	for _, listener := range []string{"operator", "public"} {
		for _, class := range []string{"2xx", "3xx", "4xx", "5xx"} {
			m.requests.WithLabelValues(listener, class)
		}
	}
}

// Queue has the depth of a stream asked for at each scrape: chunks, notices or hits.
// When it cannot be told the last one stands.
func (m *Metrics) Queue(stream string, depth func() (uint64, error)) {
	var last float64
	var mu sync.Mutex
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "posthaste_queue_messages",
		Help: "Messages in a stream of the broker.", ConstLabels: prometheus.Labels{"stream": stream}}, func() float64 {
		mu.Lock()
		defer mu.Unlock()
		if n, err := depth(); err == nil {
			last = float64(n)
		}
		return last
	}))
}

// Handler serves them in Prometheus's text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Recorded counts outcomes that the ledger has.
func (m *Metrics) Recorded(outcomes []posthaste.Outcome) {
	if m == nil {
		return
	}
	var counts [len(states)]float64
	for _, o := range outcomes {
		for i, state := range states {
			if o.State == state {
				counts[i]++
			}
		}
	}
	for i, n := range counts {
		if n > 0 {
			m.deliveries.WithLabelValues(string(states[i])).Add(n)
		}
	}
}

// NoticesRecorded counts outcomes of notices that the ledger has.
func (m *Metrics) NoticesRecorded(outcomes []posthaste.NoticeOutcome) {
	if m == nil {
		return
	}
	for _, o := range outcomes {
		m.notices.WithLabelValues(string(o.State)).Inc()
	}
}

// NoticeHandedOver notes that a notice which was taken in at an instant is on its way for the first time.
func (m *Metrics) NoticeHandedOver(since time.Time) {
	if m != nil {
		m.handover.Observe(time.Since(since).Seconds())
	}
}

// Lost counts deliveries that became uncertain with their worker.
func (m *Metrics) Lost(uncertain int64) {
	if m != nil {
		m.deliveries.WithLabelValues(string(posthaste.Uncertain)).Add(float64(uncertain))
	}
}

// states are those that an outcome has.
var states = [...]posthaste.DeliveryState{posthaste.Accepted, posthaste.Deferred, posthaste.Bounced, posthaste.Failed, posthaste.Suppressed, posthaste.Uncertain}

// Dialled counts an attempt to connect to the next hop.
func (m *Metrics) Dialled(err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.dials.WithLabelValues("failed").Inc()
		return
	}
	m.dials.WithLabelValues("connected").Inc()
	m.connections.Inc()
}

// HungUp counts a connection that is no more.
func (m *Metrics) HungUp() {
	if m != nil {
		m.connections.Dec()
	}
}

// Claimed notes how long a claim took, and that a lane has a window since it began.
func (m *Metrics) Claimed(lane int, since time.Time) {
	if m == nil {
		return
	}
	m.claims.Observe(time.Since(since).Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.windows[lane] = since
}

// Released notes that a lane has no window.
func (m *Metrics) Released(lane int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.windows, lane)
}

// Beaten notes that a worker's beat reached the ledger.
func (m *Metrics) Beaten(worker string, at time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beaten[worker] = at
}

func (m *Metrics) claimAge() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest time.Duration
	for _, since := range m.windows {
		oldest = max(oldest, time.Since(since))
	}
	return oldest.Seconds()
}

func (m *Metrics) beatAge() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest time.Duration // 0 without a worker
	for _, at := range m.beaten {
		oldest = max(oldest, time.Since(at))
	}
	return oldest.Seconds()
}

// Stopped notes an opt-out that was asked for at an instant.
func (m *Metrics) Stopped(since time.Time, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.stops.Inc()
	default:
		m.effects.Observe(time.Since(since).Seconds())
	}
}

// HitsLost counts beacon hits that are not counted.
func (m *Metrics) HitsLost(n int) {
	if m != nil {
		m.lostHits.Add(float64(n))
	}
}

// Hit counts a beacon hit that is to be recorded.
func (m *Metrics) Hit(kind posthaste.HitKind) {
	if m != nil {
		m.hits.WithLabelValues(string(kind)).Inc()
	}
}

// Answered notes a request that a listener answered.
func (m *Metrics) Answered(listener string, status int, took time.Duration) {
	if m == nil {
		return
	}
	class := [...]string{"5xx", "2xx", "2xx", "3xx", "4xx", "5xx"}[min(status/100, 5)]
	m.requests.WithLabelValues(listener, class).Observe(took.Seconds())
}

// Leads notes whether this process leads the scheduling.
func (m *Metrics) Leads(yes bool) {
	switch {
	case m == nil:
	case yes:
		m.leader.Set(1)
	default:
		m.leader.Set(0)
	}
}

// StepFailed counts a step of the scheduler that failed.
func (m *Metrics) StepFailed() {
	if m != nil {
		m.failures.Inc()
	}
}
