package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/web"
)

const (
	// askLimit bounds what a part may take to answer when it is asked whether it is there.
	askLimit = 2 * time.Second
	// profileLimit is as long as a profile may be taken.
	profileLimit = 2 * time.Minute
)

// serveMonitor answers those who watch over this process.
func (svc *service) serveMonitor(ctx context.Context, s serveCommand) error {
	e := web.New(web.Options{Name: "monitor"})
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "alive\n") })
	e.GET("/readyz", func(c echo.Context) error {
		asking, cancel := context.WithTimeout(c.Request().Context(), askLimit)
		defer cancel()
		if err := svc.ready(asking); err != nil {
			return err
		}
		return c.String(http.StatusOK, "ready\n")
	})
	e.GET("/metrics", echo.WrapHandler(svc.metrics.Handler()))
	e.GET("/debug/pprof/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	e.GET("/debug/pprof/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	e.GET("/debug/pprof/*", echo.WrapHandler(http.HandlerFunc(pprof.Index)))
	if s.has(schedulerRole) { // one kind of process tells of what all share
		depth := func(of func(context.Context) (uint64, error)) func() (uint64, error) {
			return func() (uint64, error) {
				asking, cancel := context.WithTimeout(ctx, askLimit)
				defer cancel()
				return of(asking)
			}
		}
		svc.metrics.Queue("chunks", depth(svc.bus.QueuedChunks))
		svc.metrics.Queue("notices", depth(svc.bus.QueuedNotices))
		svc.metrics.Queue("hits", depth(svc.bus.QueuedHits))
	}
	return web.Serve(ctx, e, svc.monitor, profileLimit, grace)
}

// ready asks what every role needs.
func (svc *service) ready(ctx context.Context) error {
	if err := svc.store.Ping(ctx); err != nil {
		return err
	}
	return svc.bus.Ping(ctx)
}

type healthCommand struct{}

// Run asks the process on this machine whether it lives, for those who can only
// run a command in its place.
func (healthCommand) Run(e *environment) error {
	host, port, err := net.SplitHostPort(e.config.MonitorListen)
	if err != nil {
		return posthaste.Refuse("POSTHASTE_MONITOR_LISTEN", "is needed as host:port to ask there")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(e.ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s: %s", answer.Status, text)
	}
	_, err = e.out.Write(text)
	return err
}
