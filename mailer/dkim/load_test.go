package dkim_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/mailer/dkim"
)

func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	const (
		form    = "must be selector@domain=/path/to/key.pem, with a comma between entries"
		noKey   = "names a file without a private key, RSA or Ed25519, in unencrypted PEM (PKCS#1 or PKCS#8)"
		name    = "must have a selector of letters, digits and hyphens, with dots between parts"
		missing = "names a file that cannot be read: no such file or directory"
		secret  = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
		alone   = "is an Ed25519 key alone; many receivers verify RSA only, so it must stand beside an RSA key of the same domain"
		good    = "r1@example.com=testdata/rsa.pem"
	)
	for _, test := range []struct {
		name, setting string
		want          []string
	}{
		{"no path", "r1@example.com", []string{"entry 1 " + form}},
		{"an empty path", "r1@example.com=", []string{"entry 1 " + form}},
		{"no selector", "example.com=testdata/rsa.pem", []string{"entry 1 " + form}},
		{"an empty selector", "@example.com=testdata/rsa.pem", []string{"entry 1 " + form}},
		{"no domain", "r1@=testdata/rsa.pem", []string{"entry 1 " + form}},
		{"a domain of one word", "r1@com=testdata/rsa.pem", []string{"entry 1 " + form}},
		{"an empty entry", good + ",", []string{"entry 2 " + form}},
		{"a key instead of an entry", "-----BEGIN PRIVATE KEY-----\n" + secret + "==", []string{"entry 1 " + form}},
		{"a key instead of a path", "r1@example.com=" + secret, []string{"entry r1@example.com " + missing}},
		{"an underscore in the selector", "r_1@example.com=testdata/rsa.pem", []string{"entry 1 " + name}},
		{"a hyphen at its start", "-r1@example.com=testdata/rsa.pem", []string{"entry 1 " + name}},
		{"two dots in a row", `"r..1"@example.com=testdata/rsa.pem`, []string{"entry 1 " + name}},
		{"letters beyond ASCII", "é@example.com=testdata/rsa.pem", []string{"entry 1 " + name}},
		{"no file", "r1@example.com=testdata/none.pem", []string{"entry r1@example.com " + missing}},
		{"a folder", "r1@example.com=testdata", []string{"entry r1@example.com names a file that cannot be read: is a directory"}},
		{"no PEM", "r1@example.com=" + write("text", []byte(secret)), []string{"entry r1@example.com " + noKey}},
		{"broken", "r1@example.com=" + write("broken", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(secret)})), []string{"entry r1@example.com " + noKey}},
		{"broken, PKCS#1", "r1@example.com=" + write("broken1", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(secret)})), []string{"entry r1@example.com " + noKey}},
		{"a public key", "r1@example.com=" + write("public", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(secret)})), []string{"entry r1@example.com " + noKey}},
		{"ECDSA", "r1@example.com=" + write("ecdsa", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), []string{"entry r1@example.com " + noKey}},
		{"too short", "r1@example.com=testdata/short.pem", []string{"entry r1@example.com is an RSA key of 1000 bits; it must have 1024 to 4096, better at least 2048 (RFC 8301)"}},
		{"too long", "r1@example.com=testdata/long.pem", []string{"entry r1@example.com is an RSA key of 4104 bits; it must have 1024 to 4096, better at least 2048 (RFC 8301)"}},
		{"Ed25519 alone", "e1@example.com=testdata/ed25519.pem", []string{"entry e1@example.com " + alone}},
		{"Ed25519 beside its parent's RSA", good + ",e1@news.example.com=testdata/ed25519.pem", []string{"entry e1@news.example.com " + alone}},
		{"Ed25519 beside an RSA key that cannot be read", "e1@example.com=testdata/ed25519.pem,r1@example.com=testdata/none.pem", []string{"entry r1@example.com " + missing}},
		{"two RSA keys", good + ",r2@example.com=testdata/rfc8463-rsa.pem", []string{"entry r2@example.com is a second rsa-sha256 key of its domain, beside r1@example.com; while keys change, the old one stays in DNS only"}},
		{"one selector for two", good + ",r1@EXAMPLE.com=testdata/ed25519.pem", []string{"entry r1@example.com is given twice; RSA and Ed25519 need a selector each, since one names one public key"}},
		{"several", "x," + good + ",r1@example.org=none", []string{"entry 1 " + form, "entry r1@example.org " + missing}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := dkim.Load(test.setting)
			if !errors.Is(err, posthaste.Invalid) {
				t.Fatalf("error %v", err)
			}
			var reasons []string
			for _, f := range posthaste.FieldsOf(err) {
				reasons = append(reasons, f.Reason)
				if f.Name != "POSTHASTE_DKIM_KEYS" {
					t.Errorf("field %q", f.Name)
				}
			}
			if d := cmp.Diff(test.want, reasons); d != "" {
				t.Error(d)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error gives away a key: %v", err)
			}
		})
	}
}

func TestGoodSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, setting, covers string }{
		{"spaces around entries", " " + strings.ReplaceAll(both, ",", " ,\n ") + " ", "example.com"},
		{"capitals", "R1@Example.COM=testdata/rsa.pem", "example.com"},
		{"a domain as people write it", "r1@bücher.example=testdata/rsa.pem", "xn--bcher-kva.example"},
		{"a selector of parts", "2026.news-1@example.com=testdata/rsa.pem", "example.com"},
		{"one selector at two domains", "s@example.com=testdata/rsa.pem,s@example.org=testdata/rsa.pem", "example.org"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if s := load(t, test.setting); !s.Covers(test.covers) || s.Covers("example.net") {
				t.Error("it covers other domains")
			}
		})
	}
}

// TestShortKeysAreLogged holds the log for itself, and so is not parallel.
func TestShortKeysAreLogged(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	load(t, both)
	if log.Len() > 0 {
		t.Errorf("logged for good keys: %s", &log)
	}
	load(t, "r1@example.com=testdata/rfc8463-rsa.pem")
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "selector=r1 domain=example.com bits=1024") {
		t.Errorf("logged %q", text)
	}
}
