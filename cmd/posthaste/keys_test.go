package main

import (
	"net/http"
	"strings"
	"testing"

	"posthaste"
)

// TestKeyCommands: a key with some scopes, an expiry and a rate works at once,
// and no more once it is revoked, without a restart.
func TestKeyCommands(t *testing.T) {
	t.Parallel()
	env := []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0", "POSTHASTE_SENDER_NAME=Example Ltd"}
	p := start(t, env)
	key := strings.TrimSpace(command(t, env, "key", "add", "shop", "--scope", "notices:send,notices:read", "--expires", "48h", "--rate", "60"))
	desk := p.key
	as := func(key, path string, status int) {
		t.Helper()
		p.key = key
		p.call("GET", path, "", status, nil)
		p.key = desk
	}
	as(key, "/notices", 200)
	as(key, "/topics", http.StatusForbidden)
	var line string
	for l := range strings.Lines(command(t, env, "key", "list")) {
		if strings.HasPrefix(l, "shop ") {
			line = l
		}
	}
	for _, want := range []string{"until 20", " 60 ", "notices:read notices:send"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %q", want, line)
		}
	}
	if strings.Contains(line, key) {
		t.Error("the key is shown again")
	}
	command(t, env, "key", "revoke", "shop")
	as(key, "/notices", http.StatusUnauthorized)
	if out := command(t, env, "key", "list", "--scopes"); strings.Count(out, "\n") != len(posthaste.Scopes) {
		t.Errorf("scopes: %s", out)
	}
	for want, args := range map[string][]string{
		"no key of that name works":   {"key", "revoke", "shop"},
		`"everything" is none`:        {"key", "add", "x", "--scope", "everything"},
		"requests_per_minute must be": {"key", "add", "x", "--rate=-1"},
		"expires_at is past":          {"key", "add", "x", "--expires=-1h"},
	} {
		if err := run(t.Context(), args, env, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
