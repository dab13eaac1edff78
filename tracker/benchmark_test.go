package tracker_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/bus"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/tracker"
)

// benchConnections are kept alive and each has one request under way.
const benchConnections = 64

// BenchmarkBeacons answers over loopback: a bare Echo handler that answers the
// same bytes, and the service, whose hits an embedded JetStream stores. The load
// comes from the same process, so that the cores do its work too.
func BenchmarkBeacons(b *testing.B) {
	keys, err := token.Load(filepath.Join(b.TempDir(), "secret"))
	must(b, err)
	broker, err := bus.Open(b.Context(), "embedded:"+b.TempDir())
	must(b, err)
	b.Cleanup(broker.Close)
	bare := echo.New()
	service := web.New(web.Options{Name: "public", Pages: true})
	beacons := tracker.New(&manyLinks{asked: map[int64]int{}}, broker, rules(b), keys)
	beacons.Register(service)
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	var running sync.WaitGroup
	running.Go(func() { beacons.Run(ctx) })
	b.Cleanup(func() { stop(); running.Wait() })
	for _, kind := range []posthaste.HitKind{posthaste.Open, posthaste.Click} {
		var paths []string
		for n := range int64(1000) {
			claims := token.Claims{RecipientID: n + 1, TopicID: 1, CampaignID: 1, Number: n + 1}
			path := "/o/" + keys.Seal(token.OpenBeacon, claims)
			if kind == posthaste.Click {
				claims.Link = 1
				path = "/c/" + keys.Seal(token.ClickLink, claims)
			}
			paths = append(paths, path)
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, httptest.NewRequest(http.MethodGet, paths[0], nil))
		bare.GET(paths[0][:3]+":token", func(c echo.Context) error {
			for name, values := range w.Header() {
				c.Response().Header()[name] = values
			}
			c.Response().WriteHeader(w.Code)
			_, err := c.Response().Write(w.Body.Bytes())
			return err
		})
		b.Run(string(kind)+"/bare", func(b *testing.B) { load(b, bare, paths) })
		b.Run(string(kind)+"/service", func(b *testing.B) { load(b, service, paths) })
	}
}

// load sends b.N requests over benchConnections and reports how many are answered
// in a second, and how long the slowest hundredth takes.
func load(b *testing.B, handler http.Handler, paths []string) {
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	must(b, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	var mu sync.Mutex
	var took []time.Duration
	var clients sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for c := range benchConnections {
		clients.Go(func() {
			mine := make([]time.Duration, 0, b.N/benchConnections+1)
			conn, err := net.Dial("tcp", listener.Addr().String()) //nolint:noctx // it ends with the benchmark
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for i := c; i < b.N; i += benchConnections {
				at := time.Now()
				if err := ask(conn, in, paths[i%len(paths)]); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	clients.Wait()
	elapsed := time.Since(start)
	b.StopTimer()
	_ = server.Close()
	<-done
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "requests/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// ask sends one request, as a mail program does, and reads its answer.
func ask(w io.Writer, in *bufio.Reader, path string) error {
	if _, err := fmt.Fprintf(w, "GET %s HTTP/1.1\r\nHost: mail.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\nAccept: image/webp,*/*\r\n\r\n", path); err != nil {
		return err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscanf(string(rest), "%d", &length); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := in.Discard(length)
			return err
		}
	}
}
