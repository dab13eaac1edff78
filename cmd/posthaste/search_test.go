package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/internal/testkit"
)

// setting is what the program is configured with in env.
func setting(env []string, name string) string {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// raw opens the program's database past the program.
func (p *promised) raw() *sql.DB {
	p.tb.Helper()
	return testkit.RawSQL(p.tb, databaseOf(p.env))
}

func databaseOf(env []string) string {
	if url := setting(env, "POSTHASTE_DATABASE_URL"); url != "" {
		return url
	}
	return "sqlite:" + filepath.Join(setting(env, "POSTHASTE_DATA_DIR"), "posthaste.db")
}

// search gives where a text is: in which columns, and in which files below the
// data folder. The database's own file is looked through by its columns, since
// it keeps pages that are free, until they are used again.
func (p *promised) search(text string) (found []string) {
	p.tb.Helper()
	found = searchColumns(p.tb, p.raw(), text)
	return append(found, searchFiles(p.tb, setting(p.env, "POSTHASTE_DATA_DIR"), text)...)
}

func searchColumns(tb testing.TB, db *sql.DB, text string) (found []string) {
	tb.Helper()
	for table, columns := range testkit.Columns(tb, db) {
		for _, column := range columns {
			var n int
			err := db.QueryRowContext(tb.Context(), fmt.Sprintf("SELECT count(*) FROM %s WHERE lower(CAST(%s AS TEXT)) LIKE '%%%s%%'", table, column, strings.ToLower(text))).Scan(&n)
			must(tb, err)
			if n > 0 {
				found = append(found, table+"."+column)
			}
		}
	}
	return found
}

func searchFiles(tb testing.TB, folder, text string) (found []string) {
	tb.Helper()
	must(tb, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) { // it went meanwhile
			return nil
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "posthaste.db") {
			return err
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if bytes.Contains(bytes.ToLower(content), []byte(strings.ToLower(text))) {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// listFiles gives all files below a folder, relative to it.
func listFiles(tb testing.TB, folder string) (files []string) {
	tb.Helper()
	must(tb, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		files = append(files, filepath.ToSlash(relative))
		return err
	}))
	return files
}
