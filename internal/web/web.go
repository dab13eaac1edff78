// Package web is what every HTTP listener of the program shares: the cut of
// addresses, request ids and one log event per request, and the one table from
// error kinds to HTTP, as a problem document (RFC 9457) or as a page.
//
// It holds no routes and no state of its own.
package web

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"posthaste"
	"posthaste/internal/metrics"
)

// Limits of every listener.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
)

// Options say how a listener treats requests.
type Options struct {
	Name           string                         // in log events: "public", "operator"
	TrustedProxies []netip.Prefix                 // whose X-Forwarded-For is believed; none: nobody's
	Pages          bool                           // errors are pages rather than problem documents
	Region         func(posthaste.Network) string // nil: not known
	Actor          string                         // whose requests these are as long as nobody else is known
	Metrics        *metrics.Metrics
}

// New makes a router. The first handler of every request cuts the client's
// address; nothing after it can see more of it than a Network.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = problemHandler(o.Pages)
	e.IPExtractor = func(*http.Request) string { return "" } // see NetworkOf
	e.Pre(noteOrigin(o))
	e.Use(logRequest(o.Name, o.Metrics), middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err },
	}), refuseNUL(o.Pages))
	return e
}

// refuseNUL answers for the handlers what bears a NUL: nothing is called so, and
// to either database it is a fault in the statement rather than a value. Pages
// have no command in the query, so that it may hold anything.
func refuseNUL(pages bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			switch r := c.Request(); {
			case strings.ContainsRune(r.URL.Path, 0):
				return echo.ErrNotFound
			case !pages && strings.Contains(r.URL.RawQuery, "%00"):
				return posthaste.Refuse("query", "must not hold a NUL")
			}
			return next(c)
		}
	}
}

// Serve answers on a listener until ctx ends, then lets requests under way
// finish for at most grace.
func Serve(ctx context.Context, e *echo.Echo, l net.Listener, bodyTimeout, grace time.Duration) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	failed := make(chan error, 1) // one send at most
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// addressHeaders are those in which proxies and content networks pass on a client's address.
var addressHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded", "Forwarded-For", "X-Original-Forwarded-For", "X-Real-Ip", "X-Client-Ip",
	"X-Cluster-Client-Ip", "X-Remote-Addr", "X-Envoy-External-Address", "X-Azure-Clientip", "X-Azure-Socketip", "X-Appengine-User-Ip", "True-Client-Ip",
	"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip", "Fly-Client-Ip"}

// noteOrigin puts into the request's context where it comes from: the client's
// address cut to its Network, and an id. It removes the address itself, and every
// header that may hold the whole one (RFC 7239 and its elders).
func noteOrigin(o Options) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			id := rand.Text()
			origin := posthaste.Origin{Actor: o.Actor, RequestID: id, Network: posthaste.Cut(clientAddress(r, o.TrustedProxies))}
			if o.Region != nil {
				origin.Region = o.Region(origin.Network)
			}
			SetOrigin(c, origin)
			c.Response().Header().Set(echo.HeaderXRequestID, id)
			c.Request().RemoteAddr = ""
			for _, name := range addressHeaders {
				r.Header.Del(name)
			}
			return next(c)
		}
	}
}

// clientAddress is the rightmost address that no trusted proxy has. Past a hop
// that is no address nothing is known, rather than the proxy's own address.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	hops := strings.FieldsFunc(strings.Join(r.Header.Values("X-Forwarded-For"), ","), func(r rune) bool { return r == ',' || r == ' ' })
	for i := len(hops) - 1; i >= 0 && isTrusted(addr, trusted); i-- {
		if withPort, err := netip.ParseAddrPort(hops[i]); err == nil { // as some gateways write it
			addr = withPort.Addr()
			continue
		}
		addr, _ = netip.ParseAddr(strings.Trim(hops[i], "[]")) // the zero one, if it is none
	}
	return addr
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// SetOrigin notes who makes the request, for all that is done in its course.
func SetOrigin(c echo.Context, o posthaste.Origin) {
	c.SetRequest(c.Request().WithContext(posthaste.WithOrigin(c.Request().Context(), o)))
}

// OriginOf is who makes the request.
func OriginOf(c echo.Context) posthaste.Origin { return posthaste.OriginOf(c.Request().Context()) }

// logRequest writes one event per request. It names the route and never the
// path, which holds a token or an address.
func logRequest(listener string, m *metrics.Metrics) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			err := next(c)
			if err != nil {
				c.Error(err)
			}
			status := c.Response().Status
			m.Answered(listener, status, time.Since(start))
			level := slog.LevelDebug
			if status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
			attrs := []slog.Attr{slog.String("listener", listener), slog.String("method", c.Request().Method), slog.String("route", c.Path()),
				slog.Int("status", status), slog.Duration("took", time.Since(start)), slog.String("request", OriginOf(c).RequestID), slog.String("actor", OriginOf(c).Actor)}
			if err != nil && level == slog.LevelError {
				attrs = append(attrs, slog.Any("error", err))
			}
			slog.LogAttrs(c.Request().Context(), level, "request", attrs...)
			return nil
		}
	}
}
