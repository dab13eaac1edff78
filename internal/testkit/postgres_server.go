//go:build unix

package testkit

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// mortal is the shell script that owns a server which is killed and started at
// will: it does what each line of its standard input says, and ends the server
// when that is closed, however the test process ended. A commit waits until the
// operating system has it, which is what a kill leaves standing.
const mortal = `
trap '' INT TERM HUP
dir=$1 bin=$2
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions >"$dir/initdb.log" 2>&1 ||
	{ : >"$dir/failed"; read -r _; rm -rf "$dir"; exit 1; }
start() {
	"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off \
		-c max_connections=200 -c shared_buffers=64MB -c timezone=UTC >>"$dir/server.log" 2>&1 &
	server=$!
}
start
while read -r order; do
	case $order in
	kill) kill -KILL $server; wait $server 2>/dev/null ;;
	start) kill -0 $server 2>/dev/null || start ;;
	esac
done
kill -QUIT $server
wait $server
rm -rf "$dir"
`

// PostgresServer is a PostgreSQL server of one test, which can be killed. Its
// methods are for one goroutine at a time.
type PostgresServer struct {
	tb     testing.TB
	dir    string
	orders io.WriteCloser
}

// NewPostgresServer starts a server from local binaries; without them the test
// is skipped, or fails under POSTHASTE_TEST_STRICT=1. It ends with the test.
func NewPostgresServer(tb testing.TB) *PostgresServer {
	tb.Helper()
	bin, err := postgresBinaries()
	if err != nil {
		Missing(tb, "PostgreSQL: "+err.Error())
	}
	dir, err := socketFolder()
	if err != nil {
		tb.Fatal("testkit:", err)
	}
	cmd := exec.Command("/bin/sh", "-c", mortal, "sh", dir, bin)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if os.Geteuid() == 0 {
		id, err := unprivileged()
		if err != nil {
			tb.Fatal("testkit:", err)
		}
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			tb.Fatal("testkit:", err)
		}
		cmd.SysProcAttr.Credential = id
	}
	s := &PostgresServer{tb: tb, dir: dir}
	if s.orders, err = cmd.StdinPipe(); err != nil {
		tb.Fatal("testkit:", err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal("testkit:", err)
	}
	tb.Cleanup(func() {
		_ = s.orders.Close()
		_ = cmd.Wait() // it removes the folder
	})
	if _, err := awaitPostgres(dir); err != nil {
		tb.Fatal("testkit:", err)
	}
	return s
}

// Socket is where it listens: a path for NewProxy behind "unix:".
func (s *PostgresServer) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// Kill ends the server at once and without warning. Its processes notice by themselves.
func (s *PostgresServer) Kill() { s.order("kill") }

// Start starts a killed server and returns when it answers.
func (s *PostgresServer) Start() {
	s.tb.Helper()
	deadline := time.After(startTimeout)
	for {
		s.order("start") // again and again: it does not start while processes of the killed one are there
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://postgres@/postgres?host=%s", s.dir))
		if err == nil {
			_ = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			s.tb.Fatal("testkit: PostgreSQL does not start again:", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *PostgresServer) order(what string) {
	s.tb.Helper()
	if _, err := io.WriteString(s.orders, what+"\n"); err != nil {
		s.tb.Fatal("testkit:", err)
	}
}
