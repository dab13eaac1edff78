package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

const (
	// lastWords bounds what is said to a client that is turned away or told goodbye.
	lastWords = time.Second
	// acceptPause is the wait after a connection could not be accepted, as when
	// the process has no file descriptor left.
	acceptPause = 200 * time.Millisecond
)

// Serve answers the clients of l until ctx ends, and then stops in two steps:
// it takes no new connection and ends the idle ones, and lets each transaction
// finish for up to Grace. It returns when all of them are over: nil, or why l
// failed. It closes l. Connections of a TLS listener count as encrypted. It may
// be called for several listeners; they share MaxConnections.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// What is being submitted outlives ctx, by Grace at most.
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	unhook := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer unhook()
	v := &visits{wires: map[*wire]struct{}{}}
	err := s.accept(ctx, work, l, v)
	_ = l.Close() // it was read from only
	v.tell(stopping)
	over := make(chan struct{})
	go func() {
		v.wait.Wait()
		close(over)
	}()
	grace := time.NewTimer(s.grace)
	defer grace.Stop()
	select {
	case <-over:
		return err
	case <-grace.C:
	}
	giveUp()
	v.tell(stopped)
	<-over
	return err
}

// accept starts a visit for each connection that there is room for.
func (s *Server) accept(ctx, work context.Context, l net.Listener, v *visits) error {
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // it came too late
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept SMTP connections: %w", err)
		case err != nil:
			s.log().Warn("SMTP connections cannot be accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
		default:
			turnAway(conn, s.domain)
			continue
		}
		w := newWire(conn, s.timeout)
		v.add(w)
		v.wait.Go(func() {
			defer func() { <-s.slots }()
			defer v.remove(w)
			s.visit(work, w)
		})
	}
}

// visit is one connection from greeting to end. A fault in reading one message
// must not end the process that sends everybody's mail.
func (s *Server) visit(work context.Context, w *wire) {
	defer func() {
		if fault := recover(); fault != nil { // its text may hold what was being read
			s.log().Error("panic in an SMTP dialogue", "fault", fmt.Sprintf("%T", fault), "stack", string(debug.Stack()))
		}
		_ = w.conn.Close() // nothing can be done about it
	}()
	d := &dialogue{wire: w, server: s, local: onThisMachine(w.raw.RemoteAddr())}
	_, d.secured = w.raw.(*tls.Conn) // RFC 8314
	d.run(work)
}

// turnAway tells a client that there is no room (RFC 5321 section 3.1). To one
// that would first need a TLS handshake it says nothing.
func turnAway(conn net.Conn, domain string) {
	defer conn.Close()
	if _, encrypted := conn.(*tls.Conn); encrypted || conn.SetDeadline(time.Now().Add(lastWords)) != nil {
		return
	}
	fmt.Fprintf(conn, "421 4.3.2 %s has too many connections, come back later\r\n", domain)
}

// onThisMachine is all that is ever asked about a client's address.
func onThisMachine(from net.Addr) bool {
	if from == nil || !strings.HasPrefix(from.Network(), "tcp") {
		return false
	}
	at, err := netip.ParseAddrPort(from.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// visits are the connections of one listener.
type visits struct {
	wait  sync.WaitGroup
	mu    sync.Mutex
	wires map[*wire]struct{}
}

func (v *visits) add(w *wire) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wires[w] = struct{}{}
}

func (v *visits) remove(w *wire) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.wires, w)
}

func (v *visits) tell(to stage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for w := range v.wires {
		w.enter(to)
	}
}
