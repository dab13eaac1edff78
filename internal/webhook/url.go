package webhook

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"posthaste"
)

// urlMost is the longest URL of a webhook, in bytes.
const urlMost = 2000

// CheckURL reports whether a webhook may have a URL: https, with a host, without
// a user or fragment, at most 2000 bytes. An IP address in it must be one that
// NewClient with the same allowed prefixes would call. A host name is not looked
// up: what it leads to is seen at each call. The error is Invalid, about the
// field "url", and does not repeat the URL, which may hold a token.
func CheckURL(raw string, allowed ...netip.Prefix) error {
	if len(raw) > urlMost {
		return posthaste.Refuse("url", "it must have at most 2000 bytes")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return posthaste.Refuse("url", "it is no URL")
	}
	port, portErr := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme != "https":
		return posthaste.Refuse("url", "it must begin with https://")
	case u.Hostname() == "":
		return posthaste.Refuse("url", "it has no host")
	case u.User != nil:
		return posthaste.Refuse("url", "it must not hold a user or password: messages are signed instead")
	case strings.Contains(raw, "#"):
		return posthaste.Refuse("url", "it must not hold a fragment (#)")
	case u.Port() != "" && (portErr != nil || port == 0):
		return posthaste.Refuse("url", "its port must be from 1 to 65535")
	}
	return checkHost(strings.TrimSuffix(u.Hostname(), "."), newGuard(allowed))
}

func checkHost(host string, may guard) error {
	if address, err := netip.ParseAddr(host); err == nil {
		if err := may.check(address); err != nil {
			return posthaste.Refuse("url", err.Error()+"; POSTHASTE_WEBHOOK_NETWORKS can allow private networks")
		}
		return nil
	}
	// Some resolvers take 2130706433, 0x7f.1 and the like for 127.0.0.1.
	if isNumber(host[strings.LastIndex(host, ".")+1:]) {
		return posthaste.Refuse("url", "its host must be a name, or an IP address in its usual form")
	}
	return nil
}

// isNumber reports whether the last label of a host makes it an IP address, as
// the WHATWG URL standard has it: no top-level domain is a number.
func isNumber(label string) bool {
	hex, isHex := strings.CutPrefix(strings.ToLower(label), "0x")
	if isHex {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}
