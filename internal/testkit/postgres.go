package testkit

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dbTimeout is the longest that making or dropping a test database may take.
const dbTimeout = 30 * time.Second

// Postgres gives the URL of a new, empty database that is dropped when the
// test ends. The server is POSTHASTE_TEST_POSTGRES (a URL whose role may
// create databases) or one started from local binaries and shared by the test
// process. Without either the test is skipped, or fails under
// POSTHASTE_TEST_STRICT=1. Safe for concurrent use.
func Postgres(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv("POSTHASTE_TEST_POSTGRES")
	if server == "" {
		local, err := localPostgres()
		if err != nil {
			Missing(tb, "PostgreSQL: "+err.Error())
		}
		server = local.url
	}
	name := "posthaste_test_" + strings.ToLower(rand.Text())
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		tb.Fatalf("testkit: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("testkit: drop database: %v", err)
		}
	})
	made, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("testkit: POSTHASTE_TEST_POSTGRES is no URL")
	}
	made.Path = "/" + name
	return made.String()
}

// execute runs one statement on a connection of its own.
func execute(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// cluster is a started server. It ends when life is closed, by us or by the
// end of the process, so life must stay referenced: were it collected, the
// server would stop amid the tests.
type cluster struct {
	url  string
	life io.Closer
}

// localPostgres starts the server of this test process on its first call and
// keeps it for the later ones.
var localPostgres = sync.OnceValues(startPostgres)

// checkOurs refuses a server whose data is not in the folder we made: a test
// must never write into somebody's database.
func checkOurs(server, data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var has string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&has); err != nil {
		return err
	}
	if has != data {
		return fmt.Errorf("the server at the test socket keeps its data elsewhere")
	}
	return nil
}
