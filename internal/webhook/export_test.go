package webhook

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
)

// Answer is what one attempt gave.
type Answer = answer

// What decides, and reads what peers say.
var (
	Decide     = decide
	RetryAfter = retryAfter
)

// AnswerLimit is how much of an answer's body is read, in bytes.
const AnswerLimit = answerLimit

// NewClientWith makes a client that asks a resolver for addresses.
func NewClientWith(allowed []netip.Prefix, roots *x509.CertPool, resolver *net.Resolver) *http.Client {
	return newClient(allowed, roots, resolver)
}

// Dialling says what is thought of an address just before it is called.
func Dialling(allowed []netip.Prefix, network, address string) error {
	return newGuard(allowed).control(network, address, nil)
}

// FaultOf says what a client's error is called.
func FaultOf(client *http.Client, err error) string {
	return New(nil, client).faultOf(err)
}
