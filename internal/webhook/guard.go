package webhook

import (
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// refusedError is an address that may not be called.
type refusedError struct{ address string }

func (e *refusedError) Error() string { return "the address " + e.address + " may not be called" }

// guard knows which addresses may be called: those of the public internet, and
// those that the operator allows. Everything in the special-purpose registries
// of IANA is refused, and of IPv6 all that is not global unicast, which takes in
// the forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo). A NAT64
// prefix that a network chose for itself looks like any other, and is not known.
type guard struct{ rules *ssrf.Guardian }

func newGuard(allowed []netip.Prefix) guard {
	var v4, v6 []netip.Prefix
	for _, prefix := range allowed {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	// Any port: TLS with a valid certificate comes before the first byte that
	// a sender of webhooks could choose.
	return guard{ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))}
}

// check gives a refusedError for an address that may not be called.
func (g guard) check(address netip.Addr) error {
	if g.rules.SafeAddr(address) != nil {
		return &refusedError{address.String()}
	}
	return nil
}

// control is for net.Dialer: it sees the address that is really about to be
// called, after all look-ups, so a name that changes its address gains nothing.
func (g guard) control(network, address string, conn syscall.RawConn) error {
	err := g.rules.Safe(network, address, conn)
	if err == nil {
		return nil
	}
	if target, bad := netip.ParseAddrPort(address); bad == nil {
		return &refusedError{target.Addr().String()}
	}
	return err
}
