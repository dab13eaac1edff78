package mailer_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/metrics"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/mailer"
	"posthaste/mailer/dkim"
	"posthaste/mailer/relay"
)

// noticeHouse is what takes account notices in and sends them, over real parts.
type noticeHouse struct {
	tb       testing.TB
	store    *store.Store
	bus      *bus.Bus
	composer *mailer.NoticeComposer
	intake   *mailer.NoticeIntake
	metrics  *metrics.Metrics // of the notifiers
}

type noticeQueue struct{ jobs *bus.NoticeJobs }

func (q noticeQueue) Next(ctx context.Context, most int) (mailer.NoticeJob, error) {
	j, err := q.jobs.Next(ctx, most)
	if j == nil {
		return nil, err
	}
	return noticeJob{j}, err
}

type noticeJob struct{ *bus.NoticeJob }

func (j noticeJob) IDs() []int64 { return j.NoticeJob.IDs }

func buildNotices(tb testing.TB) *noticeHouse {
	tb.Helper()
	h := &noticeHouse{tb: tb, metrics: metrics.New()}
	dir := tb.TempDir()
	keys, err := token.Load(filepath.Join(dir, "secret"))
	must(tb, err)
	h.store, err = store.Open(tb.Context(), "sqlite:"+filepath.Join(dir, "test.db"), keys)
	must(tb, err)
	tb.Cleanup(func() { must(tb, h.store.Close()) })
	_, err = h.store.Migrate(tb.Context())
	must(tb, err)
	h.bus, err = bus.Open(tb.Context(), "embedded:"+filepath.Join(dir, "nats"))
	must(tb, err)
	tb.Cleanup(h.bus.Close)
	signer, err := dkim.Load("r1@example.com=" + rsaFile)
	must(tb, err)
	h.composer = mailer.NewNoticeComposer(h.store, keys, mailer.Sender{Name: "Example Ltd", PostalAddress: "1 Sample Street", Signer: signer,
		PublicURL: "https://mail.example.com", BounceDomain: "bounces.example.com", ListDomain: "lists.example.com"})
	h.intake = mailer.NewNoticeIntake(h.store, h.composer, h.bus)
	return h
}

// receipt is a type as an operator would register it.
func receipt() posthaste.NoticeType {
	return posthaste.NoticeType{Key: "receipt", Name: "Receipts", Reason: "you bought something from us", Kind: posthaste.Necessary, From: "Example <account@example.com>",
		Subject: "Receipt {{ data.order.id }}", Format: posthaste.Markdown, Body: "Thank you, {{ recipient.name }}.\n\n{% for item in data.order.items %}\n- {{ item }}\n{% endfor %}",
		Schema: json.RawMessage(`{"type": "object", "required": ["order"], "properties": {"greeting": {"type": "string"}, "order": {"type": "object", "required": ["id"],
			"properties": {"id": {"type": "string"}, "items": {"type": "array", "items": {"type": "string"}}}}}}`),
		Validity: time.Hour, Actor: "me"}
}

// add registers a type after the composer has approved of it.
func (h *noticeHouse) add(t posthaste.NoticeType) posthaste.NoticeType {
	h.tb.Helper()
	must(h.tb, h.composer.CheckType(t))
	t, err := h.store.AddNoticeType(h.tb.Context(), t)
	must(h.tb, err)
	return t
}

// kind registers a receipt of another kind, under its name.
func (h *noticeHouse) kind(k posthaste.NoticeKind) posthaste.NoticeType {
	h.tb.Helper()
	t := receipt()
	t.Key, t.Kind = string(k), k
	if k == posthaste.Mandatory {
		t.MandatoryReason = "product recall"
	}
	return h.add(t)
}

const orderData = `{"order": {"id": "A-7", "items": ["Tea & cake", "Cup"]}}`

// callTo asks for one notice for each address.
func callTo(key string, addresses ...string) posthaste.NoticeCall {
	call := posthaste.NoticeCall{Type: posthaste.NoticeType{Key: key}, KeyID: 1, Origin: posthaste.Origin{Actor: "shop", RequestID: "req"}, Data: json.RawMessage(orderData)}
	for i, a := range addresses {
		call.Notices = append(call.Notices, posthaste.Notice{Index: i, Email: a, Canonical: a, Name: "Ann"})
	}
	body := sha256.Sum256(fmt.Append(nil, call))
	call.BodyHash = body[:]
	return call
}

// told is what these tests answer a call.
type told struct {
	Call       int64
	Version    int64
	ValidUntil time.Time
	IDs        []int64
	Refused    []posthaste.NoticeRefusal
}

func answer(call posthaste.NoticeCall) (json.RawMessage, error) {
	out := told{Call: call.ID, Version: call.Type.Version, ValidUntil: call.ValidUntil, Refused: call.Refused}
	for _, n := range call.Notices {
		out.IDs = append(out.IDs, n.ID)
	}
	return json.Marshal(out)
}

// accept takes a call in that is right, and gives the ids of its notices.
func (h *noticeHouse) accept(call posthaste.NoticeCall) []int64 {
	h.tb.Helper()
	call, err := h.intake.Accept(h.tb.Context(), call, answer)
	must(h.tb, err)
	var out told
	must(h.tb, json.Unmarshal(call.Answer, &out))
	return out.IDs
}

func (h *noticeHouse) find(id int64) (posthaste.Notice, []posthaste.Attempt) {
	h.tb.Helper()
	n, attempts, err := h.store.FindNotice(h.tb.Context(), id)
	must(h.tb, err)
	return n, attempts
}

// until waits for notices to be in the states wanted, one for each.
func (h *noticeHouse) until(ids []int64, wanted ...posthaste.NoticeState) {
	h.tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		right := true
		var states []posthaste.NoticeState
		for i, id := range ids {
			n, _ := h.find(id)
			states = append(states, n.State)
			right = right && n.State == wanted[i]
		}
		if right {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.tb.Fatalf("waited too long: %v, want %v", states, wanted)
		}
	}
}

// run starts a notifier; the returned function stops it in order.
func (h *noticeHouse) run(hop relay.Dialer, connections int) (stop func()) {
	h.tb.Helper()
	return h.runOn(h.store, hop, connections)
}

func (h *noticeHouse) runOn(ledger mailer.NoticeLedger, hop relay.Dialer, connections int) (stop func()) {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	jobs, err := h.bus.NoticeJobs(ctx)
	must(h.tb, err)
	notifier := mailer.NewNotifier(fmt.Sprintf("n%d", time.Now().UnixNano()), connections, ledger, noticeQueue{jobs}, h.bus, h.composer, hop)
	notifier.Measure(h.metrics)
	ended := make(chan error, 1)
	go func() { ended <- notifier.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.tb.Error("stop:", err)
		}
	})
	h.tb.Cleanup(stop)
	return stop
}

// schedule starts a scheduler of notices, which ends with the test.
func (h *noticeHouse) schedule() {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var scheduling sync.WaitGroup
	scheduler := mailer.NewNoticeScheduler(h.store, h.bus)
	scheduler.Measure(h.metrics)
	scheduling.Go(func() { scheduler.Run(ctx) })
	h.tb.Cleanup(func() { cancel(); scheduling.Wait() })
}

// later does what a scheduler would do after some time, now, and gives how many went.
func (h *noticeHouse) later(after time.Duration) int {
	h.tb.Helper()
	ids, err := h.store.QueueNotices(h.tb.Context(), time.Now().Add(after), false, 100)
	must(h.tb, err)
	must(h.tb, h.bus.PublishNotices(h.tb.Context(), ids))
	return len(ids)
}
