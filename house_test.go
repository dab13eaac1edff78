package posthaste_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// apart are the rooms that never import each other, nor the store or the bus.
var apart = []string{"posthaste/mailer", "posthaste/tracker", "posthaste/unsubscribe", "posthaste/console", "posthaste/internal/api"}

// only says which folder alone may import what begins with a name.
var only = map[string]string{
	"github.com/uptrace/bun":            "posthaste/internal/store",
	"database/sql":                      "posthaste/internal/store",
	"github.com/jackc/pgx":              "posthaste/internal/store",
	"github.com/ncruces/":               "posthaste/internal/store",
	"posthaste/migrations":              "posthaste/internal/store",
	"github.com/nats-io/":               "posthaste/internal/bus",
	"github.com/wneessen/go-mail":       "posthaste/mailer",
	"net/smtp":                          "posthaste/mailer",
	"posthaste/internal/store":          "posthaste/cmd/posthaste",
	"posthaste/internal/bus":            "posthaste/cmd/posthaste",
	"posthaste/cmd/":                    "nobody",
	"posthaste/internal/testkit":        "nobody",
	"github.com/emersion/go-smtp":       "nobody",
	"github.com/emersion/go-msgauth":    "nobody",
	"github.com/chromedp/":              "nobody",
	"pgregory.net/rapid":                "nobody",
	"github.com/maxmind/":               "nobody",
	"github.com/oschwald/":              "posthaste/internal/region",
	"go.uber.org/goleak":                "nobody",
	"github.com/nats-io/nats-server/v2": "posthaste/internal/bus",
}

// TestHouseRules keeps the plan of the house: who may import whom.
func TestHouseRules(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		if p.ImportPath == "posthaste/internal/testkit" {
			continue // for tests only, which the last rows of the table keep true
		}
		for _, imported := range p.Imports {
			if p.ImportPath == "posthaste" && (strings.Contains(imported, ".") || within(imported, "posthaste")) {
				t.Errorf("the root package imports %s; it may import the standard library only", imported)
			}
			for prefix, folder := range only {
				if strings.HasPrefix(imported, prefix) && !within(p.ImportPath, folder) && !within(p.ImportPath, strings.TrimSuffix(prefix, "/")) {
					t.Errorf("%s imports %s, which only %s may", p.ImportPath, imported, folder)
				}
			}
			for _, a := range apart {
				for _, b := range apart {
					if a != b && within(p.ImportPath, a) && within(imported, b) {
						t.Errorf("%s imports %s: these two rooms are apart", p.ImportPath, imported)
					}
				}
			}
		}
	}
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func listPackages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Standard,Imports", "./...").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var all []pkg
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// The ends past which a reader gets lost.
const (
	fileLines, testLines, interfaceMethods = 600, 900, 7
)

// TestHouseSizes keeps files and interfaces small enough to be read.
func TestHouseSizes(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		limit := fileLines
		if strings.HasSuffix(path, "_test.go") {
			limit = testLines
		}
		if n := strings.Count(string(source), "\n"); n > limit {
			t.Errorf("%s has %d lines, more than %d", path, n, limit)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > interfaceMethods {
					t.Errorf("%s: interface %s has %d methods, more than %d", path, spec.Name, i.Methods.NumFields(), interfaceMethods)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
