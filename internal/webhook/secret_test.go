package webhook_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestNewSecretsDifferAndCanBeRead(t *testing.T) {
	t.Parallel()
	one, other := webhook.NewSecret(), webhook.NewSecret()
	if len(one) != 32 || bytes.Equal(one, other) || bytes.Equal(one, make([]byte, 32)) {
		t.Errorf("secrets %x and %x", one, other)
	}
	text := webhook.FormatSecret(one)
	if got, err := webhook.ParseSecret(text); err != nil || !bytes.Equal(got, one) {
		t.Errorf("%q is read as %x, %v; want %x", text, got, err, one)
	}
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	of := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, tt := range []struct {
		name, in string
		want     int // bytes; 0: an error
	}{
		{"the shortest", "whsec_" + of(24), 24},
		{"the longest", "whsec_" + of(64), 64},
		{"too short", "whsec_" + of(23), 0},
		{"too long", "whsec_" + of(65), 0},
		{"unmarked", of(32), 0},
		{"no padding", "whsec_" + strings.TrimRight(of(32), "="), 0},
		{"bits too many", "whsec_" + strings.Replace(of(32), "A=", "B=", 1), 0},
		{"a line end", "whsec_" + of(32) + "\n", 0},
		{"no base64", "whsec_" + strings.Repeat("!", 44), 0},
		{"nothing", "", 0},
	} {
		got, err := webhook.ParseSecret(tt.in)
		if len(got) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %x, %v; want %d bytes", tt.name, got, err, tt.want)
		}
		if err != nil && (!errors.Is(err, posthaste.Invalid) || posthaste.FieldsOf(err)[0].Name != "secret") {
			t.Errorf("%s: %v is not about the secret", tt.name, err)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add(exampleSecret)
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := webhook.ParseSecret(in); err == nil && webhook.FormatSecret(got) != in {
			t.Errorf("%q is read as what is written %q", in, webhook.FormatSecret(got))
		}
	})
}
