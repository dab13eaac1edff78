package address

import (
	"strings"

	"golang.org/x/net/idna"
)

// toASCII gives the domain in lower-case A-labels, or in words what is wrong
// with it.
func toASCII(domain string) (string, string) {
	switch {
	case domain == "":
		return "", "has nothing after the @"
	case domain[0] == '[':
		return "", "has an address literal in brackets after the @; a domain name is needed"
	case strings.IndexByte(domain, '@') >= 0:
		return "", "has more than one @"
	case strings.ContainsAny(domain, "()"):
		return "", "has a comment in parentheses after the @"
	case strings.ContainsFunc(domain, func(r rune) bool { return invisible(r) && !joiner(r) }):
		return "", "has a space or an invisible character after the @"
	}
	lower := domain
	if isASCII(domain) {
		lower = strings.ToLower(domain)
	}
	// UTS #46 also decides about A-labels that were given as such.
	if !isASCII(lower) || strings.Contains(lower, "xn--") {
		ascii, err := idna.Lookup.ToASCII(lower)
		if err != nil {
			return "", "has a domain that is no valid international domain name"
		}
		lower = ascii
	}
	return lower, checkDomain(lower)
}

// checkDomain applies RFC 5321 section 4.1.2 (Domain) and section 4.5.3.1.2,
// and RFC 1035 section 2.3.4 to a domain in ASCII.
func checkDomain(domain string) string {
	if len(domain) > MaxDomain {
		return "has more than 255 octets after the @"
	}
	if domain == "localhost" {
		return ""
	}
	labels, start := 0, 0
	for i := 0; i <= len(domain); i++ {
		if i < len(domain) && domain[i] != '.' {
			continue
		}
		if reason := checkLabel(domain[start:i]); reason != "" {
			return reason
		}
		labels++
		if i < len(domain) {
			start = i + 1
		}
	}
	switch {
	case labels < 2:
		return "has a domain of one word; something like .com is missing"
	case strings.Trim(domain[start:], "0123456789") == "":
		return "has a domain that ends in a number"
	}
	return ""
}

// checkLabel is also where "--" in third place is refused outside of A-labels:
// RFC 5891 section 4.2.3.1.
func checkLabel(label string) string {
	switch {
	case label == "":
		return "has a domain that starts or ends with a dot or has two in a row"
	case len(label) > 63:
		return "has more than 63 octets between two dots of the domain"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a hyphen at the start or end of a part of the domain"
	case len(label) >= 4 && label[2:4] == "--" && label[:2] != "xn":
		return "has a domain with hyphens in the third and fourth place"
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "has a character in the domain that may not stand there"
		}
	}
	return ""
}
