package posthaste

import "net/netip"

// Network is all that is ever kept of an IP address: the first three parts of
// an IPv4 address, the first 48 bits of an IPv6 one. The zero value is "not known".
type Network struct{ prefix netip.Prefix }

var (
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056: bits 16–47 are an IPv4 address
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last 32 bits are one
	teredo    = netip.MustParsePrefix("2001::/32")    // RFC 4380: the last 32 bits are one, inverted
)

// Cut gives the network of addr. An IPv6 form that carries an IPv4 address is
// cut as that address, since a /48 of it would keep all four parts.
func Cut(addr netip.Addr) Network {
	addr = addr.Unmap().WithZone("")
	bits := 48
	switch {
	case !addr.IsValid():
		return Network{}
	case addr.Is4():
		bits = 24
	case sixToFour.Contains(addr):
		bits = 40
	case nat64.Contains(addr):
		raw := addr.As16()
		return Cut(netip.AddrFrom4([4]byte(raw[12:])))
	case teredo.Contains(addr):
		raw := addr.As16()
		for i := range raw[12:] {
			raw[12+i] ^= 0xff
		}
		return Cut(netip.AddrFrom4([4]byte(raw[12:])))
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return Network{}
	}
	return Network{prefix}
}

// ParseNetwork reads what String wrote; anything longer than a Network holds is cut.
func ParseNetwork(text string) Network {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return Network{}
	}
	return Cut(prefix.Addr())
}

// Addr is the first address of the network; the zero one when nothing is known.
func (n Network) Addr() netip.Addr { return n.prefix.Addr() }

// Prefix is the network as a prefix; the zero one when nothing is known.
func (n Network) Prefix() netip.Prefix { return n.prefix }

// String is the prefix in CIDR form, or empty when nothing is known.
func (n Network) String() string {
	if !n.prefix.IsValid() {
		return ""
	}
	return n.prefix.String()
}
