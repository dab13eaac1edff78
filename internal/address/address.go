// Package address reads e-mail addresses as people type them and gives the two
// forms the service needs: the one that is sent to and the canonical one that
// two spellings of a mailbox share.
//
// It follows RFC 5321 section 4.1.2 (Mailbox) with the limits of its section
// 4.5.3.1, RFC 6531 section 3.3 (local parts beyond ASCII) and UTS #46 with
// IDNA2008 (RFC 5891) for domains. Address literals, comments, folding and the
// obsolete forms of RFC 5322 are refused: a recipient has none of them. It asks
// no DNS, folds neither dots nor +tags, and does not judge mixed scripts.
package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"posthaste"
)

// Limits in octets: RFC 5321 section 4.5.3.1. A path is at most 256 octets with
// its angle brackets, which leaves 254 for the address.
const (
	MaxLocal   = 64
	MaxDomain  = 255
	MaxAddress = 254
)

// Address is one mailbox, taken apart. The zero value is no address. Two
// Addresses of the same spelling are ==; two of the same mailbox share Canonical.
type Address struct {
	Local  string // as given, in NFC, without quotes
	Domain string // lower-case A-labels, or "localhost"
}

// Parse reads one address without a name. Spaces and invisible characters
// around it are dropped. The error is a *posthaste.Error of kind Invalid with
// one field, "address", whose reason never quotes the address.
func Parse(text string) (Address, error) {
	a, reason := parse(text)
	if reason != "" {
		return Address{}, posthaste.Refuse("address", reason)
	}
	return a, nil
}

// parse gives the address, or in words what is wrong with it.
func parse(text string) (Address, string) {
	text = strings.TrimFunc(text, invisible)
	switch {
	case text == "":
		return Address{}, "is empty"
	case len(text) > 4*MaxAddress: // before any work; an octet of an A-label takes at most four to type
		return Address{}, "is longer than 254 octets"
	case !utf8.ValidString(text):
		return Address{}, "is not UTF-8"
	}
	local, rest, reason := splitLocal(norm.NFC.String(text))
	if reason != "" {
		return Address{}, reason
	}
	domain, reason := toASCII(rest)
	if reason != "" {
		return Address{}, reason
	}
	a := Address{Local: local, Domain: domain}
	written := len(quoteLocal(local))
	switch {
	case written > MaxLocal:
		return Address{}, "has more than 64 octets before the @"
	case written+1+len(domain) > MaxAddress:
		return Address{}, "is longer than 254 octets"
	}
	return a, ""
}

// String is the address to send to: the local part is quoted where RFC 5321
// section 4.1.2 needs it, and only there. It is empty for the zero Address.
func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// Canonical is the form by which mailboxes are compared, counted and
// suppressed: String with the local part in lower case. RFC 5321 section 2.4
// lets a host tell "A@" from "a@"; none that people use does, and an opt-out
// must not be lost over it.
func (a Address) Canonical() string {
	a.Local = norm.NFC.String(strings.ToLower(a.Local))
	return a.String()
}

// NeedsSMTPUTF8 reports whether the address can only go to a host that offers
// SMTPUTF8 (RFC 6531). Domains never do: they are A-labels.
func (a Address) NeedsSMTPUTF8() bool { return !isASCII(a.Local) }

// invisible is what a copied or typed address carries around it unseen:
// spaces of any script, byte order marks, zero-width and direction marks.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
