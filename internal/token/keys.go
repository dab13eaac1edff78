// Package token makes and reads the opaque tokens in public URLs and envelope
// senders, the keyed hashes of addresses, and message ids: everything that
// rests on the secret file.
//
// A token says who and what without naming an address, is bound to one purpose,
// cannot be altered, and never expires. Each purpose has subkeys of its own
// (HKDF, RFC 5869), so a token of one opens nothing of another. It stores
// nothing and knows no HTTP.
package token

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// secretSize is the length of one secret in bytes.
const secretSize = 32

// Purpose binds a token to the one thing it can do.
type Purpose string

// The purposes.
const (
	// Unsubscribe stops one topic for one recipient, and nothing else.
	Unsubscribe Purpose = "unsubscribe"
	// Preferences opens one recipient's preference centre.
	Preferences Purpose = "preferences"
	// OpenBeacon and ClickLink stand in beacons.
	OpenBeacon Purpose = "open"
	ClickLink  Purpose = "click"
	// Undo takes back the one opt-out that was made a moment before.
	Undo Purpose = "undo"
	// Confirm confirms one sign-up.
	Confirm Purpose = "confirm"
	// Data shows and deletes one recipient's data.
	Data Purpose = "data"
	// Correct makes the mailbox that it was sent to one recipient's address.
	Correct Purpose = "correct"
)

var purposes = []Purpose{Unsubscribe, Preferences, OpenBeacon, ClickLink, Undo, Confirm, Data, Correct}

// Keys holds the subkeys. It is immutable and safe for concurrent use; printing
// it shows nothing.
type Keys struct {
	sealers   map[sealerID]sealer
	current   byte
	addresses []addressKey // in the order of the lines
	messageID *keyedHash
	envelope  *keyedHash
	webhook   *keyedHash
	auditMAC  *keyedHash
	auditLink *keyedHash
	auditHead ed25519.PrivateKey
}

type sealerID struct {
	key     byte
	purpose Purpose
}

type sealer struct {
	aead  cipher.AEAD
	nonce *keyedHash // gives the synthetic nonce
}

// String keeps secrets out of logs.
func (*Keys) String() string { return "token.Keys(secret)" }

// GoString keeps secrets out of %#v too.
func (k *Keys) GoString() string { return k.String() }

// Load reads the secret file, or creates it with one fresh secret, readable by
// its owner only. Each line is a key id (1–255), none twice, and 64 hexadecimal
// digits. New tokens and address hashes are made with the last line; tokens of
// all lines are accepted, and OldAddressHashes finds what the others hashed.
// Message ids, envelope senders, secrets of webhooks and the audit log rest on
// the first line. No line must ever be removed. See AddLine.
func Load(path string) (*Keys, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read secret file: %w", err)
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*Keys, error) {
	keys := &Keys{sealers: map[sealerID]sealer{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := keys.add(line); err != nil {
			return nil, fmt.Errorf("secret file %s, line %d: %w", path, n, err)
		}
	}
	if len(keys.addresses) == 0 {
		return nil, fmt.Errorf("secret file %s holds no key", path)
	}
	return keys, nil
}

func create(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails (crypto/rand)
	text := []byte("1 " + hex.EncodeToString(secret) + "\n")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) { // another process was quicker
		return os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	_, err = file.Write(text)
	if e := file.Sync(); err == nil {
		err = e
	}
	if e := file.Close(); err == nil {
		err = e
	}
	return text, err
}

func (k *Keys) add(line string) error {
	id, digits, _ := strings.Cut(line, " ")
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || n == 0 {
		return errors.New("the key id must be a number from 1 to 255")
	}
	secret, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil || len(secret) != secretSize {
		return fmt.Errorf("the key must be %d hexadecimal digits", 2*secretSize)
	}
	if k.AddressKeyPrint(int(n)) != "" {
		return fmt.Errorf("the key id %d is used twice", n)
	}
	k.current = byte(n)
	for _, p := range purposes {
		s, err := newSealer(secret, p)
		if err != nil {
			return err
		}
		k.sealers[sealerID{k.current, p}] = s
	}
	if err := k.addAddressKey(int(n), secret); err != nil || len(k.addresses) > 1 {
		return err
	}
	for name, hash := range map[string]**keyedHash{"message id": &k.messageID, "envelope": &k.envelope, "webhook": &k.webhook,
		"audit entry": &k.auditMAC, "audit chain": &k.auditLink} {
		key, err := subkey(secret, name)
		if err != nil {
			return err
		}
		*hash = newKeyedHash(key)
	}
	seed, err := subkey(secret, "audit head")
	if err != nil {
		return err
	}
	k.auditHead = ed25519.NewKeyFromSeed(seed)
	return nil
}

func newSealer(secret []byte, p Purpose) (sealer, error) {
	key, err := subkey(secret, "seal "+string(p))
	if err != nil {
		return sealer{}, err
	}
	nonce, err := subkey(secret, "nonce "+string(p))
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead, newKeyedHash(nonce)}, err
}

func subkey(secret []byte, name string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, "posthaste "+name, secretSize)
}

// Fingerprint tells secret files apart without telling anything of them. It is
// that of the first line, so that rotating does not change it.
func (k *Keys) Fingerprint() string { return k.addresses[0].print }

// WebhookSecret gives the secret of one generation of a webhook: it is nowhere
// stored, and lasts as long as the first line of the secret file.
func (k *Keys) WebhookSecret(id, generation int64) []byte {
	sum := k.webhook.sum(pair(id, generation))
	return sum[:]
}

// keyedHash is HMAC-SHA-256 under one key. Setting a key up costs more than
// hashing a few dozen octets under it, so what is set up is used again.
type keyedHash struct{ pool sync.Pool }

func newKeyedHash(key []byte) *keyedHash {
	return &keyedHash{sync.Pool{New: func() any {
		return &keyedState{hmac: hmac.New(sha256.New, key)}
	}}}
}

// keyedState is one goroutine's at a time. It has room for what is hashed and
// for what is made of it, which would be allocated each time otherwise.
type keyedState struct {
	hmac hash.Hash
	sum  [sha256.Size]byte
	text [5 * binary.MaxVarintLen64]byte
	out  [tokenRoom]byte
}

// hash gives the keyed hash of text until it is next called.
func (s *keyedState) hash(text []byte) []byte {
	s.hmac.Reset()
	s.hmac.Write(text) // never fails (hash.Hash)
	return s.hmac.Sum(s.sum[:0])
}

func (h *keyedHash) get() *keyedState  { return h.pool.Get().(*keyedState) }
func (h *keyedHash) put(s *keyedState) { h.pool.Put(s) }

// sum is safe for concurrent use.
func (h *keyedHash) sum(text []byte) [sha256.Size]byte {
	s := h.get()
	sum := [sha256.Size]byte(s.hash(text))
	h.put(s)
	return sum
}
