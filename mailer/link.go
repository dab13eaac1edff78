package mailer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"posthaste/mailer/relay"
)

const (
	// dialFirst and dialMost bound the back-off after a connection that did not
	// come about; it says nothing about any recipient, so no attempt is counted.
	dialFirst = time.Second
	dialMost  = time.Minute
)

// link is one lane's connection to the next hop, while it has one.
type link struct {
	*pulse
	hop        relay.Dialer
	connection relay.Connection
	used       time.Time
}

func (p *pulse) link(hop relay.Dialer) *link { return &link{pulse: p, hop: hop} }

// connect makes sure that there is a connection, and waits for one as long as ctx lasts.
func (l *link) connect(ctx context.Context) bool {
	for wait := dialFirst; l.connection == nil; wait = min(2*wait, dialMost) {
		connection, err := l.dial(ctx)
		if err == nil {
			l.connection = connection
			break
		}
		if ctx.Err() != nil {
			return false
		}
		slog.Warn("next hop does not take connections", "worker", l.id, "error", err, "wait", wait)
		pause(ctx, wait)
		if ctx.Err() != nil {
			return false
		}
	}
	l.used = time.Now()
	return true
}

// redial opens the connection again in the middle of something, with one try:
// nothing claimed should wait for long.
func (l *link) redial(ctx context.Context) bool {
	connection, err := l.dial(ctx)
	if err != nil {
		if refused, ok := errors.AsType[*relay.ConnectError](err); ok && ctx.Err() == nil {
			slog.Warn("next hop does not take connections", "worker", l.id, "error", refused)
		}
		return false
	}
	l.connection = connection
	return true
}

func (l *link) dial(ctx context.Context) (relay.Connection, error) {
	connection, err := l.hop.Dial(ctx)
	if ctx.Err() == nil {
		l.metrics.Dialled(err)
	}
	return connection, err
}

func (l *link) hangUp() {
	if l.connection != nil {
		_ = l.connection.Close() // whatever it says, the messages are decided
		l.connection = nil
		l.metrics.HungUp()
	}
}

func (l *link) hangUpIfIdle() {
	if time.Since(l.used) > idleLimit {
		l.hangUp()
	}
}
