package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/store"
)

const (
	// keepEvery is how far the suppressions that are kept outside of the
	// database lag behind it, at most, and so what a restored backup can lack.
	keepEvery = 2 * time.Second
	// keepAgain is how long suppressions are kept again: one that was committed
	// late has a lower number than others that were seen before it.
	keepAgain = 30 * time.Second
	keepBatch = 1000
)

// keepSuppressions copies new suppressions to the broker until ctx ends. When a
// part is away it tries again.
func (svc *service) keepSuppressions(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := keepNew(ctx, svc.store, svc.bus); err != nil && ctx.Err() == nil {
			slog.Warn("suppressions wait to be kept outside of the database", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func keepNew(ctx context.Context, db *store.Store, broker *bus.Bus) error {
	mark, err := findMark(ctx, db, broker)
	if err != nil {
		return err
	}
	for after := mark.ID; ; {
		fresh, err := db.ListSuppressions(ctx, "", after, keepBatch)
		if err != nil || len(fresh) == 0 {
			return err
		}
		last, err := broker.KeepSuppressions(ctx, fresh)
		if err != nil {
			return err
		}
		after = fresh[len(fresh)-1].ID
		moved := mark
		for _, x := range fresh {
			if time.Since(x.CreatedAt) > keepAgain {
				moved = store.Kept{ID: x.ID, Sequence: last}
			}
		}
		if moved != mark {
			mark = moved
			if err := db.SetKept(ctx, mark); err != nil {
				return err
			}
		}
	}
}

// findMark gives up to where suppressions are kept: nowhere, if the broker lost
// its data since.
func findMark(ctx context.Context, db *store.Store, broker *bus.Bus) (store.Kept, error) {
	mark, err := db.FindKept(ctx)
	if err != nil {
		return mark, err
	}
	last, err := broker.LastSuppression(ctx)
	if err == nil && last < mark.Sequence {
		slog.Warn("the broker has lost the suppressions that were kept there", "had", mark.Sequence, "has", last)
		mark = store.Kept{}
	}
	return mark, err
}

type restoredCommand struct{}

// Run makes a database that was restored from a backup fit to be served: nobody
// who opted out since is mailed, and nothing that may have been sent since is
// sent again by itself.
func (restoredCommand) Run(e *environment) error {
	db, _, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	release, err := db.Own(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = release() }() // the process ends
	broker, err := bus.Open(e.ctx, e.config.NATSURL)
	if err != nil {
		return err
	}
	defer broker.Close()
	if err := replay(e, db, broker); err != nil {
		return err
	}
	erased, err := eraseAgain(e, db)
	if err != nil {
		return err
	}
	if erased > 0 {
		fmt.Fprintf(e.out, "%d people who had been erased since the backup are erased again.\n", erased)
	}
	uncertain, err := db.ReleaseLost(e.ctx, 0)
	if err != nil {
		return err
	}
	if uncertain > 0 {
		fmt.Fprintf(e.out, "%d deliveries were under way at the time of the backup and are uncertain.\n", uncertain)
	}
	// Links, message ids and envelope senders of mails that went out since name
	// ids that this database would give again, to others.
	if err := db.SkipIDs(e.ctx); err != nil {
		return err
	}
	ended, err := db.EndRestoredNotices(e.ctx)
	if err != nil {
		return err
	}
	if ended > 0 {
		fmt.Fprintf(e.out, "%d account notices were on their way at the time of the backup and are ended, since they may have been sent: GET /api/v1/notices?state=expired lists them.\n", ended)
	}
	if err := db.NoteRestored(e.ctx); err != nil {
		return err
	}
	held := 0
	for _, list := range []func(context.Context, int64, int) ([]posthaste.Campaign, error){db.ListCampaigns, db.ListAnnouncements} {
		n, err := hold(e, db, list)
		if err != nil {
			return err
		}
		held += n
	}
	fmt.Fprintf(e.out, "%d campaigns and announcements are held. The service can be started.\n", held)
	return nil
}

// replay puts the suppressions in force again that the backup lacks.
func replay(e *environment, db *store.Store, broker *bus.Bus) error {
	mark, err := findMark(e.ctx, db, broker)
	if err != nil {
		return err
	}
	if mark.Sequence == 0 {
		fmt.Fprintln(e.out, "The backup does not say since when suppressions are missing, or the broker lost its data: all that are kept there are replayed.")
	}
	var seen, added int64
	err = broker.ReplaySuppressions(e.ctx, mark.Sequence, func(ctx context.Context, batch []posthaste.Suppression) error {
		n, err := db.RestoreSuppressions(ctx, batch)
		seen, added = seen+int64(len(batch)), added+n
		return err
	})
	if err != nil {
		return err
	}
	// The secret may have been rotated between the backup and what is replayed.
	rejoined, err := rekeyAll(e, db, -1, db.RejoinSuppressions)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d suppressions were kept since the backup; %d of them were missing and are in force again.\n", seen, max(added-rejoined.Doubles, 0))
	return nil
}

// eraseAgain erases those whom the backup has, although they were erased since.
func eraseAgain(e *environment, db *store.Store) (erased int, err error) {
	for {
		ids, err := db.ListErasedAgain(e.ctx, keepBatch)
		if err != nil || len(ids) == 0 {
			return erased, err
		}
		for _, id := range ids {
			if _, err := db.Erase(e.ctx, id, 0); err != nil {
				return erased, err
			}
			erased++
		}
	}
}

// hold stops what would send by itself of one list, and gives how many that are.
func hold(e *environment, db *store.Store, list func(context.Context, int64, int) ([]posthaste.Campaign, error)) (held int, err error) {
	for before := int64(0); ; {
		page, err := list(e.ctx, before, keepBatch)
		if err != nil {
			return held, err
		}
		for _, c := range page {
			before = c.ID
			done, err := holdOne(e, db, c)
			if err != nil {
				return held, err
			}
			if done != "" {
				fmt.Fprintf(e.out, "The %s %d (%s) %s\n", c.Word(), c.ID, c.Name, done)
				held++
			}
		}
		if len(page) < keepBatch {
			return held, nil
		}
	}
}

// holdOne stops one campaign and says so; empty when there was nothing to stop.
func holdOne(e *environment, db *store.Store, c posthaste.Campaign) (done string, err error) {
	switch c.State {
	case posthaste.Paused:
		return "was paused; it may have been resumed and sent since.", nil
	case posthaste.Sending:
		_, err = db.Pause(e.ctx, c.ID)
		return "was being sent and is paused: compare with the next hop's log before you resume or cancel it.", err
	case posthaste.Scheduled:
		if c.IsAnnouncement() { // which is never a draft
			_, err = db.Cancel(e.ctx, c.ID)
			return "was scheduled for " + c.SendAt.Format(time.RFC3339) + " and is cancelled: it may have been sent since. Order it again if it was not.", err
		}
		_, err = db.Unschedule(e.ctx, c.ID)
		return "was scheduled for " + c.SendAt.Format(time.RFC3339) + " and is a draft again: it may have been sent since.", err
	}
	return "", nil
}
