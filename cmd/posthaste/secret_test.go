package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/testkit"
)

// refused runs a command that must fail, and gives what it says.
func refused(tb testing.TB, env []string, args ...string) string {
	tb.Helper()
	var out bytes.Buffer
	err := run(tb.Context(), args, env, &out)
	if !errors.Is(err, posthaste.Conflict) {
		tb.Fatalf("posthaste %s: %v, want a conflict; it printed %s", strings.Join(args, " "), err, out.String())
	}
	return err.Error()
}

// dataDir is where a program keeps its files.
func dataDir(env []string) (dir string) {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "POSTHASTE_DATA_DIR="); ok {
			dir = value
		}
	}
	return dir
}

func readFile(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	must(tb, err)
	return string(text)
}

// eraseNow erases a person at the desk.
func (p *program) eraseNow(address string) {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), http.MethodDelete, p.operators+"/api/v1/recipients/"+address, nil)
	must(p.tb, err)
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Audit-Reason", "ticket 9")
	p.do(request, 200)
}

// newsletter sends one and gives the mails by address.
func (p *program) newsletter(sink *testkit.Sink) map[string]inbox {
	p.tb.Helper()
	before := len(sink.Messages())
	id := p.draft("Hello", "")
	p.step(id, "schedule")
	p.untilSent(id)
	got := map[string]inbox{}
	for _, m := range sink.Messages()[before:] {
		got[m.To] = readMessage(p.tb, m.Data)
	}
	return got
}

const readers = "email\nada@example.com\nben@example.com\ncy@example.com\ndee@example.com\n"

// TestRotateSecret rotates twice between runs of the program: links of mails that
// left before still work, whoever said no stays silent, whatever is imported, and
// the audit log verifies.
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		env = append(env, "POSTHASTE_SMTP_URL="+sink.URL())
		p := start(t, env)
		p.addTopic()
		p.importCSV("weekly", readers)
		p.call("POST", "/suppressions", `{"email": "nobody@example.com", "reason": "opted_out"}`, 201, nil)
		first := p.newsletter(sink)
		if len(first) != 4 {
			t.Fatalf("%d mails", len(first))
		}
		optOut := func(address string) { // the port of each run is another one; the token is that of the mail
			link := first[address].unsubscribeURL(t)
			p.oneClick(p.public+link[strings.Index(link, "/u/"):], 200)
		}
		optOut("ada@example.com")
		p.eraseNow("dee@example.com")
		if text := refused(t, env, "secret", "rotate"); !strings.Contains(text, "another posthaste is") {
			t.Errorf("while it runs: %s", text)
		}
		for round, leaves := range []string{"ben@example.com", "cy@example.com"} { // whose mails are from before both
			fresh := fmt.Sprintf("new%d@example.com", round)
			rotateBetweenRuns(t, env, &p)
			p.importCSV("weekly", readers+"nobody@example.com\n"+fresh+"\n")
			optOut(leaves)
			mails := p.newsletter(sink)
			for _, silent := range []string{"ada@example.com", leaves, "dee@example.com", "nobody@example.com"} {
				if _, got := mails[silent]; got {
					t.Errorf("%s got mail", silent)
				}
			}
			if in, got := mails[fresh]; !got || len(mails) != 2 || strings.Contains(first["ben@example.com"].raw, in.unsubscribeURL(t)) {
				t.Fatalf("%d mails", len(mails))
			}
		}
		var log struct {
			Items []struct{ Actor, Object string }
		}
		p.call("GET", "/audit?action=secret.rotate", "", 200, &log)
		if len(log.Items) != 2 || log.Items[0].Actor != posthaste.ByCommandLine || log.Items[0].Object != "secret" {
			t.Errorf("audit %+v", log)
		}
		must(t, p.stop())
		if out := command(t, env, "audit", "verify"); !strings.Contains(out, "The log is whole.") {
			t.Error(out)
		}
	})
}

// rotateBetweenRuns stops the program, rotates, and starts it again: with the new line only.
func rotateBetweenRuns(t *testing.T, env []string, p **program) {
	t.Helper()
	must(t, (*p).stop())
	secret := filepath.Join(dataDir(env), "secret")
	before := readFile(t, secret)
	line := strings.Count(before, "\n") + 1
	if out := command(t, env, "secret", "rotate"); !strings.Contains(out, fmt.Sprintf("new line, %d.", line)) || strings.Contains(out, "\n0 recipients") {
		t.Error(out)
	}
	if after := readFile(t, secret); !strings.HasPrefix(after, before) || strings.Count(after, "\n") != line {
		t.Fatalf("the secret file has %d lines, or lost one", strings.Count(after, "\n"))
	}
	without := filepath.Join(t.TempDir(), "secret")
	writeFile(t, without, before)
	if text := refused(t, append(env, "POSTHASTE_SECRET_FILE="+without), "serve"); !strings.Contains(text, fmt.Sprintf("lacks line %d", line)) {
		t.Errorf("a file without the new line: %s", text)
	}
	*p = start(t, env)
}

// TestOthersWhoReadTheSecretAreNoticed has files of several modes.
func TestOthersWhoReadTheSecretAreNoticed(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]string{0o600: "", 0o400: "", 0o444: "mode=0444", 0o640: "mode=0640", 0o601: "mode=0601"} {
		path := filepath.Join(t.TempDir(), "secret")
		writeFile(t, path, "")
		must(t, os.Chmod(path, mode))
		link := filepath.Join(t.TempDir(), "link") // as secrets are mounted
		must(t, os.Symlink(path, link))
		var log bytes.Buffer
		warnOfReaders(slog.New(slog.NewTextHandler(&log, nil)), link)
		said := log.String()
		if (said == "") != (want == "") || !strings.Contains(said, want) || said != "" && !strings.Contains(said, `mend="chmod go= `+link) {
			t.Errorf("%04o: %q", mode, said)
		}
	}
}

// cutter stops a command as soon as it prints a text.
type cutter struct {
	bytes.Buffer
	at   string
	stop context.CancelFunc
}

func (c *cutter) Write(text []byte) (int, error) {
	n, err := c.Buffer.Write(text)
	if strings.Contains(c.String(), c.at) {
		c.stop()
	}
	return n, err
}

// TestRotateSecretGoesOn stops a rotation once its line is made: the service
// runs all the same, and the next run finishes it and makes no further line.
func TestRotateSecretGoesOn(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		p := start(t, env)
		p.addTopic()
		p.importCSV("weekly", readers)
		p.call("POST", "/suppressions", `{"email": "ada@example.com", "reason": "opted_out"}`, 201, nil)
		must(t, p.stop())
		ctx, cancel := context.WithCancel(t.Context())
		out := &cutter{at: "new line, 2", stop: cancel}
		if err := run(ctx, []string{"secret", "rotate"}, env, out); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run it again") {
			t.Fatalf("it was to be stopped: %v", err)
		}
		p = start(t, env)
		if report := p.importCSV("weekly", readers+"eve@example.com\n"); report.Suppressed != 1 || report.Added != 1 {
			t.Errorf("import %+v", report)
		}
		p.call("POST", "/suppressions", `{"email": "ben@example.com", "reason": "manual"}`, 201, nil)
		id := p.draft("Hello", "")
		p.step(id, "schedule")
		if done := p.untilSent(id); done.Counts.Suppressed != 2 || done.Counts.Accepted != 3 {
			t.Errorf("counts %+v", done.Counts)
		}
		must(t, p.stop())
		for _, want := range []string{"4 recipients do not rest on the last line", "4 recipients and 2 suppressions rest on the last line now", "0 suppressions stay"} {
			if text := out.String(); strings.Contains(text, want) {
				t.Errorf("too early: %q in %s", want, text)
			}
		}
		again := command(t, env, "secret", "rotate")
		for _, want := range []string{"4 recipients do not rest on the last line", "4 recipients and 2 suppressions rest on the last line now", "0 suppressions stay"} {
			if !strings.Contains(again, want) {
				t.Errorf("no %q in %s", want, again)
			}
		}
		if n := strings.Count(readFile(t, filepath.Join(dataDir(env), "secret")), "\n"); n != 2 {
			t.Errorf("the secret file has %d lines", n)
		}
	})
}

// TestLineAddedByHand is taken into use, where the program cannot write the file,
// once nobody else runs.
func TestLineAddedByHand(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		p := start(t, env)
		p.addTopic()
		p.importCSV("weekly", readers)
		secret := filepath.Join(dataDir(env), "secret")
		longer := readFile(t, secret) + "2 " + strings.Repeat("ab", 32) + "\n"
		writeFile(t, secret, longer)
		for _, args := range [][]string{{"key", "list"}, {"secret", "rotate"}} {
			if text := refused(t, env, args...); !strings.Contains(text, "another posthaste is") {
				t.Errorf("while it runs: %s", text)
			}
		}
		must(t, p.stop())
		if out := command(t, env, "secret", "rotate"); !strings.Contains(out, "no further line is added") || !strings.Contains(out, "4 recipients and 0 suppressions rest on the last line") {
			t.Error(out)
		}
		if readFile(t, secret) != longer {
			t.Error("the secret file was changed")
		}
	})
}

// TestRestoredAcrossARotation puts back a database from before a rotation: what
// was said before it and after it, since the backup, is in force.
func TestRestoredAcrossARotation(t *testing.T) {
	t.Parallel()
	dir, broker := t.TempDir(), testkit.NATS(t)
	env := []string{"POSTHASTE_NATS_URL=" + broker, "POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=off", "POSTHASTE_LISTEN=127.0.0.1:0",
		"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"}
	p := start(t, env)
	p.addTopic()
	p.importCSV("weekly", readers)
	must(t, p.stop())
	backup := readFile(t, dir+"/posthaste.db")
	watch, err := bus.Open(t.Context(), broker)
	must(t, err)
	defer watch.Close()
	kept := func(first, second int) { // under either line
		t.Helper()
		waitFor(t, "suppressions to be kept", func() bool {
			hashes, lines := map[string]bool{}, map[int64]int{}
			err := watch.ReplaySuppressions(t.Context(), 0, func(_ context.Context, batch []posthaste.Suppression) error {
				for _, x := range batch {
					if !hashes[string(x.AddressHash)] { // which may be kept again
						hashes[string(x.AddressHash)] = true
						lines[x.KeyID]++
					}
				}
				return nil
			})
			return err == nil && lines[1] == first && lines[2] == second
		})
	}

	p = start(t, env)
	p.call("POST", "/suppressions", `{"email": "ada@example.com", "reason": "opted_out"}`, 201, nil)
	kept(1, 0)
	must(t, p.stop())
	command(t, env, "secret", "rotate")
	p = start(t, env)
	p.call("POST", "/suppressions", `{"email": "ben@example.com", "reason": "opted_out"}`, 201, nil)
	p.eraseNow("dee@example.com")
	kept(1, 2)
	must(t, p.stop())
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(dir + "/posthaste.db" + suffix)
	}
	writeFile(t, dir+"/posthaste.db", backup)

	out := command(t, env, "restored")
	for _, want := range []string{"3 of them were missing", "1 people who had been erased since the backup are erased again"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := command(t, env, "restored"); !strings.Contains(out, "0 of them were missing") {
		t.Errorf("a second run: %s", out)
	}
	p = start(t, env)
	p.call("GET", "/recipients/dee@example.com", "", 404, nil)
	p.importCSV("weekly", readers)
	id := p.draft("Once more", "")
	p.step(id, "schedule")
	if done := p.untilSent(id); done.Counts.Suppressed != 3 || done.Counts.Accepted != 1 {
		t.Errorf("after the restore %+v", done.Counts)
	}
}
