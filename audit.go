package posthaste

import (
	"context"
	"time"
)

// Who an Origin's Actor is when no key or user is.
const (
	BySystem      = "system"       // what the program does by itself
	ByRecipient   = "recipient"    // what a person does by the links in their mail, or by a form
	ByCommandLine = "command line" // what an operator does on a terminal
)

// Origin is who asks for an operation, and how the caller knows it. It travels
// in the context, from the edge at which a request comes in to the transaction
// that carries it out, and stands in the audit log from then on.
type Origin struct {
	Actor     string            // name of a key, or one of the By constants
	RequestID string            // ours
	CallerID  string            // the caller's own id of the request
	Reason    string            // the caller's: a ticket, a law
	Metadata  map[string]string // the caller's own
	Network   Network
	Region    string // country or region of the network, ISO 3166: "DE-BY"; empty when it is not known
}

type originKey struct{}

// WithOrigin gives a context whose operations are o's.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf gives the origin of what is done with ctx: the system, if nobody else.
func OriginOf(ctx context.Context) Origin {
	if o, ok := ctx.Value(originKey{}).(Origin); ok {
		return o
	}
	return Origin{Actor: BySystem}
}

// AuditEntry is one operation in the append-only audit log. It names people and
// things by id, never by address, so that it stays whole when a person is erased.
type AuditEntry struct {
	ID int64
	At time.Time
	Origin
	Action  string            // "campaign.pause"
	Object  string            // kind and id: "campaign/12"
	Details map[string]string // of the operation itself; names of fields, never personal values

	Unique []byte // random, so that no two entries are the same
	MAC    []byte // over all of the above but ID
}

// AuditFilter narrows a list of entries; zero fields do not.
type AuditFilter struct {
	Object, Action, Actor, RequestID string // RequestID is ours or the caller's
	From, To                         time.Time
}
