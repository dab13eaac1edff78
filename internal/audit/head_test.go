package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/audit"
	"posthaste/internal/token"
)

func load(t *testing.T) *token.Keys {
	t.Helper()
	keys, err := token.Load(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestHeadsAreKept(t *testing.T) {
	t.Parallel()
	keys, path := load(t), filepath.Join(t.TempDir(), "new", "heads")
	if heads, err := audit.ReadHeads(path, keys); err != nil || len(heads) != 0 {
		t.Fatalf("no file: %v %v", heads, err)
	}
	for number := range int64(3) {
		if err := audit.AppendHead(path, audit.NewHead(keys, number, []byte{byte(number)}, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	heads, err := audit.ReadHeads(path, keys)
	if err != nil || len(heads) != 3 || heads[2].Seal != 2 || heads[2].Chain[0] != 2 {
		t.Fatalf("%+v %v", heads, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(string(text)+`{"seal":3,"ch`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := audit.AppendHead(path, audit.NewHead(keys, 4, nil, time.Now())); err != nil {
		t.Fatal(err)
	}
	if heads, err := audit.ReadHeads(path, keys); err != nil || len(heads) != 4 || heads[3].Seal != 4 {
		t.Errorf("behind a line that was cut off: %+v %v", heads, err)
	}
	for name, c := range map[string]struct {
		text string
		want string // "": it is read
	}{
		"the last line cut off": {string(text) + `{"seal":4,"ch`, ""},
		"no JSON":               {"x\n" + string(text), "line 1"},
		"another place":         {strings.Replace(string(text), `"seal":1`, `"seal":9`, 1), "line 2"},
		"another chain":         {strings.Replace(string(text), `"chain":"Ag=="`, `"chain":"Aw=="`, 1), "line 3"},
		"no signature":          {strings.Replace(string(text), `"signature":"`, `"signature":"AAAA`, 1), "line 1"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		heads, err := audit.ReadHeads(path, keys)
		if c.want == "" && (err != nil || len(heads) != 3) || c.want != "" && (!errors.Is(err, posthaste.Invalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d heads, %v", name, len(heads), err)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ReadHeads(path, load(t)); !errors.Is(err, posthaste.Invalid) {
		t.Errorf("another installation's: %v", err)
	}
}
