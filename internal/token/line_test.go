package token_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/token"
)

func secretFile(tb testing.TB, text string, mode os.FileMode) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tb.Fatal(err)
	}
	return path
}

func read(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestAddLine(t *testing.T) {
	t.Parallel()
	const one = "1 1111111111111111111111111111111111111111111111111111111111111111"
	const nine = "9 9999999999999999999999999999999999999999999999999999999999999999"
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"one":              {one + "\n", 2},
		"no end of line":   {one, 2},
		"comment":          {"# keep\n" + one + "\n\n# this\n", 2},
		"ids not in order": {nine + "\n" + one + "\n", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := secretFile(t, c.text, 0o400)
			if err := os.WriteFile(path+".new", []byte("what a crash left"), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, want := range []int{c.want, c.want + 1} {
				before := read(t, path)
				id, err := token.AddLine(path)
				if err != nil || id != want {
					t.Fatalf("line %d, %v, want %d", id, err, want)
				}
				after := read(t, path)
				added, kept := strings.CutPrefix(after, strings.TrimSuffix(before, "\n")+"\n")
				if !kept || !strings.HasPrefix(added, strconv.Itoa(want)+" ") || len(added) != len(strconv.Itoa(want))+1+64+1 || strings.Count(added, "\n") != 1 {
					t.Fatalf("%q became %q", before, after)
				}
				keys, err := token.Load(path)
				if err != nil || keys.AddressKey() != want {
					t.Errorf("%v", err)
				}
			}
			lines := strings.Fields(read(t, path))
			if lines[len(lines)-1] == lines[len(lines)-3] {
				t.Error("two lines have one secret")
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o400 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if left, err := filepath.Glob(path + "?*"); err != nil || len(left) > 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// TestAddLineRefuses leaves the file as it is.
func TestAddLineRefuses(t *testing.T) {
	t.Parallel()
	full := secretFile(t, "255 "+strings.Repeat("11", 32)+"\n1 "+strings.Repeat("22", 32)+"\n", 0o600)
	if _, err := token.AddLine(full); !errors.Is(err, posthaste.Conflict) {
		t.Errorf("after the last id: %v", err)
	}
	broken := secretFile(t, "1 abcd\n", 0o600)
	if _, err := token.AddLine(broken); err == nil {
		t.Error("a broken file got a line")
	}
	if read(t, broken) != "1 abcd\n" || strings.Count(read(t, full), "\n") != 2 {
		t.Error("a file was changed")
	}
	if _, err := token.AddLine(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestAddLineFollowsALink changes the file, and not the link to it.
func TestAddLineFollowsALink(t *testing.T) {
	t.Parallel()
	path := secretFile(t, "1 "+strings.Repeat("11", 32)+"\n", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := token.AddLine(link); err != nil || strings.Count(read(t, path), "\n") != 2 {
		t.Errorf("%q, %v", read(t, path), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
}
