package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"posthaste"
	"posthaste/internal/api"
)

type keyCommand struct {
	Add    keyAddCommand    `cmd:"" help:"Make an API key. It is shown once; a key of the same name stops working."`
	List   keyListCommand   `cmd:"" help:"Show what keys there are, what each may do and when it was last used."`
	Revoke keyRevokeCommand `cmd:"" help:"Have a key stop working at once."`
}

type keyAddCommand struct {
	Name    string            `arg:"" help:"Who or what will use the key."`
	Scope   []posthaste.Scope `help:"What it may do, as in notices:send,notices:read. All of it if not given; 'posthaste key list --scopes' names them."`
	Expires time.Duration     `help:"After how long it stops working, as in 2160h. Never if not given."`
	Rate    int               `help:"The most requests per minute. No limit if not given."`
}

// Run makes a key and shows it.
func (k keyAddCommand) Run(e *environment) error {
	key := posthaste.Key{Name: k.Name, Scopes: k.Scope, Rate: k.Rate}
	now := time.Now()
	if len(key.Scopes) == 0 {
		key.Scopes = posthaste.Scopes
	}
	if k.Expires != 0 {
		key.ExpiresAt = now.Add(k.Expires)
	}
	if err := api.CheckKey(key, now); err != nil {
		return err
	}
	db, _, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	text, hash := api.NewKey()
	if _, err := db.PutKey(e.ctx, key, hash); err != nil {
		return err
	}
	fmt.Fprintln(e.out, text)
	return nil
}

type keyListCommand struct {
	Scopes bool `help:"Show the scopes that there are instead."`
}

// Run prints a table of all keys, or of all scopes.
func (k keyListCommand) Run(e *environment) error {
	if k.Scopes {
		for _, scope := range posthaste.Scopes {
			fmt.Fprintln(e.out, scope)
		}
		return nil
	}
	db, _, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := db.ListKeys(e.ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tREQUESTS/MIN\tLAST USED\tSCOPES")
	for _, key := range keys {
		state, rate, scopes := "works", "no limit", make([]string, len(key.Scopes))
		switch {
		case !key.RevokedAt.IsZero():
			state = "revoked " + key.RevokedAt.Format(time.DateOnly)
		case !key.Works(time.Now()):
			state = "expired " + key.ExpiresAt.Format(time.DateOnly)
		case !key.ExpiresAt.IsZero():
			state = "until " + key.ExpiresAt.Format(time.DateOnly)
		}
		if key.Rate > 0 {
			rate = fmt.Sprint(key.Rate)
		}
		for i, scope := range key.Scopes {
			scopes[i] = string(scope)
		}
		if len(scopes) == len(posthaste.Scopes) {
			scopes = []string{"all"}
		}
		used := "never"
		if !key.LastUsedAt.IsZero() {
			used = key.LastUsedAt.Format("2006-01-02 15:04")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", key.Name, state, rate, used, strings.Join(scopes, " "))
	}
	return table.Flush()
}

type keyRevokeCommand struct {
	Name string `arg:"" help:"The key's name."`
}

// Run revokes a key.
func (k keyRevokeCommand) Run(e *environment) error {
	db, _, err := e.openStore()
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RevokeKey(e.ctx, k.Name)
}
