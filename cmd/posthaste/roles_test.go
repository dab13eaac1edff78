package main

import (
	"fmt"
	"strings"
	"testing"

	"posthaste/internal/testkit"
)

// TestRolesApart runs each role in a process of its own over one PostgreSQL and
// one NATS: two workers share a campaign, one of them is killed, the other ends it.
func TestRolesApart(t *testing.T) {
	t.Parallel()
	const audience = 3000
	sink := testkit.NewFastSink(t)
	sink.Watch("")
	env := append(modes[1].env(t), "POSTHASTE_DATA_DIR="+t.TempDir(), "POSTHASTE_SMTP_URL="+sink.URL(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0",
		"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street", "POSTHASTE_CONNECTIONS=2")
	front := start(t, env, "--roles", "web,public")
	env = append(env, "POSTHASTE_PUBLIC_URL="+front.public)
	start(t, env, "--roles", "scheduler")
	doomed := spawn(t, env, "--roles", "worker")
	start(t, env, "--roles", "worker")

	front.addTopic()
	front.importCSV("weekly", manyRecipients(audience))
	id := front.draft("Hello {{ recipient.name }}", "")
	front.step(id, "schedule")
	waitFor(t, "a third to be sent", func() bool { return sink.Count() > audience/3 })
	doomed.kill()
	done := front.untilSent(id)
	if done.Counts.Accepted+done.Counts.Uncertain != audience || done.Counts.Uncertain > 2 { // the other worker settles the journal in their folder
		t.Errorf("counts %+v", done.Counts)
	}
	for to, n := range sink.Times() {
		if n > 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
}

// TestBadSettings are refused by name, before anything is opened.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"POSTHASTE_DATABASE_URL=mysql://x":               "POSTHASTE_DATABASE_URL must be sqlite:PATH or postgres://",
		"POSTHASTE_NATS_URL=amqp://x":                    "POSTHASTE_NATS_URL must be embedded:PATH or nats://",
		"POSTHASTE_SMTP_URL=http://x":                    "POSTHASTE_SMTP_URL must be smtp://",
		"POSTHASTE_PUBLIC_URL=http://mail.example.com":   "POSTHASTE_PUBLIC_URL must be https",
		"POSTHASTE_PUBLIC_URL=mail.example.com":          "POSTHASTE_PUBLIC_URL must be a URL",
		"POSTHASTE_PUBLIC_URL=https://example.com/mail":  "POSTHASTE_PUBLIC_URL must be a URL without a path",
		"POSTHASTE_SMTP_URL=smtp://mail.example.com":     "POSTHASTE_PUBLIC_URL must be set to an https URL",
		"POSTHASTE_DKIM_KEYS=r1@example.com=/no/such":    "POSTHASTE_DKIM_KEYS entry r1@example.com names a file that cannot be read: no such file",
		"POSTHASTE_CONNECTIONS=0":                        "POSTHASTE_CONNECTIONS must be a whole number from 1 to 256",
		"POSTHASTE_CONNECTIONS=many":                     "environment:",
		"POSTHASTE_LISTEN=nowhere:port":                  "POSTHASTE_LISTEN",
		"POSTHASTE_TRUSTED_PROXIES=10.0.0.0/8,elsewhere": "environment:",
		"POSTHASTE_DATABSE_URL=sqlite:x":                 "POSTHASTE_DATABSE_URL is not a setting of this program",
	} {
		env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", setting}
		err := run(t.Context(), []string{"serve"}, env, &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
	for _, args := range [][]string{{"serve", "--roles", "cook"}, {"serve", "--demo", "--roles", "web"}, {"fly"}, {"import", "/no/such/file", "--topic", "x"}, {"key", "add"}} {
		if err := run(t.Context(), args, []string{"POSTHASTE_DATA_DIR=" + t.TempDir()}, &strings.Builder{}); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
	if help := command(t, nil, "--help"); !strings.Contains(help, "POSTHASTE_SMTP_URL") {
		t.Errorf("help: %s", help)
	}
}

// TestSecondProcessOnOneFolder is refused instead of sharing a file that one process owns.
func TestSecondProcessOnOneFolder(t *testing.T) {
	t.Parallel()
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0"}
	start(t, env)
	err := run(t.Context(), []string{"serve"}, env, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "another posthaste is running") {
		t.Error(err)
	}
}

// TestImportCommand imports a file and says so, and refuses without evidence.
func TestImportCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0"}
	start(t, env).addTopic()
	file := dir + "/list.csv"
	writeFile(t, file, manyRecipients(20)+"broken\n")
	out := command(t, env, "import", file, "--topic", "weekly", "--source", "fair", "--wording", "yes")
	for _, want := range []string{`"added": 20`, `"rejected_rows": 1`, fmt.Sprintf(`"line": %d`, 22)} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if err := run(t.Context(), []string{"import", file, "--topic", "weekly"}, env, &strings.Builder{}); err == nil {
		t.Error("consent was invented")
	}
	if err := run(t.Context(), []string{"import", file, "--topic", "none", "--source", "fair", "--wording", "yes"}, env, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Error(err)
	}
}
