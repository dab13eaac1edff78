package testkit_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"posthaste/internal/testkit"
)

func TestPostgresDatabasesAreApart(t *testing.T) {
	t.Parallel()
	first, second := testkit.Postgres(t), testkit.Postgres(t)
	if first == second {
		t.Fatal("two calls gave the same database")
	}
	query := func(url, statement string) error {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), statement)
		return err
	}
	if err := query(first, "CREATE TABLE fox (id BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if err := query(first, "SELECT id FROM fox"); err != nil {
		t.Errorf("a second connection does not see the table: %v", err)
	}
	if err := query(second, "SELECT id FROM fox"); err == nil {
		t.Error("the second database has the first one's table")
	}
}

func TestPostgresDropsTheDatabase(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("use", func(t *testing.T) { url = testkit.Postgres(t) })
	if url == "" {
		testkit.Missing(t, "PostgreSQL")
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlived its test")
	}
}

// A test process that panics has no time to clean up; its server must go all the same.
func TestPostgresDiesWithItsProcess(t *testing.T) {
	const variable = "TESTKIT_TEST_PANIC"
	if os.Getenv(variable) == "1" {
		fmt.Println("server:", testkit.Postgres(t))
		panic("as asked")
	}
	t.Parallel()
	if os.Getenv("POSTHASTE_TEST_POSTGRES") != "" {
		testkit.Missing(t, "a PostgreSQL of our own")
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestPostgresDiesWithItsProcess$")
	child.Env = append(os.Environ(), variable+"=1")
	out, err := child.CombinedOutput()
	if err == nil {
		testkit.Missing(t, "PostgreSQL")
	}
	found := regexp.MustCompile(`server: (\S+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("%v: %s", err, out)
	}
	server, err := url.Parse(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	dir := server.Query().Get("host")
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", dir)
		}
		<-time.After(20 * time.Millisecond)
	}
}
