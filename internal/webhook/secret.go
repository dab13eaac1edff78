package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"posthaste"
)

const (
	// secretPrefix marks a secret, so that scanners know a leaked one.
	secretPrefix = "whsec_"
	// secretLeast and secretMost are the lengths in bytes that the standard allows.
	secretLeast = 24
	secretMost  = 64
	secretSize  = 32
)

// secretEncoding is strict, so that no two texts are the same secret.
var secretEncoding = base64.StdEncoding.Strict()

// NewSecret gives a new secret of 32 random bytes.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails: it ends the program instead
	return secret
}

// FormatSecret writes a secret as its owner sees it: "whsec_" and base64.
func FormatSecret(secret []byte) string {
	return secretPrefix + secretEncoding.EncodeToString(secret)
}

// ParseSecret reads what FormatSecret wrote, of 24 to 64 bytes. Its error is
// Invalid, about the field "secret", and does not repeat the text.
func ParseSecret(text string) ([]byte, error) {
	letters, marked := strings.CutPrefix(text, secretPrefix)
	if !marked {
		return nil, posthaste.Refuse("secret", "it must begin with whsec_")
	}
	// The decoder passes over line ends, the strict one too.
	secret, err := secretEncoding.DecodeString(letters)
	if err != nil || strings.ContainsAny(letters, "\r\n") {
		return nil, posthaste.Refuse("secret", "what follows whsec_ must be base64")
	}
	if len(secret) < secretLeast || len(secret) > secretMost {
		return nil, posthaste.Refuse("secret", "it must have 24 to 64 bytes")
	}
	return secret, nil
}
