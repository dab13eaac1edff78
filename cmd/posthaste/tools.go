package main

import (
	"encoding/json"
	"fmt"
	"os"

	"posthaste"
	"posthaste/internal/recipientfile"
	"posthaste/internal/store"
	"posthaste/internal/token"
)

// openStore opens and migrates the database and checks that the secret file belongs to it.
func (e *environment) openStore() (*store.Store, *token.Keys, error) {
	keys, err := token.Load(e.config.SecretFile)
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(e.ctx, e.config.DatabaseURL, keys)
	if err != nil {
		return nil, nil, err
	}
	// A database of another installation is not even migrated.
	if err = db.CheckSecret(e.ctx, keys.Fingerprint()); err == nil {
		_, err = db.Migrate(e.ctx)
	}
	if err == nil {
		err = db.BindSecret(e.ctx, keys.Fingerprint())
	}
	if err != nil {
		_ = db.Close() // the first error counts
		return nil, nil, err
	}
	return db, keys, nil
}

type migrateCommand struct{}

// Run migrates and says what it ran.
func (migrateCommand) Run(e *environment) error {
	db, err := store.Open(e.ctx, e.config.DatabaseURL, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	ran, err := db.Migrate(e.ctx)
	for _, name := range ran {
		fmt.Fprintln(e.out, name)
	}
	if err == nil && len(ran) == 0 {
		fmt.Fprintln(e.out, "The schema is up to date.")
	}
	return err
}

type importCommand struct {
	File    string `arg:"" type:"existingfile" help:"CSV file: email, name, locale, time_zone, then attributes."`
	Topic   string `required:"" help:"Key of the topic that they chose."`
	Source  string `required:"" help:"Where they gave their consent."`
	Wording string `required:"" help:"The words that they agreed to."`
	DryRun  bool   `help:"Count everything, change nothing."`
}

// Run imports a file and prints the report.
func (i importCommand) Run(e *environment) error {
	db, _, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	topic, err := db.FindTopic(e.ctx, i.Topic)
	if err != nil {
		return fmt.Errorf("topic %q: %w", i.Topic, err)
	}
	file, err := os.Open(i.File)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	bar := newBytesBar(e.out, info.Size(), "Importing")
	report, err := recipientfile.Import(e.ctx, db, bar.reader(file), posthaste.Import{TopicID: topic.ID, DryRun: i.DryRun, Actor: posthaste.ByCommandLine,
		Evidence: posthaste.Evidence{Source: i.Source, Wording: i.Wording}})
	bar.finish()
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(e.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
