package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/outbox"
	"posthaste/mailer/relay"
)

var envelope = relay.Envelope{From: "b+token@bounces.example.com", To: "fox@example.org"}

func message(subject string) []byte {
	return []byte("From: news@example.com\r\nTo: fox@example.org\r\nSubject: " + subject + "\r\n\r\n.\r\nHello.\r\n")
}

func open(t *testing.T, dir string) (*outbox.Folder, relay.Connection) {
	t.Helper()
	folder, err := outbox.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	conn, err := folder.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return folder, conn
}

func send(t *testing.T, conn relay.Connection, e relay.Envelope, body []byte) {
	t.Helper()
	if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: e, Message: body}); !got.Accepted() || got.Lost || got.Unknown {
		t.Fatalf("answer %+v", got)
	}
}

func TestKeptMessage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "outbox")
	folder, conn := open(t, dir)
	body := message("=?utf-8?q?F=C3=BCchsin?=")
	send(t, conn, envelope, body)

	entries, err := folder.List("", 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("List: %v, %v", entries, err)
	}
	e := entries[0]
	if time.Since(e.At) > time.Minute || e.At.After(time.Now()) {
		t.Errorf("At = %s", e.At)
	}
	want := outbox.Entry{ID: e.ID, From: envelope.From, To: envelope.To, Subject: "Füchsin", At: e.At, Size: e.Size}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	kept, err := folder.Read(e.ID)
	if err != nil {
		t.Fatal(err)
	}
	head := "X-Posthaste-Envelope-From: <" + envelope.From + ">\r\nX-Posthaste-Envelope-To: <" + envelope.To + ">\r\n"
	if !bytes.Equal(kept, append([]byte(head), body...)) || int64(len(kept)) != e.Size {
		t.Errorf("kept %q", kept)
	}
	if _, err := mail.ReadMessage(bytes.NewReader(kept)); err != nil {
		t.Errorf("no valid message: %v", err)
	}
}

func TestFilesAreOursAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		testkit.Missing(t, "permission bits")
	}
	dir := t.TempDir()
	_, conn := open(t, dir)
	send(t, conn, envelope, message("x"))
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || filepath.Ext(path) != ".eml" {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	}
}

func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNullSenderAndMissingSubject(t *testing.T) {
	t.Parallel()
	folder, conn := open(t, t.TempDir())
	send(t, conn, relay.Envelope{To: "fox@example.org"}, []byte("From: a@example.com\r\n\r\n"))
	send(t, conn, relay.Envelope{To: "fox@example.org"}, []byte("no message at all"))
	entries, err := folder.List("", 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("List: %v, %v", entries, err)
	}
	for _, e := range entries {
		if e.From != "" || e.To != "fox@example.org" || e.Subject != "" {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestListPagesThroughAll(t *testing.T) {
	t.Parallel()
	folder, conn := open(t, t.TempDir())
	var want []string
	for i := range 25 {
		subject := fmt.Sprintf("number %d", i)
		send(t, conn, envelope, message(subject))
		want = append(want, subject)
	}
	slices.Reverse(want)
	var got []string
	before := ""
	for {
		page, err := folder.List(before, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got = append(got, e.Subject)
			before = e.ID
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}

// Folders of earlier hours are listed after the newest one.
func TestListGoesBackThroughTheHours(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, conn := open(t, dir)
	send(t, conn, envelope, message("now"))
	for _, id := range []string{"20200101115959.000001-aaaaaaaaaa", "20200101120000.000000-aaaaaaaaaa"} {
		if err := os.MkdirAll(filepath.Join(dir, id[:10]), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, id[:10], id+".eml"), message(id[:14]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What is not ours is left alone.
	for _, name := range []string{"2020010111/notes.txt", "2020010111/20200101115959.000002-aaaaaaaaaa.tmp", "readme.eml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := folder.List("", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Subject)
	}
	if diff := cmp.Diff([]string{"now", "20200101120000", "20200101115959"}, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	older, err := folder.List(entries[1].ID, 10)
	if err != nil || len(older) != 1 || older[0].At != time.Date(2020, 1, 1, 11, 59, 59, 1000, time.UTC) {
		t.Errorf("List(before): %v, %v", older, err)
	}
}

func TestNamesSortAndNeverCollide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 { // as many processes, each with its own Folder
		folder, err := outbox.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		for range 2 {
			wg.Go(func() {
				conn, err := folder.Dial(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				for range 50 {
					if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message("x")}); !got.Accepted() {
						t.Errorf("answer %+v", got)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := len(files(t, dir)); n != 400 {
		t.Errorf("%d files, want 400", n)
	}
}

func TestReadKeepsToItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.eml"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "outbox")
	folder, conn := open(t, inner)
	send(t, conn, envelope, message("x"))
	// A link that leads out, under a name of the right form.
	id := "20200101115959.000001-aaaaaaaaaa"
	if err := os.MkdirAll(filepath.Join(inner, id[:10]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "secret.eml"), filepath.Join(inner, id[:10], id+".eml")); err != nil {
		testkit.Missing(t, "symbolic links: "+err.Error())
	}
	if got, err := folder.Read(id); err == nil {
		t.Errorf("a link out of the folder was followed: %q", got)
	}
	for _, id := range []string{
		"", ".", "..", "../secret", "../../secret", "/etc/passwd", "20200101115959.000001-aaaaaaaaab", "secret\x00",
		"20200101115959.000001-../../secr",
	} {
		if got, err := folder.Read(id); !errors.Is(err, posthaste.NotFound) {
			t.Errorf("Read(%q) = %q, %v", id, got, err)
		}
		if _, err := folder.List(id, 1); id != "" && id != "20200101115959.000001-aaaaaaaaab" && !errors.Is(err, posthaste.Invalid) {
			t.Errorf("List(%q): %v", id, err)
		}
	}
}

func TestEnvelopeCannotAddHeaders(t *testing.T) {
	t.Parallel()
	folder, conn := open(t, t.TempDir())
	got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: relay.Envelope{To: "fox@example.org>\r\nBcc: <x@example.org"}, Message: message("x")})
	if got.Accepted() || got.Reply.Enhanced != "5.1.3" {
		t.Errorf("answer %+v", got)
	}
	if entries, err := folder.List("", 10); err != nil || len(entries) != 0 {
		t.Errorf("List: %v, %v", entries, err)
	}
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	folder, conn := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := relay.SendOne(ctx, conn, relay.Item{Envelope: envelope, Message: message("x")}); got.Accepted() || !got.Lost || got.Unknown {
		t.Errorf("answer %+v", got)
	}
	_, err := folder.Dial(ctx)
	if failed, ok := errors.AsType[*relay.ConnectError](err); !ok || failed.Permanent || failed.Reply.Stage != posthaste.AtConnect {
		t.Errorf("Dial: %v", err)
	}
}

func TestFolderRemovedByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, conn := open(t, dir)
	send(t, conn, envelope, message("x"))
	hours, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(hours) == 0 {
		t.Fatal(hours, err)
	}
	for _, hour := range hours {
		if err := os.RemoveAll(hour); err != nil {
			t.Fatal(err)
		}
	}
	send(t, conn, envelope, message("y"))
}

// A full disk is played by a limit on the size of files, which is one of the
// process: so the test runs itself in a process of its own.
func TestFullDisk(t *testing.T) {
	const variable = "OUTBOX_TEST_FULL_DISK"
	if dir := os.Getenv(variable); dir != "" {
		_, conn := open(t, dir)
		got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: bytes.Repeat([]byte("x"), 1<<20)})
		fmt.Printf("answer: %+v\n", got)
		return
	}
	t.Parallel()
	if runtime.GOOS == "windows" {
		testkit.Missing(t, "ulimit")
	}
	dir := t.TempDir()
	child := exec.Command("/bin/sh", "-c", `trap '' XFSZ; ulimit -f 64; exec "$0" -test.run '^TestFullDisk$'`, os.Args[0])
	child.Env = append(os.Environ(), variable+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "answer: {Reply:{Stage:dot Code:452 Enhanced:4.3.1 Text:the outbox's disk is full} Unknown:false Lost:false}"; !strings.Contains(string(out), want) {
		t.Errorf("%s\nwant %s", out, want)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func BenchmarkSend(b *testing.B) {
	folder, err := outbox.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	conn, err := folder.Dial(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	body := message(strings.Repeat("x", 900))
	for b.Loop() {
		if got := relay.SendOne(b.Context(), conn, relay.Item{Envelope: envelope, Message: body}); !got.Accepted() {
			b.Fatalf("answer %+v", got)
		}
	}
}
