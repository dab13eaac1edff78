package testkit

import (
	"database/sql"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"      // the driver "pgx"
	_ "github.com/ncruces/go-sqlite3/driver" // the driver "sqlite3"
)

// RawSQL opens a database of the program past the program, as an intruder or an
// auditor would: sqlite:PATH or postgres://…
func RawSQL(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite3", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		tb.Fatal("testkit: open database:", err)
	}
	tb.Cleanup(func() { _ = db.Close() }) // nothing was promised
	return db
}
