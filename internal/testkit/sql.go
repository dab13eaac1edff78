package testkit

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"         // the driver "pgx"
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

// Columns gives the columns of every table of the program, and of nobody else.
func Columns(tb testing.TB, db *sql.DB) map[string][]string {
	tb.Helper()
	query := "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, column_name"
	if fmt.Sprintf("%T", db.Driver()) != fmt.Sprintf("%T", stdlib.GetDefaultDriver()) {
		query = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
	}
	rows, err := db.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatal("testkit: list columns:", err)
	}
	defer rows.Close()
	columns := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			tb.Fatal("testkit: list columns:", err)
		}
		columns[table] = append(columns[table], column)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal("testkit: list columns:", err)
	}
	return columns
}
