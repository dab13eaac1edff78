//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"posthaste/internal/testkit"
)

// smallDisk mounts a disk of a few megabytes, which takes root. Without it the
// test is skipped, or fails under POSTHASTE_TEST_STRICT=1.
func smallDisk(t *testing.T, megabytes string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("posthaste", dir, "tmpfs", 0, "size="+megabytes+"m"); err != nil {
		testkit.Missing(t, "a small disk: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk writes until the disk is full.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the one disk that everything is on while a campaign is
// sent, and frees it again: the campaign ends, nobody gets two, the ledger adds up.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const audience = 6000
	dir := smallDisk(t, "24")
	sink := testkit.NewFastSink(t)
	sink.Watch("")
	p := spawn(t, []string{"POSTHASTE_DATA_DIR=" + filepath.Join(dir, "data"), "POSTHASTE_SMTP_URL=" + sink.URL(), "POSTHASTE_MONITOR_LISTEN=off", "POSTHASTE_LISTEN=127.0.0.1:0",
		"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street"})
	p.addTopic()
	p.importCSV("weekly", manyRecipients(audience))
	id := p.draft("Hello {{ recipient.name }}", "")
	p.step(id, "schedule")
	waitFor(t, "some to be sent", func() bool { return sink.Count() > audience/10 })
	filler := filepath.Join(dir, "filler")
	fillDisk(t, filler)
	full := sink.Count()
	<-time.After(3 * time.Second)
	stood := sink.Count()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	done := p.untilSent(id)
	if done.Counts.Accepted+done.Counts.Uncertain != audience {
		t.Errorf("at the end %+v", done.Counts)
	}
	for to, n := range sink.Times() {
		if n > 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
	t.Logf("full after %d, %d while it was, at the end %+v", full, stood-full, done.Counts)
}
