package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"posthaste"
)

// commands is the command line. What a machine is configured with is in the
// environment instead: see config.
type commands struct {
	Serve    serveCommand    `cmd:"" help:"Run the service."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database's schema up to date."`
	Import   importCommand   `cmd:"" help:"Import recipients from a CSV file."`
	Restored restoredCommand `cmd:"" help:"Make a database that was restored from a backup fit to be served: once, before the service starts."`
	Health   healthCommand   `cmd:"" help:"Ask the process on this machine whether it lives."`
	Bench    benchCommand    `cmd:"" help:"Measure how fast it sends, with data of its own."`
	Sink     sinkCommand     `cmd:"" help:"Run an SMTP server that takes every message and keeps none, to try sending out."`
	Key      keyCommand      `cmd:"" help:"API keys."`
	Audit    auditCommand    `cmd:"" help:"The log of all operations."`
	Secret   secretCommand   `cmd:"" help:"The secret file."`
}

// environment is what a command runs in.
type environment struct {
	ctx     context.Context
	config  config
	environ []string
	out     io.Writer
}

// run is the program but for signals and the exit code. It returns when the
// command is done, or when ctx ends and everything has stopped.
func run(ctx context.Context, args, env []string, out io.Writer) error {
	var c commands
	helped := false
	parser, err := kong.New(&c, kong.Name("posthaste"), kong.UsageOnError(), kong.Writers(out, out),
		kong.Description("Newsletters to those who chose them, account notices to those who need them.\n\n"+configHelp),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return err
	}
	cfg, err := readConfig(env)
	if err != nil {
		return readable(err)
	}
	return readable(parsed.Run(&environment{posthaste.WithOrigin(ctx, posthaste.Origin{Actor: posthaste.ByCommandLine}), cfg, env, out}))
}

// readable makes the faulty fields of an error a list.
func readable(err error) error {
	fields := posthaste.FieldsOf(err)
	if len(fields) == 0 {
		return err
	}
	lines := make([]string, len(fields))
	for i, f := range fields {
		lines[i] = fmt.Sprintf("%s %s", f.Name, f.Reason)
	}
	return errors.New(strings.Join(lines, "\n"))
}
