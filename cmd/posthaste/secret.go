package main

import (
	"context"
	"fmt"
	"log/slog"

	"posthaste/internal/store"
	"posthaste/internal/token"
)

type secretCommand struct {
	Rotate secretRotateCommand `cmd:"" help:"Add a line to the secret file, and have new links and all address hashes rest on it. Stop the service first; run it again if it was interrupted."`
}

type secretRotateCommand struct{}

// warnOfReaders says so when others than its owner can read the secret file: they
// can unsubscribe anybody, and find out whose address a hash is.
func warnOfReaders(log *slog.Logger, path string) {
	mode, others, err := token.Exposed(path)
	switch {
	case err != nil:
		log.Warn("nobody knows who can read the secret file", "error", err)
	case others:
		log.Warn("others than its owner can read the secret file", "mode", fmt.Sprintf("%04o", mode), "mend", "chmod go= "+path)
	}
}

// rekeyBatch is how many recipients get their new hashes in one transaction.
const rekeyBatch = 1000

// Run rotates the secret. What an earlier run, or a line that was added by hand,
// left to do comes first, and is all that is done then.
func (secretRotateCommand) Run(e *environment) error {
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
	older, _, err := db.CountOlder(e.ctx)
	if err != nil {
		return err
	}
	if older > 0 {
		fmt.Fprintf(e.out, "%d recipients do not rest on the last line of the secret file yet. They come first, and no further line is added.\n", older)
	} else if err := addLine(e, db); err != nil {
		return err
	}
	if err := rekey(e, db); err != nil {
		return fmt.Errorf("the rotation is not finished, and everything holds; run it again: %w", err)
	}
	return nil
}

// rekey has all recipients rest on the last line and prints how many those were.
func rekey(e *environment, db *store.Store) error {
	older, _, err := db.CountOlder(e.ctx)
	if err != nil {
		return err
	}
	done, err := rekeyAll(e, db, older, db.Rekey)
	if err != nil {
		return err
	}
	_, left, err := db.CountOlder(e.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d recipients and %d suppressions rest on the last line now.\n", done.Recipients, done.Suppressions)
	fmt.Fprintf(e.out, "%d suppressions stay on older lines, of addresses that are nobody's now. They hold too, as long as no line is removed.\n", left)
	return nil
}

// addLine adds a line and has the database know it.
func addLine(e *environment, db *store.Store) error {
	if err := db.Alone(e.ctx); err != nil {
		return err
	}
	id, err := token.AddLine(e.config.SecretFile)
	if err != nil {
		return err
	}
	keys, err := token.Load(e.config.SecretFile)
	if err == nil {
		err = db.UseKeys(e.ctx, keys)
	}
	if err != nil {
		return fmt.Errorf("the secret file has a new line %d, which the database does not know yet; run it again: %w", id, err)
	}
	fmt.Fprintf(e.out, "The secret file has a new line, %d. Nothing runs without it: copy the file to every machine, and to its backup, now.\n", id)
	return nil
}

// rekeyAll repeats a step until nobody is left, and gives the sum. size is how
// many recipients there are to be, -1 if that is not known.
func rekeyAll(e *environment, db *store.Store, size int64, step func(context.Context, int64, int) (store.Rekeyed, error)) (all store.Rekeyed, err error) {
	bar := newCountBar(e.out, size, "Re-keying")
	defer bar.finish()
	for {
		done, err := step(e.ctx, all.Last, rekeyBatch)
		if err != nil {
			return all, err
		}
		if done.Last == 0 {
			return all, db.FinishRekey(e.ctx)
		}
		all = store.Rekeyed{Last: done.Last, Recipients: all.Recipients + done.Recipients, Suppressions: all.Suppressions + done.Suppressions, Doubles: all.Doubles + done.Doubles}
		bar.set(all.Recipients)
	}
}
