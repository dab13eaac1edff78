package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
	"posthaste/internal/token"
)

// soakConnections is what each of the two workers has.
const soakConnections = 4

// part is one process of the soak, with every link of its own.
type part struct {
	soak     *soak
	roles    string
	env      []string
	database *testkit.Proxy
	brokers  [3]*testkit.Proxy
	hop      *testkit.Proxy // of a worker
	program  *program
	latest   atomic.Pointer[program] // the same, for other goroutines
}

// soak is the whole service, each role in a process of its own, over a real
// PostgreSQL, a cluster of three NATS servers and a moody next hop.
type soak struct {
	tb                         testing.TB
	postgres                   *testkit.PostgresServer
	nats                       *testkit.NATSCluster
	hop                        *moody
	web                        *part
	schedulers, workers        []*part
	ledger                     *store.Store // past every proxy, to look at
	mortal                     int          // connections of workers that were killed in this round
	public, directory, secrets string
}

func newSoak(t *testing.T) *soak {
	s := &soak{tb: t, postgres: testkit.NewPostgresServer(t), nats: testkit.NewNATSCluster(t), hop: newMoody(t), directory: t.TempDir()}
	s.secrets = s.directory + "/secret"
	keys, err := token.Load(s.secrets)
	if err != nil {
		t.Fatal(err)
	}
	s.web = s.start("web,public")
	s.public = s.web.program.public
	for range 2 {
		s.schedulers = append(s.schedulers, s.start("scheduler"))
		s.workers = append(s.workers, s.start("worker"))
	}
	socket := strings.TrimSuffix(s.postgres.Socket(), "/.s.PGSQL.5432")
	if s.ledger, err = store.Open(t.Context(), "postgres://postgres@/postgres?host="+socket, keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ledger.Close() })
	return s
}

// start starts a process of some roles behind proxies of its own.
func (s *soak) start(roles string) *part {
	p := &part{soak: s, roles: roles, database: testkit.NewProxy(s.tb, "unix:"+s.postgres.Socket())}
	var brokers []string
	for i := range p.brokers {
		p.brokers[i] = testkit.NewProxy(s.tb, s.nats.Addr(i))
		brokers = append(brokers, p.brokers[i].Addr())
	}
	p.hop = testkit.NewProxy(s.tb, s.hop.listener.Addr().String())
	p.env = []string{
		"POSTHASTE_DATA_DIR=" + s.tb.TempDir(), "POSTHASTE_SECRET_FILE=" + s.secrets, "POSTHASTE_MONITOR_LISTEN=off",
		"POSTHASTE_DATABASE_URL=postgres://postgres@" + p.database.Addr() + "/postgres?sslmode=disable",
		"POSTHASTE_NATS_URL=nats://" + strings.Join(brokers, ","), "POSTHASTE_SMTP_URL=smtp://" + p.hop.Addr(),
		"POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", fmt.Sprintf("POSTHASTE_CONNECTIONS=%d", soakConnections),
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street",
	}
	if s.public != "" {
		p.env = append(p.env, "POSTHASTE_PUBLIC_URL="+s.public)
	}
	p.run()
	return p
}

// run starts the process, and again while a part that it needs is away.
func (p *part) run() {
	p.program = spawn(p.soak.tb, p.env, "--roles", p.roles)
	p.latest.Store(p.program)
}

func (p *part) kill() {
	p.program.kill()
	if p.roles == "worker" {
		p.soak.mortal += soakConnections
	}
}

func (p *part) links() []*testkit.Proxy {
	return append(p.brokers[:], p.database, p.hop)
}

// faults by name. Each breaks something, waits, and leaves it mended.
func (s *soak) faults() map[string]func() {
	wait := func(least, most time.Duration) { <-time.After(least + rand.N(most-least)) }
	short := func() { wait(200*time.Millisecond, 2*time.Second) }
	one := func(of []*part) *part { return of[rand.IntN(len(of))] }
	all := func(do func(*testkit.Proxy), links ...func(*part) []*testkit.Proxy) func(parts []*part) {
		return func(parts []*part) {
			for _, p := range parts {
				for _, l := range links {
					for _, proxy := range l(p) {
						do(proxy)
					}
				}
			}
		}
	}
	database := func(p *part) []*testkit.Proxy { return []*testkit.Proxy{p.database} }
	brokers := func(p *part) []*testkit.Proxy { return p.brokers[:] }
	hop := func(p *part) []*testkit.Proxy { return []*testkit.Proxy{p.hop} }
	link := func(parts []*part, of func(*part) []*testkit.Proxy, fault func(*testkit.Proxy)) func() {
		return func() {
			all(fault, of)(parts)
			short()
			all((*testkit.Proxy).Heal, of)(parts)
		}
	}
	moods := func(m mood) func() {
		return func() {
			s.hop.mood.Store(int32(m))
			wait(500*time.Millisecond, 1500*time.Millisecond)
			s.hop.mood.Store(int32(even))
		}
	}
	restart := func(parts ...*part) func() {
		return func() {
			for _, p := range parts {
				p.kill()
			}
			short()
			for _, p := range parts {
				p.run()
			}
		}
	}
	everybody := append(append([]*part{s.web}, s.schedulers...), s.workers...)
	return map[string]func(){
		"kill a worker":                  func() { restart(one(s.workers))() },
		"kill both workers":              restart(s.workers...),
		"kill a scheduler":               func() { restart(one(s.schedulers))() },
		"kill the web process":           restart(s.web),
		"kill everything of ours":        restart(everybody...),
		"stop a worker in order":         func() { p := one(s.workers); s.must(p.program.stop()); short(); p.run() },
		"a worker stands still":          func() { s.standStill(one(s.workers)) },
		"kill PostgreSQL":                func() { s.postgres.Kill(); short(); s.postgres.Start() },
		"kill a NATS server":             func() { n := rand.IntN(3); s.nats.Kill(n); short(); s.nats.Start(n) },
		"cut workers from PostgreSQL":    link(s.workers, database, (*testkit.Proxy).Cut),
		"cut workers from NATS":          link(s.workers, brokers, (*testkit.Proxy).Cut),
		"cut workers from the next hop":  link(s.workers, hop, (*testkit.Proxy).Cut),
		"cut schedulers from PostgreSQL": link(s.schedulers, database, (*testkit.Proxy).Cut),
		"cut schedulers from NATS":       link(s.schedulers, brokers, (*testkit.Proxy).Cut),
		"stall between workers and all":  link(s.workers, (*part).links, (*testkit.Proxy).Stall),
		"delay between workers and all":  link(s.workers, (*part).links, func(p *testkit.Proxy) { p.Delay(30 * time.Millisecond) }),
		"next hop: a storm of 4xx":       moods(storming),
		"next hop drops after the dot":   moods(dropping),
		"next hop stalls":                moods(stalling),
		"next hop answers strangely":     moods(lying),
		"next hop closes after a few":    moods(closing),
	}
}

// standStill is a machine that is suspended for longer than a silent worker is
// believed, and then goes on, its clock ahead.
func (s *soak) standStill(p *part) {
	s.mortal += soakConnections * 256 // nobody knows what of its open windows had gone
	s.must(syscall.Kill(p.program.pid, syscall.SIGSTOP))
	<-time.After(20 * time.Second)
	s.must(syscall.Kill(p.program.pid, syscall.SIGCONT))
}

func (s *soak) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

// TestSoak sends a campaign for each fault while the fault happens, and notices
// all the time. Whatever it was: nobody gets two mailings, nobody is missing who
// is not listed, the ledger adds up at every look, no more is uncertain than was
// under way, and every notice arrives, with one Message-ID.
func TestSoak(t *testing.T) {
	testkit.Slow(t, "it takes a minute")
	t.Parallel()
	s := newSoak(t)
	s.web.program.addTopic()
	s.web.program.importCSV("weekly", manyRecipients(soakAudience))
	s.web.program.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
	notices := s.notify(0, 2, func(int) time.Duration { return 100 * time.Millisecond })
	for round, name := range soakFaults {
		begun := time.Now()
		counts, dropped := s.round(name)
		if t.Failed() {
			t.Fatalf("round %d: %s: %+v", round+1, name, counts)
		}
		t.Logf("round %3d | %-31s | %4d accepted | %d uncertain, at most %d | %d others | %.1f s", round+1, name, counts.Accepted,
			counts.Uncertain, s.mortal+dropped, counts.Audience-counts.Accepted-counts.Uncertain, time.Since(begun).Seconds())
	}
	t.Logf("%d notices were sent all the while: %s", notices.end(), notices.compare())
}

// round sends one campaign under one fault and checks what became of it.
func (s *soak) round(name string) (counts posthaste.Counts, bound int) {
	s.mortal = 0
	before, dropped := s.hop.snapshot(), s.hop.dropped.Load()
	start := s.hop.count.Load()
	id := s.web.program.draft("Hello {{ recipient.name }}", "")
	s.web.program.step(id, "schedule")
	threshold := start + int64(soakAudience/10+rand.IntN(soakAudience/2))
	waitFor(s.tb, "the middle of "+name, func() bool { return s.hop.count.Load() > threshold })
	fault := s.faults()[name]
	if fault == nil {
		s.tb.Fatalf("there is no fault %q", name)
	}
	fault()
	counts = s.untilOver(id, name)
	bound = int(s.hop.dropped.Load() - dropped)
	if strings.HasPrefix(name, "cut workers from the next hop") || strings.HasPrefix(name, "stall") || strings.HasPrefix(name, "delay") {
		bound += 2 * soakConnections
	}
	if counts.Uncertain > int64(s.mortal+bound) {
		s.tb.Errorf("%d are uncertain, more than %d", counts.Uncertain, s.mortal+bound)
	}
	s.compare(id, before)
	return counts, bound
}

// untilOver waits until nothing is to be done; what is deferred is cancelled.
func (s *soak) untilOver(id int64, name string) (counts posthaste.Counts) {
	s.tb.Helper()
	over := func() bool {
		campaign, err := s.ledger.FindCampaign(context.Background(), id)
		if err != nil {
			return false
		}
		if counts, err = s.ledger.CountDeliveries(context.Background(), id); err != nil {
			return false
		}
		if !counts.AddsUp() {
			s.tb.Fatalf("%s: the ledger does not add up: %+v", name, counts)
		}
		return campaign.State == posthaste.Sent || campaign.Audience > 0 && counts.Queued+counts.Claimed == 0
	}
	waitFor(s.tb, "the end of "+name, over)
	if counts.Deferred > 0 {
		s.web.program.step(id, "cancel")
		waitFor(s.tb, "the end of what was deferred", func() bool { return over() && counts.Deferred == 0 })
	}
	return counts
}

// compare holds what the next hop has taken against the ledger, name by name.
func (s *soak) compare(id int64, before map[string]int) {
	s.tb.Helper()
	after := s.hop.snapshot()
	states := map[string]posthaste.DeliveryState{}
	for number := int64(0); ; {
		page, err := s.ledger.ListDeliveries(context.Background(), id, "", number, 1000)
		s.must(err)
		for _, d := range page {
			states[d.Email], number = d.State, d.Number
		}
		if len(page) < 1000 {
			break
		}
	}
	if len(states) != soakAudience {
		s.tb.Errorf("%d deliveries", len(states))
	}
	for to, state := range states {
		switch got := after[to] - before[to]; {
		case got > 1:
			s.tb.Errorf("%s got %d, and is %s", to, got, state)
		case got == 0 && state == posthaste.Accepted:
			s.tb.Errorf("%s got none, and is %s", to, state)
		case got == 1 && state != posthaste.Accepted && state != posthaste.Uncertain:
			s.tb.Errorf("%s got one, and is %s", to, state)
		}
	}
}
