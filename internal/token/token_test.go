package token_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/token"
)

func load(tb testing.TB, lines ...string) *token.Keys {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "sub", "secret")
	if len(lines) > 0 {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	keys, err := token.Load(path)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

var claims = token.Claims{RecipientID: 123456, TopicID: 3, CampaignID: 42, Number: 99999, Link: 5}

var purposes = []token.Purpose{token.Unsubscribe, token.Preferences, token.OpenBeacon, token.ClickLink}

func TestSealOpenEveryPurposeAndNoOther(t *testing.T) {
	t.Parallel()
	keys := load(t)
	for _, made := range purposes {
		text := keys.Seal(made, claims)
		if text != keys.Seal(made, claims) {
			t.Errorf("%s: two tokens of the same claims differ", made)
		}
		if strings.ContainsAny(text, "/+=&?#%@") || len(text) > 80 {
			t.Errorf("%s: token %q does not fit in a URL", made, text)
		}
		for _, opened := range purposes {
			got, err := keys.Open(opened, text)
			if made == opened && (err != nil || got != claims) {
				t.Errorf("%s: %+v, %v", made, got, err)
			}
			if made != opened && !errors.Is(err, posthaste.NotFound) {
				t.Errorf("a token for %s opened %s", made, opened)
			}
		}
	}
}

// TestEveryMutationIsRefusedAlike changes each character to each other one,
// and each length.
func TestEveryMutationIsRefusedAlike(t *testing.T) {
	t.Parallel()
	keys := load(t)
	text := keys.Seal(token.Unsubscribe, claims)
	_, want := keys.Open(token.Unsubscribe, "")
	refused := func(mutant string) {
		_, err := keys.Open(token.Unsubscribe, mutant)
		if err == nil || err.Error() != want.Error() {
			t.Errorf("%q: %v, want %v", mutant, err, want)
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range text {
		for _, c := range alphabet {
			if byte(c) != text[i] {
				refused(text[:i] + string(c) + text[i+1:])
			}
		}
		refused(text[:i])
		refused(text + text[:i+1])
		refused(text[:i] + "\n" + text[i:])
	}
	refused(load(t).Seal(token.Unsubscribe, claims)) // of another installation
}

// TestRotation holds a file of one, two and three lines against each other: what
// left the house under an older line still works and what was hashed is found,
// but nothing new rests on it.
func TestRotation(t *testing.T) {
	t.Parallel()
	line := func(id, digits string) string { return id + " " + strings.Repeat(digits, 32) }
	one, two, three := line("1", "11"), line("2", "22"), line("7", "77")
	files := []*token.Keys{load(t, one), load(t, "# comment", one, two), load(t, one, "", two, "# comment", three)}
	const address = "a@example.com"
	for i, before := range files {
		if want := []int{1, 2, 7}[i]; before.AddressKey() != want {
			t.Errorf("file %d: addresses are hashed under %d, want %d", i, before.AddressKey(), want)
		}
		old := before.OldAddressHashes(address)
		if len(old) != i {
			t.Fatalf("file %d: %d older hashes", i, len(old))
		}
		for _, after := range files[i+1:] {
			sealed := before.Seal(token.Preferences, claims)
			if got, err := after.Open(token.Preferences, sealed); err != nil || got != claims {
				t.Errorf("an old token: %+v, %v", got, err)
			}
			if _, err := before.Open(token.Preferences, after.Seal(token.Preferences, claims)); !errors.Is(err, posthaste.NotFound) {
				t.Errorf("new tokens are made with an old line: %v", err)
			}
			if bytes.Equal(before.HashAddress(address), after.HashAddress(address)) {
				t.Error("new hashes are made with an old line")
			}
			hashes := append([][]byte{after.HashAddress(address)}, after.OldAddressHashes(address)...)
			for n, hash := range append([][]byte{before.HashAddress(address)}, old...) {
				if from := after.AddressKey(); !bytes.Equal(hashes[len(hashes)-i-1+n], hash) {
					t.Errorf("file %d: hash %d is not found in its place under %d", i, n, from)
				}
			}
			if before.Fingerprint() != after.Fingerprint() || before.AddressKeyPrint(before.AddressKey()) != after.AddressKeyPrint(before.AddressKey()) {
				t.Error("rotation changes fingerprints")
			}
			if before.AddressKeyPrint(after.AddressKey()) != "" || after.AddressKeyPrint(after.AddressKey()) == after.Fingerprint() {
				t.Errorf("fingerprint of a line that is not there %q", before.AddressKeyPrint(after.AddressKey()))
			}
			if before.MessageID(1, 2) != after.MessageID(1, 2) || before.EnvelopeTag(1, 2) != after.EnvelopeTag(1, 2) {
				t.Error("rotation changes the identity of messages that are being retried")
			}
			if !bytes.Equal(before.WebhookSecret(1, 2), after.WebhookSecret(1, 2)) || !bytes.Equal(before.AuditMAC([]byte("x")), after.AuditMAC([]byte("x"))) ||
				!after.CheckHead([]byte("x"), before.SignHead([]byte("x"))) {
				t.Error("rotation changes what rests on the first line")
			}
		}
	}
}

// TestFirstLineHashesAsEver compares with what databases were filled with before
// there was a rotation.
func TestFirstLineHashesAsEver(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{0x11}, 32)
	key, err := hkdf.Key(sha256.New, secret, nil, "posthaste address", 32)
	if err != nil {
		t.Fatal(err)
	}
	want := hmac.New(sha256.New, key)
	want.Write([]byte("a@example.com"))
	if got := load(t, "1 "+hex.EncodeToString(secret)).HashAddress("a@example.com"); !bytes.Equal(got, want.Sum(nil)) {
		t.Errorf("hash %x", got)
	}
}

func TestLoadRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "1 abcd", "id": "0 " + strings.Repeat("11", 32), "text": "x " + strings.Repeat("11", 32),
		"twice": "1 " + strings.Repeat("11", 32) + "\n1 " + strings.Repeat("22", 32)} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := token.Load(path); err == nil || strings.Contains(err.Error(), "1111") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	keys, err := token.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s", keys, keys, keys, keys)
	if strings.Contains(shown, strings.TrimSpace(string(secret[2:]))) || strings.Contains(shown, "[") {
		t.Errorf("shown: %s", shown)
	}
	again, err := token.Load(path)
	if err != nil || again.Fingerprint() != keys.Fingerprint() {
		t.Errorf("a second start has other keys: %v", err)
	}
}

func TestIdentifiersAreStableUniqueAndLowerCase(t *testing.T) {
	t.Parallel()
	keys := load(t)
	seen := map[string]bool{}
	for campaign := range int64(20) {
		for number := range int64(200) {
			for _, id := range []string{keys.MessageID(campaign, number), "b+" + keys.EnvelopeTag(campaign, number)} {
				if seen[id] || id != strings.ToLower(id) || len(id) > 64 {
					t.Fatalf("identifier %q", id)
				}
				seen[id] = true
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	keys := load(b)
	for b.Loop() {
		keys.Seal(token.ClickLink, claims)
	}
}

func BenchmarkOpen(b *testing.B) {
	keys := load(b)
	text := keys.Seal(token.ClickLink, claims)
	for b.Loop() {
		if _, err := keys.Open(token.ClickLink, text); err != nil {
			b.Fatal(err)
		}
	}
}
