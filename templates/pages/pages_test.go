package pages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/templates/pages"
)

var update = flag.Bool("update", false, "write the golden files anew")

// embed is a SignUp that is written as a fragment for other sites.
type embed pages.SignUp

// write gives the page to the function that writes it.
func write(w io.Writer, page any) error {
	switch p := page.(type) {
	case pages.Unsubscribe:
		return pages.WriteUnsubscribe(w, p)
	case pages.Preferences:
		return pages.WritePreferences(w, p)
	case pages.SignUp:
		return pages.WriteSignUp(w, p)
	case embed:
		return pages.WriteEmbed(w, pages.SignUp(p))
	case pages.SignUpSent:
		return pages.WriteSignUpSent(w, p)
	case pages.Confirm:
		return pages.WriteConfirm(w, p)
	case pages.YourData:
		return pages.WriteYourData(w, p)
	case pages.Correct:
		return pages.WriteCorrect(w, p)
	case pages.Problem:
		return pages.WriteProblem(w, p)
	}
	return errors.New("no such page")
}

func render(t *testing.T, page any) string {
	t.Helper()
	var written bytes.Buffer
	if err := write(&written, page); err != nil {
		t.Fatalf("write: %v", err)
	}
	return written.String()
}

// documents are the samples that are whole documents.
func documents(lang string) []sample {
	var all []sample
	for _, s := range samples(lang) {
		if _, fragment := s.page.(embed); !fragment {
			all = append(all, s)
		}
	}
	return all
}

// TestGolden leaves the style out, which TestStyleHash looks at: a page must be
// read when it changes, and not whenever a colour does.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, s := range samples("en") {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			page := render(t, s.page)
			if before, rest, found := strings.Cut(page, "<style>"); found {
				_, after, _ := strings.Cut(rest, "</style>")
				page = before + "<style>…</style>" + after
			}
			checkGolden(t, s.name+".golden.html", page)
		})
	}
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", path, diff)
	}
}

// TestStyleHash computes the hash as a browser does: over the text of the one
// style element of the page that was sent.
func TestStyleHash(t *testing.T) {
	t.Parallel()
	for _, s := range documents("en") {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			styles := find(parse(t, render(t, s.page)), "style")
			if len(styles) != 1 {
				t.Fatalf("%d style elements, want 1", len(styles))
			}
			sum := sha256.Sum256([]byte(text(styles[0])))
			if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; pages.StyleHash() != want {
				t.Errorf("StyleHash() = %s, want %s", pages.StyleHash(), want)
			}
		})
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsAreReturned(t *testing.T) {
	t.Parallel()
	for _, s := range samples("en") {
		if err := write(full{}, s.page); !errors.Is(err, errFull) {
			t.Errorf("%s: error is %v, want the writer's", s.name, err)
		}
	}
}
