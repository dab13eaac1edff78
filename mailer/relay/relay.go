// Package relay holds the words of the next hop: the server, or the folder,
// that takes a message over. It does no I/O; smtpclient and outbox implement
// it. It follows RFC 5321 in its split of an answer: only a 2xx to the final
// dot makes the next hop responsible for the message (section 4.2.5).
package relay

import (
	"context"

	"posthaste"
)

// Envelope is the SMTP envelope of one message to one recipient. Both are
// addr-specs without angle brackets; an empty From is the null sender.
type Envelope struct {
	From string
	To   string
	// Begun, if not nil, is called once MAIL FROM is on its way, at the latest
	// when Send returns: from then on the message has begun.
	Begun func()
}

// HasBegun calls Begun.
func (e Envelope) HasBegun() {
	if e.Begun != nil {
		e.Begun()
	}
}

// Answer is what became of one message.
type Answer struct {
	// Reply is what the next hop said, and at which stage. Its Code is 0 and
	// its Text the fault when the next hop said nothing.
	Reply posthaste.Reply
	// Unknown: the final dot was, or may have been, sent and no answer is
	// known. The message may have been accepted: it must not be sent again
	// without a decision.
	Unknown bool
	// Lost: the connection is of no further use and has been closed.
	Lost bool
}

// Accepted reports whether the next hop took responsibility: 2xx to the final dot.
func (a Answer) Accepted() bool {
	return a.Reply.Stage == posthaste.AtDot && a.Reply.Code >= 200 && a.Reply.Code <= 299
}

// Connection hands messages to one next hop, one after the other. It is used
// by one goroutine at a time.
type Connection interface {
	// Send hands over one message: its header and body with CRLF line ends.
	// What the next hop says is in the Answer, whatever it is. When ctx ends
	// the connection is closed and the Answer is Lost.
	Send(ctx context.Context, e Envelope, message []byte) Answer
	// Close says goodbye if it can and frees the connection. It may be called
	// after a Lost answer and more than once.
	Close() error
}

// Dialer opens connections to one next hop. It is safe for concurrent use.
type Dialer interface {
	// Dial gives a connection that is ready for a message. Its error is a
	// *ConnectError.
	Dial(ctx context.Context) (Connection, error)
}

// ConnectError says why no connection came about. It tells nothing about any
// recipient.
type ConnectError struct {
	// Reply is what the next hop said, always AtConnect; Code 0 when it said nothing.
	Reply posthaste.Reply
	// Permanent: trying again without a change of the configuration is
	// useless: AUTH refused, TLS required but not offered, certificate not valid.
	Permanent bool
	// Err names host:port and the phase; never the password.
	Err error
}

// Error names host:port, the phase and the fault.
func (e *ConnectError) Error() string {
	if e.Err == nil {
		return "connect to the next hop: " + e.Reply.Text
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Err }
