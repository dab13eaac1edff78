//go:build unix

package testkit

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	// startTimeout is the longest that initdb and the first connection may take.
	startTimeout = 60 * time.Second
	// socketPathLimit is what a unix socket's path may have, with its file
	// name: 107 bytes on Linux, 103 elsewhere.
	socketPathLimit = 103
)

// keeper is the shell script that owns the server. It lives as long as its
// standard input, which is held by the test process alone: when that process
// ends, by exit, panic or kill, the server is stopped at once and the folder
// removed. So tests need no TestMain, and no goroutine watches over it.
const keeper = `
trap '' INT TERM HUP
dir=$1 bin=$2
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions >"$dir/initdb.log" 2>&1 ||
	{ : >"$dir/failed"; read -r _; rm -rf "$dir"; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= \
	-c fsync=off -c synchronous_commit=off -c full_page_writes=off \
	-c max_connections=200 -c shared_buffers=64MB -c timezone=UTC >"$dir/server.log" 2>&1 &
server=$!
read -r _
kill -QUIT $server
wait $server
rm -rf "$dir"
`

// startPostgres makes a cluster in a temporary folder and starts a server on a
// unix socket in it.
func startPostgres() (cluster, error) {
	bin, err := postgresBinaries()
	if err != nil {
		return cluster{}, err
	}
	dir, err := socketFolder()
	if err != nil {
		return cluster{}, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is ours to pass on
	if os.Geteuid() == 0 {                      // PostgreSQL refuses to run as root
		id, err := unprivileged()
		if err != nil {
			return cluster{}, err
		}
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			return cluster{}, fmt.Errorf("give the folder away: %w", err)
		}
		attr.Credential = id
	}
	cmd := exec.Command("/bin/sh", "-c", keeper, "sh", dir, bin)
	cmd.Dir, cmd.SysProcAttr = dir, attr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	life, err := cmd.StdinPipe()
	if err != nil {
		return cluster{}, err
	}
	if err := cmd.Start(); err != nil {
		return cluster{}, fmt.Errorf("start PostgreSQL: %w", err)
	}
	url, err := awaitPostgres(dir)
	if err != nil {
		return cluster{}, errors.Join(err, life.Close())
	}
	return cluster{url, life}, nil
}

func awaitPostgres(dir string) (string, error) {
	server := (&url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{
		"host": {dir}, "user": {"postgres"}, "sslmode": {"disable"},
	}.Encode()}).String()
	var err error
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		if _, failed := os.Stat(filepath.Join(dir, "failed")); failed == nil {
			log, _ := os.ReadFile(filepath.Join(dir, "initdb.log"))
			return "", fmt.Errorf("initdb: %.300s", log)
		}
		if _, absent := os.Stat(filepath.Join(dir, ".s.PGSQL.5432")); absent == nil {
			if err = checkOurs(server, filepath.Join(dir, "data")); err == nil {
				return server, nil
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	return "", fmt.Errorf("no connection within %s: %w", startTimeout, err)
}

// postgresBinaries finds the newest installed server, packaged or in PATH.
func postgresBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	for _, path := range found {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "initdb")); err == nil {
			return filepath.Dir(path), nil
		}
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no server binaries found and POSTHASTE_TEST_POSTGRES is not set")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// socketFolder makes a folder short enough in name for a socket, and reachable
// for an unprivileged user: not the test's own, which is closed to others.
func socketFolder() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		info, err := os.Stat(parent)
		if err != nil || os.Geteuid() == 0 && info.Mode()&0o001 == 0 {
			continue
		}
		if len(parent)+len("/posthaste-pg-0123456789/.s.PGSQL.5432") > socketPathLimit {
			continue
		}
		return os.MkdirTemp(parent, "posthaste-pg-")
	}
	return "", errors.New("no temporary folder is fit for a unix socket")
}

// unprivileged gives the user that runs the server for root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(found.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("no user postgres or nobody to run the server as")
}
