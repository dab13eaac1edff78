package store_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posthaste/internal/testkit"
	"posthaste/migrations"
)

// TestHitsOfBefore takes hits, and totals, of the schema before over to the present one:
// they are not classed yet, and what was added up stays.
func TestHitsOfBefore(t *testing.T) {
	t.Parallel()
	for folder, url := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "test.db"), "postgres": testkit.Postgres(t)} {
		files, all := fs.FS(migrations.SQLite), []string{}
		if folder == "postgres" {
			files = migrations.Postgres
		}
		names, err := fs.Glob(files, folder+"/*.sql")
		must(t, err)
		db := testkit.RawSQL(t, url)
		run := func(name string) {
			text, err := fs.ReadFile(files, name)
			must(t, err)
			tamper(t, db, strings.Split(string(text), "--bun:split")...)
		}
		for _, name := range names {
			if strings.Contains(name, "_beacons") {
				tamper(t, db, "INSERT INTO hits (id, kind, campaign_id, number, recipient_id, link, network, at) VALUES ('a', 'open', 1, 5, 9, 0, '192.0.2.0/24', 1795000020000000), ('b', 'open', 1, 5, 9, 0, '', 1795000020000000),"+
					" ('c', 'click', 1, 6, 8, 2, '', 1795000080000000)", "INSERT INTO hit_totals (campaign_id, kind, link, hits, people) VALUES (2, 'click', 0, 7, 3), (2, 'click', 1, 7, 3)")
			}
			run(name)
			all = append(all, name)
		}
		if len(all) < 10 {
			t.Fatalf("only %v", all)
		}
		got := distinct(t, db, "SELECT campaign_id || ' ' || number || ' ' || recipient_id || ' ' || kind || ' ' || link || ' ' || network || ' ' || class || ' ' || rules || ' ' || at FROM hits ORDER BY id")
		if want := []string{"1 5 9 open 0 192.0.2.0/24  0 1795000020000000", "1 5 9 open 0   0 1795000020000000", "1 6 8 click 2   0 1795000080000000"}; !slices.Equal(got, want) {
			t.Errorf("%s: hits %q, want %q", folder, got, want)
		}
		got = countsNow(t, db)
		slices.Sort(got)
		if want := []string{"1 click rules 0 machines 1 0", "1 open rules 0 machines 2 0", "2 click all  people 7 3", "2 click link 1 people 7 3"}; !slices.Equal(got, want) {
			t.Errorf("%s: counts %q, want %q", folder, got, want)
		}
	}
}
