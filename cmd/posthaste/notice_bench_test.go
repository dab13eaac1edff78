package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/labstack/echo/v4"
	_ "github.com/ncruces/go-sqlite3/driver"

	"posthaste/internal/testkit"
)

// noticeClients is how many clients ask at once.
const noticeClients = 16

// BenchmarkNotices has notices taken in by 16 clients, and beside it, in the same
// run, the least that could be called taking one in: a handler that writes the
// body into a table and answers. ratio is the first by the second.
func BenchmarkNotices(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			sink := testkit.NewFastSink(b)
			env := append(m.env(b), "POSTHASTE_DATA_DIR="+b.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0",
				"POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_SMTP_URL="+sink.URL())
			p := start(b, env)
			p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
			bare := bareHandler(b, env)
			var taken, row float64
			for b.Loop() {
				const requests = 4000
				row += perSecond(b, bare, requests)
				taken += perSecond(b, p.operators+"/api/v1/notices", requests, "Authorization", "Bearer "+p.key)
			}
			waitFor(b, "the notices to be sent", func() bool { return sink.Count() == int64(b.N)*4000 })
			b.ReportMetric(taken/float64(b.N), "notices/s")
			b.ReportMetric(row/float64(b.N), "rows/s")
			b.ReportMetric(taken/row, "ratio")
		})
	}
}

// bareHandler writes a row for each request, as durably as the program does.
func bareHandler(tb testing.TB, env []string) (url string) {
	tb.Helper()
	driver, source := "sqlite3", "file:"+tb.TempDir()+"/bare.db?_pragma=busy_timeout(60000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"
	for _, setting := range env {
		if url, ok := strings.CutPrefix(setting, "POSTHASTE_DATABASE_URL="); ok {
			driver, source = "pgx", url
		}
	}
	db, err := sql.Open(driver, source)
	must(tb, err)
	if driver == "sqlite3" {
		db.SetMaxOpenConns(1)
	}
	tb.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(tb.Context(), "CREATE TABLE bare (id TEXT PRIMARY KEY, body TEXT NOT NULL)")
	must(tb, err)
	var next atomic.Int64
	e := echo.New()
	e.POST("/", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(c.Request().Context(), "INSERT INTO bare (id, body) VALUES ($1, $2)", fmt.Sprint(next.Add(1)), string(body)); err != nil {
			return err
		}
		return c.NoContent(http.StatusAccepted)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(l) }()
	tb.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String() + "/"
}

// perSecond has clients post that many notices to a URL.
func perSecond(tb testing.TB, url string, requests int, header ...string) float64 {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: noticeClients}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var clients sync.WaitGroup
	begun := time.Now()
	for range noticeClients {
		clients.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(requests) {
					return
				}
				body := fmt.Sprintf(`{"type": "receipt", "to": {"email": "n%d@example.com"}, "data": %s}`, n, order)
				request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
				if err != nil {
					tb.Error(err)
					return
				}
				request.Header.Set("Content-Type", "application/json")
				for i := 0; i+1 < len(header); i += 2 {
					request.Header.Set(header[i], header[i+1])
				}
				request.Header.Set("Idempotency-Key", fmt.Sprint(url, begun.UnixNano(), n))
				response, err := client.Do(request)
				if err != nil {
					tb.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusAccepted {
					tb.Errorf("answered %d", response.StatusCode)
					return
				}
			}
		})
	}
	clients.Wait()
	return float64(requests) / time.Since(begun).Seconds()
}
