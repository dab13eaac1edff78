package inbound_test

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestAuthInTheClear: a key does not travel in plain text over a network.
func TestAuthInTheClear(t *testing.T) {
	t.Parallel()
	t.Run("another machine", func(t *testing.T) {
		t.Parallel()
		h := start(t, setup{far: true})
		p := h.dial()
		offers := p.talk("EHLO app", "250")
		if !strings.Contains(offers, "STARTTLS") || strings.Contains(offers, "AUTH") {
			t.Errorf("offers %q, want STARTTLS and no AUTH", offers)
		}
		p.talk(
			"AUTH PLAIN "+plain(goodKey), "538 5.7.11",
			"MAIL FROM:<app@example.net>", "530 5.7.0 authenticate first; say STARTTLS first",
		)
		p.encrypt(h.roots)
		p.talk("MAIL FROM:<app@example.net>", "503", "AUTH PLAIN "+plain(goodKey), "503") // what came before TLS is forgotten
		offers = p.talk("EHLO app", "250")
		if strings.Contains(offers, "STARTTLS") || !strings.Contains(offers, "AUTH PLAIN LOGIN") {
			t.Errorf("offers %q, want AUTH and no STARTTLS", offers)
		}
		p.talk("STARTTLS", "503", "AUTH PLAIN "+plain(goodKey), "235", "MAIL FROM:<app@example.net>", "250")
	})
	t.Run("another machine, no certificate", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{far: true, plain: true}).dial()
		if offers := p.talk("EHLO app", "250"); strings.Contains(offers, "STARTTLS") || strings.Contains(offers, "AUTH") {
			t.Errorf("offers %q", offers)
		}
		p.talk("STARTTLS", "502 5.5.1", "AUTH LOGIN", "538 5.7.11", "MAIL FROM:<app@example.net>", "530 5.7.0")
	})
	t.Run("this machine", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{plain: true}).dial()
		if offers := p.talk("EHLO app", "250"); !strings.Contains(offers, "AUTH PLAIN LOGIN") {
			t.Errorf("offers %q", offers)
		}
		p.talk("MAIL FROM:<app@example.net>", "530 5.7.0", "AUTH PLAIN "+plain(goodKey), "235 2.7.0", "MAIL FROM:<app@example.net>", "250")
	})
	t.Run("TLS from the first byte", func(t *testing.T) {
		t.Parallel()
		h := start(t, setup{far: true, direct: true})
		p := h.connect()
		conn := tls.Client(p.conn, &tls.Config{RootCAs: h.roots, ServerName: "127.0.0.1"})
		p.conn = conn
		p.in.Reset(conn)
		p.hears("220")
		if offers := p.talk("EHLO app", "250"); strings.Contains(offers, "STARTTLS") || !strings.Contains(offers, "AUTH") {
			t.Errorf("offers %q", offers)
		}
		p.talk("AUTH PLAIN "+plain(goodKey), "235")
	})
}

func TestAuthForms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		talk []string
	}{
		{"PLAIN at once", []string{"AUTH PLAIN " + plain(goodKey), "235 2.7.0"}},
		{"lower case", []string{"auth plain " + plain(goodKey), "235 2.7.0"}},
		{"PLAIN when asked", []string{"AUTH PLAIN", "334 ", plain(goodKey), "235 2.7.0"}},
		{"PLAIN with an identity", []string{"AUTH PLAIN " + b64("a\x00b\x00"+goodKey), "235 2.7.0"}},
		{"LOGIN when asked", []string{"AUTH LOGIN", "334 " + b64("Username:"), b64("x"), "334 " + b64("Password:"), b64(goodKey), "235 2.7.0"}},
		{"LOGIN with the name at once", []string{"AUTH LOGIN " + b64("x"), "334 " + b64("Password:"), b64(goodKey), "235 2.7.0"}},
		{"LOGIN with an empty name", []string{"AUTH LOGIN =", "334 " + b64("Password:"), b64(goodKey), "235 2.7.0"}},
		{"wrong key", []string{"AUTH PLAIN " + plain("ph_guess"), "535 5.7.8"}},
		{"key as the user name", []string{"AUTH PLAIN " + b64("\x00"+goodKey+"\x00"), "535 5.7.8"}},
		{"wrong key by LOGIN", []string{"AUTH LOGIN " + b64("x"), "334", b64("ph_guess"), "535 5.7.8"}},
		{"then the right one", []string{"AUTH PLAIN " + plain("ph_guess"), "535", "AUTH PLAIN " + plain(goodKey), "235"}},
		{"empty answer", []string{"AUTH PLAIN =", "501 5.5.2"}},
		{"no base64", []string{"AUTH PLAIN ??", "501 5.5.2", "AUTH LOGIN", "334", "??", "501 5.5.2"}},
		{"cancelled", []string{"AUTH PLAIN", "334", "*", "501 5.7.0", "AUTH LOGIN", "334", "*", "501 5.7.0"}},
		{"unknown mechanism", []string{"AUTH CRAM-MD5", "504 5.5.4", "AUTH", "504 5.5.4"}},
		{"twice", []string{"AUTH PLAIN " + plain(goodKey), "235", "AUTH PLAIN " + plain(goodKey), "503 5.5.1"}},
		{"kept after EHLO", []string{"AUTH PLAIN " + plain(goodKey), "235", "EHLO b", "250", "MAIL FROM:<>", "250"}},
		{"store is down", []string{"AUTH PLAIN " + plain(lostKey), "454 4.7.0", "AUTH PLAIN " + plain(goodKey), "235"}},
		{"scope is missing", []string{"AUTH PLAIN " + plain(otherKey), "235", "MAIL FROM:<>", "550 5.7.1 the key lacks the scope notices:send"}},
		{"key has run out", []string{"AUTH PLAIN " + plain(expiredKey), "235", "MAIL FROM:<>", "550 5.7.1"}},
	}
	h := start(t, setup{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := h.dial()
			p.t = t
			p.talk("EHLO app", "250")
			p.talk(tt.talk...)
		})
	}
}

// TestAuthFailures: a connection is worth three guesses, TLS or not.
func TestAuthFailures(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	p := h.dial()
	p.talk("EHLO app", "250", "AUTH PLAIN "+plain("ph_a"), "535", "AUTH LOGIN", "334", "*", "501")
	p.encrypt(h.roots)
	p.talk("EHLO app", "250", "AUTH PLAIN "+plain("ph_c"), "421 4.7.0")
	p.gone()
}

func TestAuthBroken(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	p := h.dial()
	p.talk("EHLO app", "250", "AUTH PLAIN "+plain(brokenKey), "454 4.7.0", "QUIT", "221")
	logged := h.logged.String()
	if !strings.Contains(logged, "could not be looked up") || strings.Contains(logged, "fox") || strings.Contains(logged, brokenKey) {
		t.Errorf("logged %q", logged)
	}
}

// TestStartTLSInjection: commands sent before the handshake are not taken for
// encrypted ones (CVE-2011-0411).
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	p := start(t, setup{far: true}).dial()
	p.talk("EHLO app", "250")
	p.raw("STARTTLS\r\nRSET\r\n")
	p.hears("503 5.5.1")
	p.gone()
}

func TestTLSVersion(t *testing.T) {
	t.Parallel()
	p := start(t, setup{}).dial()
	p.talk("EHLO app", "250", "STARTTLS now", "501", "STARTTLS", "220")
	conn := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := conn.Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}
