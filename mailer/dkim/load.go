package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"posthaste"
	"posthaste/internal/address"
)

// Setting is what the keys are configured with, and the field that errors name.
const Setting = "POSTHASTE_DKIM_KEYS"

// Lengths of RSA keys in bits, RFC 8301 section 3.2: signers must use at least
// the first and should use the second; verifiers need not take more than the third.
const (
	leastBits, goodBits, mostBits = 1024, 2048, 4096
)

// Load reads keys: a setting "selector@domain=/path/to/key.pem,…" whose files
// are PEM of PKCS#1 or PKCS#8. A domain has one RSA key, and at most one Ed25519
// key beside it. The empty setting gives an empty Signer. What is wrong is a
// *posthaste.Error about Setting with one fault for each entry, which never
// quotes what might be key material. A short key is logged.
func Load(setting string) (*Signer, error) {
	s := &Signer{keys: map[string][]key{}}
	if strings.TrimSpace(setting) == "" {
		return s, nil
	}
	var faults []posthaste.Field
	fault := func(entry, reason string) {
		faults = append(faults, posthaste.Field{Name: Setting, Reason: entry + " " + reason})
	}
	for i, entry := range strings.Split(setting, ",") {
		k, path, reason := parseEntry(strings.TrimSpace(entry))
		if reason != "" {
			fault(fmt.Sprintf("entry %d", i+1), reason)
			continue
		}
		if reason = k.read(path); reason == "" {
			reason = s.clash(k)
		}
		if reason != "" {
			fault("entry "+k.String(), reason)
			continue
		}
		s.keys[k.domain] = append(s.keys[k.domain], k)
	}
	if len(faults) == 0 { // an Ed25519 key is not alone while its neighbour is only misspelt
		faults = s.complete()
	}
	if err := posthaste.RefuseAll(faults); err != nil {
		return nil, err
	}
	return s, nil
}

// String names the key by where its public half is found.
func (k key) String() string { return k.selector + "@" + k.domain }

// parseEntry reads one entry, or says in words what is wrong with it. A
// selector with its domain has the form of an address.
func parseEntry(entry string) (k key, path, reason string) {
	name, path, found := strings.Cut(entry, "=")
	a, err := address.Parse(name)
	switch {
	case !found || path == "" || err != nil:
		return k, "", "must be selector@domain=/path/to/key.pem, with a comma between entries"
	case !isSelector(a.Local):
		return k, "", "must have a selector of letters, digits and hyphens, with dots between parts"
	}
	return key{selector: strings.ToLower(a.Local), domain: a.Domain}, path, ""
}

// isSelector asks for the form of RFC 6376 section 3.1: labels as those of domains.
func isSelector(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notOfLabel) {
			return false
		}
	}
	return true
}

func notOfLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

// read sets the key from a file, or says in words what is wrong with it.
func (k *key) read(path string) (reason string) {
	text, err := os.ReadFile(path)
	if err != nil {
		// The path is left out: who writes the key itself there must not find it in a log.
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			err = cause.Err
		}
		return "names a file that cannot be read: " + err.Error()
	}
	switch private := parsePEM(text).(type) {
	case *rsa.PrivateKey:
		bits := private.N.BitLen()
		if bits < leastBits || bits > mostBits {
			return fmt.Sprintf("is an RSA key of %d bits; it must have %d to %d, better at least %d (RFC 8301)", bits, leastBits, mostBits, goodBits)
		}
		if bits < goodBits {
			slog.Warn("a DKIM key is short: RFC 8301 advises 2048 bits", "selector", k.selector, "domain", k.domain, "bits", bits)
		}
		k.private, k.hash, k.algorithm = private, crypto.SHA256, rsaSHA256
	case ed25519.PrivateKey:
		// RFC 8463 section 3: what Ed25519 signs is the digest, as a text like any other.
		k.private, k.hash, k.algorithm = private, 0, ed25519SHA256
	default:
		return "names a file without a private key, RSA or Ed25519, in unencrypted PEM (PKCS#1 or PKCS#8)"
	}
	return ""
}

// The algorithms: RFC 8301 section 3.1, RFC 8463 section 3.
const (
	rsaSHA256     = "rsa-sha256"
	ed25519SHA256 = "ed25519-sha256"
)

// parsePEM gives the first private key, or nil.
func parsePEM(text []byte) any {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			if private, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				return private
			}
		case "PRIVATE KEY":
			if private, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				return private
			}
		}
	}
	return nil
}

// clash says in words why the key cannot stand beside those of its domain.
func (s *Signer) clash(k key) string {
	for _, other := range s.keys[k.domain] {
		switch {
		case other.algorithm == k.algorithm:
			return fmt.Sprintf("is a second %s key of its domain, beside %s; while keys change, the old one stays in DNS only", k.algorithm, other)
		case other.selector == k.selector:
			return "is given twice; RSA and Ed25519 need a selector each, since one names one public key"
		}
	}
	return ""
}

// complete puts RSA keys first, whose signatures all receivers verify, and
// gives a fault for each domain that has none.
func (s *Signer) complete() (faults []posthaste.Field) {
	for _, domain := range slices.Sorted(maps.Keys(s.keys)) {
		keys := s.keys[domain]
		slices.SortFunc(keys, func(a, b key) int { return strings.Compare(b.algorithm, a.algorithm) })
		if keys[0].algorithm != rsaSHA256 {
			faults = append(faults, posthaste.Field{Name: Setting, Reason: "entry " + keys[0].String() + " is an Ed25519 key alone; many receivers verify RSA only, so it must stand beside an RSA key of the same domain"})
		}
	}
	return faults
}
