package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"posthaste"
	"posthaste/internal/api"
	"posthaste/internal/recipientfile"
	"posthaste/internal/token"
)

const (
	demoTopic = "weekly-post"
	demoPoll  = 100 * time.Millisecond
)

// demo fills an empty database, sends one newsletter, and says where to look.
type demo struct {
	*service
	out io.Writer
}

func (d demo) run(ctx context.Context) error {
	campaign, err := d.prepare(ctx)
	if err == nil {
		err = d.watch(ctx, campaign)
	}
	if err == nil {
		err = d.read(ctx, campaign)
	}
	if err == nil {
		err = d.notify(ctx)
	}
	if err == nil {
		err = d.show(ctx, campaign)
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil // also when a signal stopped it: the next start goes on
}

// prepare gives the demo's campaign: the one that is there, or a new one.
func (d demo) prepare(ctx context.Context) (posthaste.Campaign, error) {
	found, err := d.store.ListCampaigns(ctx, 0, 1)
	if err != nil {
		return posthaste.Campaign{}, err
	}
	if len(found) > 0 {
		fmt.Fprintln(d.out, "\nThe data of an earlier start is here; nothing is sent again.")
		return found[0], nil
	}
	topic, err := d.store.FindTopic(ctx, demoTopic)
	if errors.Is(err, posthaste.NotFound) {
		topic, err = d.store.AddTopic(ctx, posthaste.Topic{Key: demoTopic, Name: "The Weekly Post"})
	}
	if err != nil {
		return posthaste.Campaign{}, err
	}
	if err := d.importSamples(ctx, topic); err != nil {
		return posthaste.Campaign{}, err
	}
	if err := d.decide(ctx, topic); err != nil {
		return posthaste.Campaign{}, err
	}
	draft := sampleCampaign(topic)
	links, err := d.composer.Check(ctx, draft)
	if err != nil {
		return draft, err
	}
	if draft, err = d.store.AddCampaign(ctx, draft); err != nil {
		return draft, err
	}
	return d.store.Schedule(ctx, draft.ID, draft.Version, time.Now(), "UTC", links)
}

func (d demo) importSamples(ctx context.Context, topic posthaste.Topic) error {
	report, err := recipientfile.Import(ctx, d.store, strings.NewReader(sampleCSV()), posthaste.Import{TopicID: topic.ID, Actor: "demo",
		Evidence: posthaste.Evidence{Source: "demo sign-up sheet", Wording: "Yes, send me The Weekly Post."}})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nImported %d lines: %d recipients, %d rejected:\n", report.Rows, report.Added, report.RejectedRows)
	for _, r := range report.Rejected {
		fmt.Fprintf(d.out, "  line %d: %s\n", r.Line, r.Reason)
	}
	return nil
}

// decide plays what recipients chose: some allow measuring, some opted out,
// some addresses are suppressed.
func (d demo) decide(ctx context.Context, topic posthaste.Topic) error {
	var consents []posthaste.Consent
	for n := range sampleCount {
		email := sampleEmail(n)
		if n%50 == 7 {
			if _, err := d.store.Suppress(ctx, email, posthaste.Suppression{Reason: posthaste.Manual, Evidence: "demo", Actor: "demo"}); err != nil {
				return err
			}
		}
		if n%5 != 0 && n%40 != 3 {
			continue
		}
		r, err := d.store.FindRecipientByAddress(ctx, email)
		if errors.Is(err, posthaste.NotFound) {
			continue // one of the rejected
		}
		if err != nil {
			return err
		}
		if n%40 == 3 {
			if _, err := d.unsub.Stop(ctx, posthaste.OptOut{RecipientID: r.ID, TopicID: topic.ID, Channel: posthaste.ByOneClick}); err != nil {
				return err
			}
		}
		for i, purpose := range []posthaste.Purpose{posthaste.ForOpens, posthaste.ForClicks} {
			if n%(5*(i+1)) == 0 {
				consents = append(consents, posthaste.Consent{RecipientID: r.ID, Purpose: purpose, Decision: posthaste.Given,
					Channel: posthaste.ByPreferences, Source: "demo", Wording: "You may measure this."})
			}
		}
	}
	return d.store.RecordConsents(ctx, consents)
}

// notify has a receipt sent, as another system would; once, however often the demo is started.
func (d demo) notify(ctx context.Context) error {
	kind, data := sampleNotice()
	if _, err := d.store.AddNoticeType(ctx, kind); err != nil && !errors.Is(err, posthaste.Conflict) {
		return err
	}
	email := sampleEmail(0)
	call := posthaste.NoticeCall{Origin: posthaste.Origin{Actor: "demo"}, Idempotency: "demo", BodyHash: []byte(kind.Key), Data: data, Notices: []posthaste.Notice{{Email: email, Canonical: email}}}
	call.Type.Key = kind.Key
	call, err := d.intake.Accept(ctx, call, api.AnswerNotices)
	if err != nil || call.Repeated {
		return err
	}
	fmt.Fprintf(d.out, "\nSent an account notice, a receipt, to %s: it is the newest in the outbox.\n", email)
	return d.untilEnded(ctx, call.Notices[0].ID)
}

func (d demo) untilEnded(ctx context.Context, notice int64) error {
	tick := time.NewTicker(demoPoll)
	defer tick.Stop()
	for {
		if n, _, err := d.store.FindNotice(ctx, notice); err != nil || n.State.Final() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// watch shows the ledger filling until the campaign has ended.
func (d demo) watch(ctx context.Context, c posthaste.Campaign) error {
	fmt.Fprintln(d.out)
	progress := newCountBar(d.out, -1, "Sending")
	tick := time.NewTicker(demoPoll)
	defer tick.Stop()
	for {
		now, err := d.store.FindCampaign(ctx, c.ID)
		if err != nil {
			return err
		}
		counts, err := d.store.CountDeliveries(ctx, c.ID)
		if err != nil {
			return err
		}
		if now.Audience > 0 {
			progress.ChangeMax64(now.Audience)
			progress.set(now.Audience - counts.Open())
		}
		switch now.State {
		case posthaste.Sent, posthaste.CampaignCancelled, posthaste.Draft, posthaste.Paused:
			progress.finish()
			fmt.Fprintln(d.out)
			return d.printLedger(now, counts)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (d demo) printLedger(c posthaste.Campaign, counts posthaste.Counts) error {
	fmt.Fprintf(d.out, "\n%s (%s)\n", c.Name, c.State)
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	var sum int64
	for _, state := range posthaste.DeliveryStates {
		n := *counts.Column(state)
		sum += n
		fmt.Fprintf(table, "  %s\t%d\t\n", state, n)
	}
	verdict := "adds up"
	if !counts.AddsUp() {
		verdict = "DOES NOT ADD UP"
		slog.Error("ledger does not add up", "campaign", c.ID)
	}
	fmt.Fprintf(table, "  \t------\t\n  sum\t%d\t\n  audience\t%d\t\n", sum, counts.Audience)
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.out, "  The ledger %s.\n", verdict)
	return err
}

// show says where to look. The key is new at every start, since only its hash is kept.
func (d demo) show(ctx context.Context, c posthaste.Campaign) error {
	key, hash := api.NewKey()
	if _, err := d.store.PutKey(ctx, posthaste.Key{Name: "demo", Scopes: posthaste.Scopes}, hash); err != nil {
		return err
	}
	console := strings.Replace(localURL(d.operators), "http://", "http://demo:"+key+"@", 1)
	fmt.Fprintln(d.out, "\nNow open")
	if d.hop.outbox != nil {
		fmt.Fprintf(d.out, "  the outbox              %s/outbox\n", console)
	}
	fmt.Fprintf(d.out, "  the campaign's numbers  %s/campaigns/%d\n", console, c.ID)
	fmt.Fprintf(d.out, "  its report              %s/campaigns/%d/report/page.html\n", console, c.ID)
	r, err := d.store.FindRecipientByAddress(ctx, sampleEmail(0))
	if err != nil && !errors.Is(err, posthaste.NotFound) {
		return err
	}
	if err == nil {
		claims := token.Claims{RecipientID: r.ID, TopicID: c.TopicID, CampaignID: c.ID}
		fmt.Fprintf(d.out, "  an unsubscribe page     %s/u/%s\n", d.config.PublicURL, d.keys.Seal(token.Unsubscribe, claims))
		fmt.Fprintf(d.out, "  a preference centre     %s/p/%s\n", d.config.PublicURL, d.keys.Seal(token.Preferences, token.Claims{RecipientID: r.ID}))
	}
	fmt.Fprintf(d.out, "\nAPI key, also the password of the console: %s\nStop with Ctrl-C.\n", key)
	return nil
}
