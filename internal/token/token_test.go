package token_test

import (
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

func TestRotationKeepsOldTokensAndHashes(t *testing.T) {
	t.Parallel()
	one, two := "1 "+strings.Repeat("11", 32), "2 "+strings.Repeat("22", 32)
	before, after := load(t, one), load(t, "# comment", one, two)
	old := before.Seal(token.Preferences, claims)
	if got, err := after.Open(token.Preferences, old); err != nil || got != claims {
		t.Errorf("an old token: %+v, %v", got, err)
	}
	if after.Seal(token.Preferences, claims) == old {
		t.Error("new tokens are made with the old key")
	}
	if string(before.HashAddress("a@example.com")) != string(after.HashAddress("a@example.com")) || before.Fingerprint() != after.Fingerprint() {
		t.Error("rotation forgets suppressions")
	}
	if before.MessageID(1, 2) != after.MessageID(1, 2) || before.EnvelopeTag(1, 2) != after.EnvelopeTag(1, 2) {
		t.Error("rotation changes the identity of messages that are being retried")
	}
}

func TestLoadRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "1 abcd", "id": "0 " + strings.Repeat("11", 32), "text": "x " + strings.Repeat("11", 32)} {
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
