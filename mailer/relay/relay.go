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
	// before the message is Answered: from then on it has begun.
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

// Unanswered reports that the connection was lost before the message went, as
// happens to one that was idle or has had enough: nobody got anything.
func (a Answer) Unanswered() bool {
	return a.Lost && !a.Unknown && a.Reply.Stage != posthaste.AtDot && (a.Reply.Code == 0 || a.Reply.Code == 421)
}

// Item is one message to hand over.
type Item struct {
	Envelope
	// Message is header and body, with CRLF line ends.
	Message []byte
	// Wired: no line of Message begins with a dot, and it is 7-bit unless an
	// address of the envelope is not: it can go over the wire as it is. What
	// lies behind it up to its capacity may be written to.
	Wired bool
}

// Source is where a connection gets messages from.
type Source interface {
	// Next gives the next message, or nil when there is none any more. It must
	// not change before it is Answered. A connection may ask for one message
	// before the one before it is Answered, and says MAIL FROM for it then.
	Next() *Item
	// Permit is asked right before the first byte of the oldest message that is
	// not Answered goes. When it is false the message must not go, and the
	// connection is given up.
	Permit() bool
	// Answered is told what became of each message that Next gave, in order,
	// each before the next one is Permitted.
	Answered(Answer)
}

// Connection hands messages to one next hop, one after the other. It is used
// by one goroutine at a time.
type Connection interface {
	// Send hands over what s gives until it gives none or the connection is
	// lost. What the next hop says is in the Answer, whatever it is. When ctx
	// ends the connection is closed and the Answer is Lost.
	Send(ctx context.Context, s Source)
	// Close says goodbye if it can and frees the connection. It may be called
	// after a Lost answer and more than once.
	Close() error
}

// SendOne hands over one message.
func SendOne(ctx context.Context, c Connection, item Item) Answer {
	s := &single{item: &item}
	c.Send(ctx, s)
	return s.answer
}

// single is the Source of one message.
type single struct {
	item   *Item
	answer Answer
}

func (s *single) Next() *Item {
	item := s.item
	s.item = nil
	return item
}

func (s *single) Permit() bool { return true }

func (s *single) Answered(a Answer) { s.answer = a }

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
