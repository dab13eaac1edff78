package main

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// printout collects what the program prints and waits for a text in it.
type printout struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (c *printout) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	select {
	case c.more <- struct{}{}:
	default: // a look is due already
	}
	return len(p), nil
}

func (c *printout) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// runDemo runs `serve --demo` until it has said where to look, looks, and stops it.
func runDemo(t *testing.T, env []string, look func(printed string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &printout{more: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"serve", "--demo"}, env, out) }()
	deadline := time.After(time.Minute)
	for !strings.Contains(out.String(), "Stop with Ctrl-C") {
		select {
		case <-out.more:
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, out)
		case <-deadline:
			t.Fatalf("the demo takes too long:\n%s", out)
		}
	}
	look(out.String())
	cancel()
	if err := <-ended; err != nil {
		t.Error("stop:", err)
	}
}

// TestDemo is what a new user sees first, twice: the second start sends nothing again.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0"}
	mails := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "outbox", "*", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	var sent int
	runDemo(t, env, func(printed string) {
		for _, want := range []string{"998 recipients, 2 rejected", "line 500: email", "line 501: name", "accepted     953", "suppressed      20", "audience     973", "The ledger adds up."} {
			if !strings.Contains(printed, want) {
				t.Errorf("it does not say %q:\n%s", want, printed)
			}
		}
		lookAround(t, printed)
		readReport(t, printed)
		sent = mails()
		if sent != 954 { // the newsletter and a receipt
			t.Errorf("%d mails in the outbox, want 954", sent)
		}
	})
	runDemo(t, env, func(printed string) {
		if !strings.Contains(printed, "nothing is sent again") || !strings.Contains(printed, "accepted     953") {
			t.Errorf("the second start:\n%s", printed)
		}
		lookAround(t, printed)
	})
	if mails() != sent {
		t.Errorf("the second start sent %d mails", mails()-sent)
	}
}

// readReport waits until what the demo's readers did is counted: of those alone who allow it.
func readReport(t *testing.T, printed string) {
	t.Helper()
	p := &program{tb: t}
	summary := regexp.MustCompile(`http://\S+/report/`).FindString(printed) + "summary.csv"
	for deadline := time.Now().Add(time.Minute); ; {
		table := p.get(summary, 200)
		if regexp.MustCompile(`\r\nOpened,[1-9][0-9]\r\n"Opened, not by people",[1-9][0-9]?\r\n`).MatchString(table) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the report says\n%s", table)
		}
	}
}

// lookAround opens every address that was printed, and one message in all its forms.
func lookAround(t *testing.T, printed string) {
	t.Helper()
	p := &program{tb: t}
	urls := regexp.MustCompile(`http://\S+/\S+`).FindAllString(printed, -1)
	if len(urls) != 5 {
		t.Fatalf("addresses: %v", urls)
	}
	for _, u := range urls {
		page := p.get(u, 200)
		if !strings.Contains(page, "<html") {
			t.Errorf("%s is no page", u)
		}
		message := regexp.MustCompile(`/outbox/[0-9][0-9a-z.-]+`).FindString(page)
		if message == "" {
			continue
		}
		base := u[:strings.Index(u, "/outbox")]
		for _, form := range []string{"", "?view=text", "?view=source", "/html"} {
			if body := p.get(base+message+form, 200); !strings.Contains(body, "Weekly Post") {
				t.Errorf("%s%s shows no newsletter", message, form)
			}
		}
		p.get(regexp.MustCompile(`//[^@]+@`).ReplaceAllString(u, "//"), 401)
	}
}
