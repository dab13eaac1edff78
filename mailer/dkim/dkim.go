// Package dkim signs messages with the keys of the domains they come from, so
// that receivers can tell them from forged ones.
//
// It follows RFC 6376 (DKIM) with the algorithms of RFC 8301 (rsa-sha256, keys
// of 1024 bits and more) and RFC 8463 (ed25519-sha256, beside RSA and never
// alone), and signs the fields that RFC 8058 section 4 wants signed. It signs
// only: it verifies nothing, asks no DNS, makes no keys, and does not look at
// whether a message is a good one.
package dkim

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
)

// Signer has the keys of domains. The zero value has none and signs nothing.
// It is immutable, and so safe for concurrent use.
type Signer struct {
	keys map[string][]key // by domain in lower-case A-labels; RSA stands first
}

// key makes the signatures of one selector.
type key struct {
	domain, selector string
	algorithm        string // of the a= tag
	private          crypto.Signer
	hash             crypto.Hash // what private is told that it signs
}

// Empty reports whether there is no key at all.
func (s *Signer) Empty() bool { return len(s.keys) == 0 }

// Covers reports whether Sign signs messages from domain, which is in
// lower-case A-labels.
func (s *Signer) Covers(domain string) bool { return len(s.find(domain)) > 0 }

// Domain is the first domain, in alphabetical order, that there is a key of; empty if there is none.
func (s *Signer) Domain() string {
	domains := slices.Sorted(maps.Keys(s.keys))
	if len(domains) == 0 {
		return ""
	}
	return domains[0]
}

// find gives the keys of the domain or else of its nearest parent that has any:
// a parent's signature is aligned with a subdomain's From, as DMARC (RFC 9989)
// has it unless the parent asks for strict alignment.
func (s *Signer) find(domain string) []key {
	for more := true; more; _, domain, more = strings.Cut(domain, ".") {
		if keys := s.keys[domain]; keys != nil {
			return keys
		}
	}
	return nil
}

// What a message must have to be signed.
var (
	errHeader = errors.New("dkim: the message has no header that ends in an empty line")
	errFrom   = errors.New("dkim: the message does not have exactly one From") // RFC 6376 section 5.4
	errDate   = errors.New("dkim: the message does not have exactly one Date that can be read")
)

// Sign gives the message, whose lines end in CRLF, with a DKIM-Signature field
// in front for each key of domain, the From domain in lower-case A-labels. What
// follows them is message itself, to the byte; without a key, all is. The time
// of signing is the message's Date, so equal messages are signed equally.
func (s *Signer) Sign(domain string, message []byte) ([]byte, error) {
	keys := s.find(domain)
	if keys == nil {
		return message, nil
	}
	end := bytes.Index(message, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, errHeader
	}
	fields, body := split(message[:end+len(crlf)]), message[end+2*len(crlf):]
	at, err := signingTime(fields)
	if err != nil {
		return nil, err
	}
	names, signed := choose(fields)
	bodyHash := sha256.Sum256(relaxBody(make([]byte, 0, len(body)+2), body))

	const room = 2048 // for two signatures, the larger with a key of 4096 bits
	out := make([]byte, 0, room+len(message))
	for _, k := range keys {
		start := len(out)
		out = k.appendUnsigned(out, at, names, bodyHash[:])
		// Section 3.7: the field itself is signed last, with b= empty and without its CRLF.
		digest := sha256.Sum256(relaxField(signed[:len(signed):len(signed)], out[start:]))
		signature, err := k.private.Sign(nil, digest[:], k.hash)
		if err != nil {
			return nil, fmt.Errorf("sign for %s@%s: %w", k.selector, k.domain, err)
		}
		out = appendFolded(out, base64.StdEncoding.EncodeToString(signature))
	}
	return append(out, message...), nil
}

// signingTime is the Date of a message in Unix seconds.
func signingTime(fields []field) (int64, error) {
	var from, dates int
	var date string
	for _, f := range fields {
		switch f.name {
		case "from":
			from++
		case "date":
			dates++
			date = string(f.raw[bytes.IndexByte(f.raw, ':')+1:])
		}
	}
	if from != 1 {
		return 0, errFrom
	}
	at, err := mail.ParseDate(strings.TrimSpace(date))
	if err != nil || dates != 1 || at.Unix() < 0 {
		return 0, errDate
	}
	return at.Unix(), nil
}
