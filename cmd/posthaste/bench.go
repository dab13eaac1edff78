package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/recipientfile"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/mailer"
)

const (
	benchPoll    = 10 * time.Millisecond
	benchQuiet   = 200 * time.Millisecond
	benchStall   = 2 * time.Minute // without a message it has failed
	benchStops   = 100             // one recipient in so many may opt out while it sends
	benchAhead   = 2000            // how far ahead of what was sent an opt-out is, at most
	benchStopGap = 20 * time.Millisecond
	benchTopic   = "bench"
)

type benchCommand struct {
	Recipients  int    `help:"How many are sent to." default:"100000"`
	Connections int    `help:"SMTP connections of each worker." default:"8"`
	Workers     int    `help:"Processes that send; more than one needs --database and --nats." default:"1"`
	Database    string `help:"An empty PostgreSQL database to use instead of a temporary SQLite file." placeholder:"postgres://…"`
	NATS        string `name:"nats" help:"A NATS to use instead of one in the process." placeholder:"nats://…"`
	SMTP        string `name:"smtp" help:"A next hop to use instead of a sink of its own. It is sent every message." placeholder:"smtp://…"`
	JSON        bool   `name:"json" help:"Print the figures as JSON."`
}

// bench is one run: the program in processes of its own, sending to a sink.
type bench struct {
	benchCommand
	environ           []string
	dir               string
	out               io.Writer // of progress
	store             *store.Store
	keys              *token.Keys
	topic             posthaste.Topic
	servers           []*child
	sink              *child // nil with a next hop of somebody's
	nats              bool   // the broker is ours to clear
	operators, public string
	figures           figures
}

// Run seeds, sends, and prints the figures. The environment's own settings do
// not count: a measurement must not write to what is in use.
func (c benchCommand) Run(e *environment) (err error) {
	if c.Recipients < 1 || c.Workers < 1 || c.Workers > 1 && (c.Database == "" || c.NATS == "") {
		return posthaste.Refuse("bench:", "needs at least one recipient and one worker, and --database and --nats for more workers than one")
	}
	dir, err := os.MkdirTemp("", "posthaste-bench-")
	if err != nil {
		return err
	}
	b := &bench{benchCommand: c, environ: e.environ, dir: dir, out: e.out}
	if c.JSON {
		b.out = io.Discard
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.run(e.ctx); err != nil {
		return err
	}
	if c.JSON {
		return b.figures.writeJSON(e.out)
	}
	return b.figures.writeTable(e.out)
}

func (b *bench) close() (err error) {
	for _, c := range append(b.servers, b.sink) {
		c.end()
	}
	if b.nats {
		err = bus.Clear(context.Background(), b.NATS)
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *bench) run(ctx context.Context) error {
	if b.NATS != "" {
		if used, err := bus.InUse(ctx, b.NATS); err != nil || used {
			return errors.Join(err, posthaste.Refuse("--nats", "is in use: a measurement would take part in what is sent there"))
		}
		b.nats = true
	}
	if err := b.startSink(ctx); err != nil {
		return err
	}
	config, err := readConfig(b.settings())
	if err != nil {
		return err
	}
	// A database in use knows another secret than that of this run.
	if b.store, b.keys, err = (&environment{ctx: ctx, config: config}).openStore(); errors.Is(err, posthaste.Conflict) {
		return posthaste.Refuse("--database", "is not empty: a measurement needs a database of its own")
	} else if err != nil {
		return err
	}
	b.figures = figures{Recipients: b.Recipients, Workers: b.Workers, Connections: b.Connections, Database: kindOf(config.DatabaseURL), Broker: kindOf(config.NATSURL)}
	if err := b.seed(ctx); err != nil {
		return err
	}
	if err := b.startServers(ctx); err != nil {
		return err
	}
	if err := b.send(ctx, config); err != nil {
		return err
	}
	return b.fetchBeacons(ctx)
}

// settings configure the measured program.
func (b *bench) settings() []string {
	env := []string{
		"POSTHASTE_DATA_DIR=" + b.dir, "POSTHASTE_DATABASE_URL=" + b.Database, "POSTHASTE_NATS_URL=" + b.NATS, "POSTHASTE_SMTP_URL=" + b.SMTP,
		"POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", fmt.Sprintf("POSTHASTE_CONNECTIONS=%d", b.Connections),
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street, Exampletown",
		"POSTHASTE_BOUNCE_DOMAIN=bounces.bench.example", "POSTHASTE_LIST_DOMAIN=lists.bench.example",
	}
	switch {
	case b.sink == nil: // mail may leave the machine, which needs a URL that its readers could reach
		env = append(env, "POSTHASTE_PUBLIC_URL=https://mail.bench.example")
	case b.public != "":
		env = append(env, "POSTHASTE_PUBLIC_URL="+b.public)
	}
	return env
}

func (b *bench) startSink(ctx context.Context) (err error) {
	if b.SMTP != "" {
		return nil
	}
	b.sink, err = b.spawn(ctx, nil, "sink", "--listen", "127.0.0.1:0", "--watch", stopPrefix)
	if err != nil {
		return err
	}
	line, err := b.sink.line()
	b.SMTP, _, _ = strings.Cut(line, " ")
	return err
}

// startServers starts one process with every role, and others that only send.
func (b *bench) startServers(ctx context.Context) error {
	for n := range b.Workers {
		args := []string{"serve"}
		if n > 0 {
			args = append(args, "--roles", "worker")
		}
		server, err := b.spawn(ctx, b.settings(), args...)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, server)
		for n == 0 && b.public == "" {
			line, err := server.line()
			if err != nil {
				return fmt.Errorf("the measured program did not start: %w", err)
			}
			switch fields := strings.Fields(line); {
			case len(fields) > 1 && fields[0] == "operators":
				b.operators = fields[1]
			case len(fields) > 1 && fields[0] == "recipients":
				b.public = fields[1]
			}
		}
	}
	return nil
}

// stopPrefix begins the addresses of those who may opt out.
const stopPrefix = "stop"

func benchEmail(n int) string {
	if n%benchStops == benchStops/2 {
		return fmt.Sprintf("%s%07d@bench.example", stopPrefix, n)
	}
	return fmt.Sprintf("reader%07d@bench.example", n)
}

// seed fills the database: everybody has chosen the topic and lets opens and clicks be counted.
func (b *bench) seed(ctx context.Context) (err error) {
	begun := time.Now()
	if b.topic, err = b.store.AddTopic(ctx, posthaste.Topic{Key: benchTopic, Name: "The Bench"}); err != nil {
		return err
	}
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "email,name,locale,time_zone,city,plan\n")
		for n := range b.Recipients {
			if _, err := fmt.Fprintf(writer, "%s,%s %s,%s,Europe/Berlin,%s,gold\n", benchEmail(n), firstNames[n%len(firstNames)],
				lastNames[n%len(lastNames)], locales[n%len(locales)], cities[n%7]); err != nil {
				return // the reader has given up
			}
		}
		_ = writer.Close() // of a pipe: never fails
	}()
	bar := newCountBar(b.out, int64(b.Recipients), "Seeding")
	report, err := recipientfile.Import(ctx, b.store, reader, posthaste.Import{TopicID: b.topic.ID, Actor: "bench",
		Evidence: posthaste.Evidence{Source: "bench", Wording: "Yes, measure me."}})
	_ = reader.Close() // of a pipe: never fails
	if err != nil {
		return err
	}
	if report.Added != int64(b.Recipients) {
		return fmt.Errorf("seeded %d recipients instead of %d", report.Added, b.Recipients)
	}
	first, err := b.store.FindRecipientByAddress(ctx, benchEmail(0))
	if err != nil {
		return err
	}
	const batch = 5000
	for from := 0; from < b.Recipients; from += batch {
		var consents []posthaste.Consent
		for n := from; n < min(from+batch, b.Recipients); n++ {
			for _, purpose := range []posthaste.Purpose{posthaste.ForOpens, posthaste.ForClicks} {
				consents = append(consents, posthaste.Consent{RecipientID: first.ID + int64(n), Purpose: purpose, Decision: posthaste.Given,
					Channel: posthaste.ByImport, Source: "bench", Wording: "Yes, measure me."})
			}
		}
		if err := b.store.RecordConsents(ctx, consents); err != nil {
			return err
		}
		bar.set(int64(min(from+batch, b.Recipients)))
	}
	bar.finish()
	fmt.Fprintln(b.out)
	b.figures.SeedSeconds = time.Since(begun).Seconds()
	return nil
}

// send schedules the campaign and watches it to its end.
func (b *bench) send(ctx context.Context, config config) error {
	composer := mailer.NewComposer(b.store, nil, b.keys, mailer.Sender{Name: config.SenderName, PostalAddress: config.PostalAddress,
		PublicURL: cmp.Or(config.PublicURL, b.public), BounceDomain: config.BounceDomain, ListDomain: config.ListDomain})
	draft := benchCampaign(b.topic)
	links, err := composer.Check(ctx, draft)
	if err != nil {
		return err
	}
	if draft, err = b.store.AddCampaign(ctx, draft); err != nil {
		return err
	}
	letters := &notices{bench: b}
	if b.sink != nil {
		if err := errors.Join(letters.prepare(ctx), letters.idle(ctx)); err != nil {
			return err
		}
		letters.begin(ctx)
	}
	use := b.usage()
	begun := time.Now()
	if _, err := b.store.Schedule(ctx, draft.ID, draft.Version, begun, "UTC", links); err != nil {
		return err
	}
	stops := &leavers{bench: b}
	var first, last time.Time
	var sent int64
	bar := newCountBar(b.out, int64(b.Recipients), "Sending")
	for poll := time.NewTicker(benchPoll); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
		now, ended, err := b.progress(ctx, draft.ID, last)
		if err != nil {
			return err
		}
		if now -= letters.sent.Load(); now > sent {
			last = time.Now()
			if first.IsZero() {
				first, use = last, b.usage()
			}
			sent = now
			bar.set(sent)
		}
		if ended {
			break
		}
		if time.Since(maxTime(last, begun)) > benchStall {
			return fmt.Errorf("no message for %s; %d were sent", benchStall, sent)
		}
		if sent > 0 {
			stops.next(ctx, int(sent))
		}
	}
	bar.finish()
	fmt.Fprintln(b.out)
	f := &b.figures
	f.addUsage(use, b.usage(), sent)
	if b.sink != nil {
		if err := letters.end(ctx); err != nil {
			return err
		}
	}
	if err := stops.report(); err != nil {
		return err
	}
	counts, err := b.store.CountDeliveries(ctx, draft.ID)
	if err != nil {
		return err
	}
	f.Counts, f.AddsUp = counts, counts.AddsUp()
	f.FreezeSeconds, f.SendSeconds = first.Sub(begun).Seconds(), max(last.Sub(first), benchPoll).Seconds()
	f.PerSecond, f.PerSecondFromSchedule = float64(sent)/f.SendSeconds, float64(sent)/last.Sub(begun).Seconds()
	return nil
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// progress gives how many messages were accepted, and whether the campaign has
// ended. The database is asked only while nothing seems to be sent, and where
// there is no sink to ask.
func (b *bench) progress(ctx context.Context, id int64, last time.Time) (sent int64, ended bool, err error) {
	if b.sink != nil {
		report, err := b.sink.ask("")
		if report.Messages > 0 {
			b.figures.MessageBytes = report.Bytes / report.Messages
		}
		if err != nil || time.Since(last) < benchQuiet {
			return report.Messages, false, err
		}
		sent = report.Messages
	} else {
		counts, err := b.store.CountDeliveries(ctx, id)
		if err != nil {
			return 0, false, err
		}
		sent = counts.Accepted
	}
	campaign, err := b.store.FindCampaign(ctx, id)
	return sent, campaign.State == posthaste.Sent, err
}

// leavers opts recipients out whose mail is about to be sent.
type leavers struct {
	*bench
	asked []leaver
	last  time.Time
}

type leaver struct {
	email        string
	from, answer time.Time
}

// next opts one recipient out, if it is time for one.
func (s *leavers) next(ctx context.Context, sent int) {
	n := sent + rand.IntN(benchAhead)
	n += (benchStops/2 - n%benchStops + benchStops) % benchStops
	if n >= s.Recipients || time.Since(s.last) < benchStopGap {
		return
	}
	s.last = time.Now()
	email := benchEmail(n)
	if slices.ContainsFunc(s.asked, func(a leaver) bool { return a.email == email }) {
		return
	}
	recipient, err := s.store.FindRecipientByAddress(ctx, email)
	if err != nil {
		return // it is one measurement less
	}
	link := s.public + "/u/" + s.keys.Seal(token.Unsubscribe, token.Claims{RecipientID: recipient.ID, TopicID: s.topic.ID})
	from := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, link, strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body) // so that the connection is used again
	_ = answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		s.asked = append(s.asked, leaver{email, from, time.Now()})
	}
}

// report sums up how long opt-outs took, and when a message to one of them was
// last begun, as the sink saw it.
func (s *leavers) report() error {
	f := &s.figures
	f.OptOuts = len(s.asked)
	var answers, lasts []time.Duration
	named := map[string]int64{}
	if s.sink != nil {
		report, err := s.sink.ask(withNames)
		if err != nil {
			return err
		}
		named = report.Named
	}
	for _, a := range s.asked {
		answers = append(answers, a.answer.Sub(a.from))
		at, ok := named[a.email]
		if !ok {
			lasts = append(lasts, 0)
			continue
		}
		lasts = append(lasts, max(0, time.UnixMicro(at).Sub(a.from)))
		if time.UnixMicro(at).After(a.answer) {
			f.ReadAfterAnswer++
		}
	}
	f.OptOutAnswerP99, f.OptOutLastP99 = milliseconds(percentile(answers, 99)), milliseconds(percentile(lasts, 99))
	return nil
}

func percentile(of []time.Duration, p int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(len(of)*p/100, len(of)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// kindOf is what stands before the colon.
func kindOf(url string) string {
	kind, _, _ := strings.Cut(cmp.Or(url, "?"), ":")
	return kind
}

// benchCampaign is a newsletter of about 8 kB of HTML with personal values, five
// links and an open beacon.
func benchCampaign(topic posthaste.Topic) posthaste.Campaign {
	var body bytes.Buffer
	body.WriteString("<h1>Good morning, {{ recipient.name }}</h1>\n")
	for n := range 5 {
		fmt.Fprintf(&body, "<h2>Story %d for {{ recipient.attributes.city }}</h2>\n<p>%s</p>\n<p><a href=\"https://example.com/story/%d?from=mail&amp;issue=1\">Read story %d</a></p>\n",
			n+1, strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody is surprised any more. ", 5), n+1, n+1)
	}
	body.WriteString("<p>You are on the {{ recipient.attributes.plan }} plan. Until next week, {{ recipient.name | upcase }}.</p>\n")
	return posthaste.Campaign{
		Name: "Bench", TopicID: topic.ID, From: "The Bench <news@bench.example>", Subject: "News for {{ recipient.name }}",
		Preheader: "Five stories", Format: posthaste.HTML, Layout: "letter", Body: body.String(),
		Tracking: posthaste.Tracking{Opens: posthaste.TrackIndividual, Clicks: posthaste.TrackIndividual},
	}
}
