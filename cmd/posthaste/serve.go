package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste"
	"posthaste/console"
	"posthaste/internal/api"
	"posthaste/internal/bus"
	"posthaste/internal/metrics"
	"posthaste/internal/region"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/mailer"
	"posthaste/mailer/dkim"
	"posthaste/mailer/journal"
	"posthaste/tracker/machine"
	"posthaste/tracker/report"
	"posthaste/unsubscribe"
)

// The roles: what one process does. Several processes share PostgreSQL and NATS.
const (
	webRole       = "web"       // operators: API and console
	publicRole    = "public"    // recipients: unsubscribing, preferences, beacons
	schedulerRole = "scheduler" // freezes, queues, recovers; one leads, others stand by; records hits
	workerRole    = "worker"    // sends
	inboundRole   = "inbound"   // other systems: notices by SMTP; only if asked for
)

// demoRoles are those that a demo needs.
var demoRoles = []string{webRole, publicRole, schedulerRole, workerRole}

const (
	// publicTimeout bounds a recipient's request; operatorTimeout an operator's, who may import a large file.
	publicTimeout   = 30 * time.Second
	operatorTimeout = 15 * time.Minute
	// grace is how long requests under way may take after a stop.
	grace = 10 * time.Second
	// awayRetry is how long a role waits when database or broker are away.
	awayRetry = 2 * time.Second
)

type serveCommand struct {
	Roles []string `help:"What this process does: any of web, public, scheduler, worker, inbound." default:"web,public,scheduler,worker" enum:"web,public,scheduler,worker,inbound"`
	Demo  bool     `help:"Fill an empty database with sample recipients and send them a newsletter, into the outbox."`
}

func (s serveCommand) has(role string) bool { return slices.Contains(s.Roles, role) }

// service is the opened parts that roles are made of.
type service struct {
	config   config
	keys     *token.Keys
	store    *store.Store
	bus      *bus.Bus
	composer *mailer.Composer
	notices  *mailer.NoticeComposer
	intake   *mailer.NoticeIntake
	meter    *api.Meter
	unsub    *unsubscribe.Service
	hop      hop
	metrics  *metrics.Metrics
	regions  *region.Regions // nil: not known
	rules    *machine.Rules  // by which hits are classed

	monitor   net.Listener // nil when it is off
	operators net.Listener // nil without the web role
	public    net.Listener // nil without the public role
	inbound   net.Listener // nil without the inbound role

	certificate  *tls.Config    // of the inbound role; nil: none
	webhookRoots *x509.CertPool // nil: the system's
	closers      []func() error
}

// Run serves until the context ends, then stops in two steps: nothing new is
// begun, and what is under way is waited for.
func (s serveCommand) Run(e *environment) error {
	if s.Demo && slices.ContainsFunc(demoRoles, func(role string) bool { return !s.has(role) }) {
		return posthaste.Refuse("--demo", "needs the roles web, public, scheduler and worker")
	}
	e.ctx = posthaste.WithOrigin(e.ctx, posthaste.Origin{Actor: posthaste.BySystem})
	svc := &service{config: e.config, metrics: metrics.New()}
	defer svc.close()
	if err := svc.open(e, s); err != nil {
		return err
	}
	fmt.Fprintln(e.out, svc.config)
	running, ctx := errgroup.WithContext(e.ctx)
	s.start(ctx, running, svc)
	if svc.operators != nil {
		fmt.Fprintf(e.out, "operators   %s\n", localURL(svc.operators))
	}
	if svc.monitor != nil {
		fmt.Fprintf(e.out, "monitor     %s (/metrics, /healthz, /readyz)\n", localURL(svc.monitor))
	}
	if svc.inbound != nil {
		fmt.Fprintf(e.out, "notices     smtp://%s (the key as the password)\n", svc.inbound.Addr())
	}
	if svc.public != nil {
		fmt.Fprintf(e.out, "recipients  %s (as %s in mails)\n", localURL(svc.public), svc.config.PublicURL)
	}
	if s.Demo {
		running.Go(func() error { return demo{svc, e.out}.run(ctx) })
	}
	err := running.Wait()
	if e.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it had fully started
	}
	return err
}

// open opens everything that the roles need, in the order in which they depend on each other.
func (svc *service) open(e *environment, s serveCommand) (err error) {
	if s.Demo {
		fill(&svc.config.SenderName, "The Weekly Post Ltd")
		fill(&svc.config.PostalAddress, "1 Sample Street, 1000 Exampletown")
	}
	signer, err := dkim.Load(svc.config.DKIMKeys)
	if err != nil {
		return err
	}
	if svc.webhookRoots, err = readRoots(svc.config.WebhookCA); err != nil {
		return err
	}
	if svc.regions, err = region.Open(svc.config.GeoFile); err != nil {
		return err
	}
	if svc.rules, err = machine.Load(svc.config.NetworksDir); err != nil {
		return err
	}
	if svc.certificate, err = readCertificate(svc.config); err != nil {
		return err
	}
	if err := svc.listen(e.ctx, s); err != nil {
		return err
	}
	if svc.store, svc.keys, err = e.openStore(); err != nil {
		return err
	}
	svc.onClose(svc.store.Close)
	warnOfReaders(slog.Default(), svc.config.SecretFile)
	release, err := svc.store.Own(e.ctx)
	if err != nil {
		return err
	}
	svc.onClose(release)
	if svc.bus, err = bus.Open(e.ctx, svc.config.NATSURL); err != nil {
		return err
	}
	svc.onClose(func() error { svc.bus.Close(); return nil })
	if svc.hop, err = openHop(svc.config); err != nil {
		return err
	}
	if err := svc.recover(e.ctx); err != nil {
		return err
	}
	sender := mailer.Sender{Name: svc.config.SenderName, PostalAddress: svc.config.PostalAddress,
		PublicURL: svc.config.PublicURL, BounceDomain: svc.config.BounceDomain, ListDomain: svc.config.ListDomain, Signer: signer}
	svc.notices = mailer.NewNoticeComposer(svc.store, svc.keys, sender)
	svc.composer = mailer.NewComposer(svc.store, svc.notices, svc.keys, sender)
	svc.intake = mailer.NewNoticeIntake(svc.store, svc.notices, svc.bus)
	svc.meter = api.NewMeter(svc.store)
	svc.unsub = svc.newUnsubscribe()
	return svc.ensureOwnTypes(e.ctx, signer)
}

// onClose has something closed when the service is, after what is opened later.
func (svc *service) onClose(do func() error) { svc.closers = append(svc.closers, do) }

func (svc *service) close() {
	for _, do := range slices.Backward(svc.closers) {
		if err := do(); err != nil {
			slog.Warn("not closed in order", "error", err)
		}
	}
}

// listen opens the ports first: the public URL may follow from one.
func (svc *service) listen(ctx context.Context, s serveCommand) (err error) {
	open := func(address, setting string) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		svc.onClose(func() error { _ = l.Close(); return nil }) // it is closed already after serving
		return l, nil
	}
	if svc.config.MonitorListen != "off" {
		if svc.monitor, err = open(svc.config.MonitorListen, "POSTHASTE_MONITOR_LISTEN"); err != nil {
			return err
		}
	}
	if s.has(webRole) {
		if svc.operators, err = open(svc.config.Listen, "POSTHASTE_LISTEN"); err != nil {
			return err
		}
	}
	if s.has(publicRole) {
		if svc.public, err = open(svc.config.PublicListen, "POSTHASTE_PUBLIC_LISTEN"); err != nil {
			return err
		}
	}
	if s.has(inboundRole) {
		if svc.inbound, err = open(svc.config.InboundListen, "POSTHASTE_INBOUND_LISTEN"); err != nil {
			return err
		}
	}
	if svc.config.PublicURL != "" {
		return nil
	}
	if svc.public == nil {
		return posthaste.Refuse("POSTHASTE_PUBLIC_URL", "is needed: without the public role this process cannot know it")
	}
	svc.config, err = svc.config.withPublicURL(localURL(svc.public))
	return err
}

// localURL is how a listener is reached from this machine.
func localURL(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a listener's own address has a port
	return "http://localhost:" + port
}

// start starts the roles. Each returns when ctx ends.
func (s serveCommand) start(ctx context.Context, running *errgroup.Group, svc *service) {
	id := instanceID()
	if svc.monitor != nil {
		running.Go(func() error { return svc.serveMonitor(ctx, s) })
	}
	if s.has(webRole) {
		running.Go(func() error { return svc.serveOperators(ctx) })
	}
	if s.has(inboundRole) {
		running.Go(func() error { return svc.serveInbound(ctx) })
	}
	if s.has(webRole) || s.has(inboundRole) {
		running.Go(func() error { svc.meter.Run(ctx); return nil })
	}
	if s.has(publicRole) {
		running.Go(func() error { return svc.servePublic(ctx) })
	}
	if s.has(schedulerRole) {
		scheduler := mailer.NewScheduler(svc.store, svc.bus)
		scheduler.Measure(svc.metrics)
		notices := mailer.NewNoticeScheduler(svc.store, svc.bus)
		notices.Measure(svc.metrics)
		running.Go(func() error {
			svc.bus.LeadScheduling(ctx, id, func(ctx context.Context) {
				var all sync.WaitGroup
				all.Go(func() { scheduler.Run(ctx) })
				all.Go(func() { notices.Run(ctx) })
				all.Go(func() { svc.sendWebhooks(ctx) })
				all.Go(func() { svc.sealAudit(ctx) })
				all.Go(func() { svc.keepRetention(ctx) })
				all.Go(func() { svc.recordHits(ctx) })
				all.Wait()
			})
			return nil
		})
		running.Go(func() error { svc.keepSuppressions(ctx); return nil })
	}
	if s.has(workerRole) {
		running.Go(func() error { return insist(ctx, func() error { return svc.sendNotices(ctx, id+"-notices") }) })
		running.Go(func() error { svc.settleOthers(ctx); return nil })
		running.Go(func() error { return insist(ctx, func() error { return svc.sendCampaigns(ctx, id) }) })
	}
}

// insist does again what could not begin because the database or the broker was
// away: a process outlives that when it starts as it does later.
func insist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if ctx.Err() != nil || !errors.Is(err, posthaste.Unavailable) {
			return err
		}
		slog.Warn("worker waits for what it needs", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(awayRetry):
		}
	}
}

func (svc *service) sendNotices(ctx context.Context, id string) error {
	jobs, err := svc.bus.NoticeJobs(ctx)
	if err != nil {
		return err
	}
	notifier := mailer.NewNotifier(id, svc.config.NoticeConnections, svc.store, noticeQueue{jobs}, svc.bus, svc.notices, svc.hop.dialer)
	notifier.Measure(svc.metrics)
	return notifier.Run(ctx)
}

func (svc *service) sendCampaigns(ctx context.Context, id string) error {
	jobs, err := svc.bus.Jobs(ctx)
	if err != nil {
		return err
	}
	keeps, err := journal.Open(svc.journalDir(), id, svc.config.Connections)
	if err != nil {
		slog.Warn("no journal is kept: more would be uncertain after a crash", "error", err)
	}
	worker := mailer.NewWorker(id, svc.config.Connections, keeps, svc.store, queue{jobs}, svc.bus, svc.composer, svc.hop.dialer)
	worker.Measure(svc.metrics)
	return worker.Run(ctx)
}

func (svc *service) serveOperators(ctx context.Context) error {
	e := web.New(web.Options{Name: "operator", TrustedProxies: svc.config.TrustedProxies, Region: svc.regions.Of, Metrics: svc.metrics})
	api.New(api.Parts{Store: svc.store, Composer: svc.composer, Workers: svc.bus, OptOuts: svc.unsub, Privacy: svc.unsub, Notices: svc.notices, Intake: svc.intake, Webhooks: svc.hooks(),
		Heads: heads{svc.store, svc.keys}, Files: report.Files{}, Meter: svc.meter}).Register(e)
	console.Register(e.Group("", api.AskForKey, api.Authenticate(svc.store, svc.meter), api.Require(posthaste.UseConsole, svc.meter)), console.Parts{Store: svc.store, Reports: svc.store, Files: report.Files{}, Outbox: svc.hop.outbox})
	return web.Serve(ctx, e, svc.operators, operatorTimeout, grace)
}
