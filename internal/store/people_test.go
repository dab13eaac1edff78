package store_test

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/store"
)

func TestImportCountsMergesAndRepeatsWithoutChange(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
		must(t, err)
		order := posthaste.Import{TopicID: topic.ID, Evidence: evidence, Attributes: []string{"city"}, Actor: "key"}
		rows := func(name, city string) iter.Seq2[posthaste.ImportRow, error] {
			return slices2(
				posthaste.ImportRow{Line: 2, Email: "A@example.com", Canonical: "a@example.com", Name: "Old"},
				posthaste.ImportRow{Line: 3, Email: "b@example.com", Canonical: "b@example.com", Name: `Rob'); DROP`, Attributes: map[string]string{"city": `<"Bern">`}},
				posthaste.ImportRow{Line: 4, Email: "a@example.com", Canonical: "a@example.com", Name: name, Attributes: map[string]string{"city": city}},
			)
		}
		dry := order
		dry.DryRun = true
		report, err := s.Import(t.Context(), dry, rows("Ada", "Oslo"))
		must(t, err)
		want := posthaste.ImportReport{Rows: 3, Added: 2, Merged: 1, Rejected: []posthaste.Rejection{}}
		if d := cmp.Diff(want, report); d != "" {
			t.Fatal("dry run:", d)
		}
		_, err = s.FindRecipientByAddress(t.Context(), "a@example.com")
		wantKind(t, err, posthaste.NotFound)

		report, err = s.Import(t.Context(), order, rows("Ada", "Oslo"))
		must(t, err)
		if d := cmp.Diff(want, report); d != "" {
			t.Fatal("first:", d)
		}
		a, err := s.FindRecipientByAddress(t.Context(), "a@example.com")
		must(t, err)
		if a.Name != "Ada" || a.Attributes["city"] != "Oslo" {
			t.Fatalf("recipient %+v", a)
		}
		before, err := s.ListConsents(t.Context(), a.ID)
		must(t, err)
		if len(before) != 1 || before[0].Wording != evidence.Wording || before[0].Source != evidence.Source || before[0].Actor != "key" {
			t.Fatalf("ledger %+v", before)
		}

		report, err = s.Import(t.Context(), order, rows("Ada", "Oslo"))
		must(t, err)
		if d := cmp.Diff(posthaste.ImportReport{Rows: 3, Unchanged: 2, Merged: 1, Rejected: []posthaste.Rejection{}}, report); d != "" {
			t.Fatal("again:", d)
		}
		after, err := s.FindRecipientByAddress(t.Context(), "a@example.com")
		must(t, err)
		if d := cmp.Diff(a, after); d != "" {
			t.Fatal("importing again changed the recipient:", d)
		}
		ledger, err := s.ListConsents(t.Context(), a.ID)
		must(t, err)
		if d := cmp.Diff(before, ledger, cmp.AllowUnexported(posthaste.Network{}), cmp.Comparer(func(a, b posthaste.Network) bool { return a == b })); d != "" {
			t.Fatal("importing again changed the ledger:", d)
		}

		report, err = s.Import(t.Context(), order, rows("", "Bergen"))
		must(t, err)
		if report.Updated != 1 || report.Unchanged != 1 {
			t.Fatalf("changed: %+v", report)
		}
		if a, err = s.FindRecipientByAddress(t.Context(), "a@example.com"); err != nil || a.Name != "Ada" || a.Attributes["city"] != "Bergen" {
			t.Fatalf("an empty cell erased something, or a full one did not count: %+v (%v)", a, err)
		}
		names, err := s.ListAttributes(t.Context())
		must(t, err)
		if !slices.Equal(names, []string{"city"}) {
			t.Fatalf("attributes %v", names)
		}
	})
}

func slices2(rows ...posthaste.ImportRow) iter.Seq2[posthaste.ImportRow, error] {
	return func(yield func(posthaste.ImportRow, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, err := s.AddTopic(t.Context(), posthaste.Topic{Key: "weekly", Name: "Weekly"})
		must(t, err)
		broken := errors.New("cut off")
		_, err = s.Import(t.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, func(yield func(posthaste.ImportRow, error) bool) {
			if yield(posthaste.ImportRow{Line: 2, Email: email(1), Canonical: email(1)}, nil) {
				yield(posthaste.ImportRow{}, broken)
			}
		})
		if !errors.Is(err, broken) {
			t.Fatalf("error %v", err)
		}
		_, err = s.FindRecipientByAddress(t.Context(), email(1))
		wantKind(t, err, posthaste.NotFound)
		// The connection that staged is fit for another import.
		if _, err := s.Import(t.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(email(1))); err != nil {
			t.Fatal(err)
		}
	})
}

func TestImportNeverLiftsAnOptOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 4)
		stop := func(id, topicID int64) {
			_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: id, TopicID: topicID, Channel: posthaste.ByOneClick})
			must(t, err)
		}
		stop(ids[0], topic.ID)
		stop(ids[1], posthaste.AllTopics)
		_, err := s.Suppress(t.Context(), email(2), posthaste.Suppression{Reason: posthaste.Manual})
		must(t, err)
		// An address that was never imported, and opted out before it is.
		_, err = s.Suppress(t.Context(), email(9), posthaste.Suppression{Reason: posthaste.OptedOut})
		must(t, err)

		report, err := s.Import(t.Context(), posthaste.Import{TopicID: topic.ID, Evidence: evidence}, rowsOf(email(0), email(1), email(2), email(3), email(9)))
		must(t, err)
		if report.Suppressed != 4 || report.Added != 1 {
			t.Fatalf("report %+v", report)
		}
		c, err := s.Freeze(t.Context(), scheduled(t, s, topic).ID)
		must(t, err)
		if got := counts(t, s, c.ID); got.Queued != 1 {
			t.Fatalf("%d would get mail, want 1: %+v", got.Queued, got)
		}
	})
}

func TestConsentIsOwnedByTheRecipient(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 1)
		_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[0], TopicID: topic.ID, Channel: posthaste.ByOneClick})
		must(t, err)
		give := posthaste.Consent{RecipientID: ids[0], Purpose: posthaste.ForTopic, TopicID: topic.ID, Decision: posthaste.Given,
			Channel: posthaste.ByAPI, Source: "desk", Wording: "they said so"}
		wantKind(t, s.RecordConsents(t.Context(), []posthaste.Consent{give}), posthaste.Conflict)
		p, err := s.FindPreferences(t.Context(), ids[0])
		must(t, err)
		if len(p.Topics) != 0 {
			t.Fatal("an operator opted a recipient in again")
		}
		give.Channel = posthaste.ByPreferences
		opens := posthaste.Consent{RecipientID: ids[0], Purpose: posthaste.ForOpens, Decision: posthaste.Given, Channel: posthaste.ByPreferences}
		must(t, s.RecordConsents(t.Context(), []posthaste.Consent{give, opens, opens}))
		p, err = s.FindPreferences(t.Context(), ids[0])
		must(t, err)
		if !slices.Equal(p.Topics, []int64{topic.ID}) || !p.Opens || p.Clicks || p.StopAll {
			t.Fatalf("preferences %+v", p)
		}
		ledger, err := s.ListConsents(t.Context(), ids[0])
		must(t, err)
		var got []string
		for _, e := range ledger {
			got = append(got, string(e.Purpose)+" "+string(e.Decision)+" "+string(e.Channel))
		}
		want := []string{"topic given import", "topic withdrawn one_click", "topic given preferences", "opens given preferences"}
		if !slices.Equal(got, want) {
			t.Fatalf("ledger %v, want %v", got, want)
		}
	})
}

func TestStopAllIsLiftedOnlyByItsOwnPage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, ids := audience(t, s, 1)
		_, err := s.OptOut(t.Context(), posthaste.OptOut{RecipientID: ids[0], TopicID: posthaste.AllTopics, Channel: posthaste.ByPreferences})
		must(t, err)
		found, err := s.ListSuppressions(t.Context(), email(0), 0, 10)
		must(t, err)
		wantKind(t, s.LiftSuppression(t.Context(), found[0].ID), posthaste.Conflict)
		if m, err := s.FindMail(t.Context(), topic.ID, ids[0]); err != nil || m.Allowed {
			t.Fatalf("allowed in spite of stop all (%v)", err)
		}
		must(t, s.LiftStopAll(t.Context(), ids[0]))
		if m, err := s.FindMail(t.Context(), topic.ID, ids[0]); err != nil || !m.Allowed {
			t.Fatalf("not allowed after it was lifted (%v)", err)
		}
	})
}

func TestHitsNeedConsentAndAreCountedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		c, chunks, _ := sending(t, s, 2)
		mails := take(t, s, chunks[0], "w", 10)
		done := outcomes(mails, posthaste.Accepted)
		done[0].Measured = posthaste.MeasuredOpens
		must(t, s.Record(t.Context(), chunks[0], "w", done))
		yes, no := mails[0], mails[1]
		must(t, s.RecordConsents(t.Context(), []posthaste.Consent{{RecipientID: yes.Recipient.ID, Purpose: posthaste.ForOpens, Decision: posthaste.Given, Channel: posthaste.ByPreferences}}))
		hit := func(id int64, kind posthaste.HitKind, m posthaste.Mail) posthaste.Hit {
			return posthaste.Hit{ID: id, Kind: kind, Agent: "browser", CampaignID: c.ID, Number: m.Number, RecipientID: m.Recipient.ID,
				Network: posthaste.ParseNetwork("192.0.2.77/32"), At: time.Now()}
		}
		hits := []posthaste.Hit{hit(1, posthaste.Open, yes), hit(2, posthaste.Open, no), hit(3, posthaste.Click, yes), hit(4, posthaste.Open, yes)}
		must(t, s.RecordHits(t.Context(), hits, rules(t)))
		must(t, s.RecordHits(t.Context(), hits, rules(t)))
		got, err := s.CountHits(t.Context(), c.ID)
		must(t, err)
		if d := cmp.Diff(posthaste.Hits{Measurable: 1, Opened: 1}, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestCampaignEditing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *store.Store) {
		topic, _ := audience(t, s, 1)
		c := scheduled(t, s, topic)
		if c.TimeZone != "Europe/Berlin" || c.State != posthaste.Scheduled {
			t.Fatalf("campaign %+v", c)
		}
		_, err := s.SaveCampaign(t.Context(), c)
		wantKind(t, err, posthaste.Conflict)
		c, err = s.Unschedule(t.Context(), c.ID)
		must(t, err)
		c.Subject = "new"
		saved, err := s.SaveCampaign(t.Context(), c)
		must(t, err)
		if saved.Subject != "new" || saved.Version != c.Version+1 {
			t.Fatalf("saved %+v", saved)
		}
		_, err = s.SaveCampaign(t.Context(), c)
		wantKind(t, err, posthaste.Conflict)
		links, err := s.ListLinks(t.Context(), c.ID)
		must(t, err)
		if !slices.Equal(links, []string{"https://example.com/a", "https://example.com/b"}) {
			t.Fatalf("links %v", links)
		}
		_, err = s.FindCampaign(t.Context(), 999)
		wantKind(t, err, posthaste.NotFound)
		_, err = s.AddTopic(t.Context(), posthaste.Topic{Key: "weekly", Name: "again"})
		wantKind(t, err, posthaste.Conflict)
	})
}
