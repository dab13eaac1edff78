package inbound_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMail(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"MAIL FROM:<app@example.net>", "250 2.1.0"},
		{"mail from:<app@example.net>", "250"},
		{"MAIL FROM:<>", "250"},
		{"MAIL FROM: <app@example.net>", "250"},
		{"MAIL FROM:<app@example.net> SIZE=100 BODY=8BITMIME SMTPUTF8", "250"},
		{"MAIL FROM:<app@example.net> body=7bit AUTH=<>", "250"},
		{"MAIL FROM:<app@example.net> SIZE=14680064", "250"},
		{"MAIL FROM:<app@example.net> SIZE=14680065", "552 5.3.4"},
		{"MAIL FROM:<app@example.net> SIZE=9223372036854775808", "501"},
		{"MAIL FROM:<app@example.net> SIZE=-1", "501"},
		{"MAIL FROM:<app@example.net> SIZE", "501"},
		{"MAIL FROM:<app@example.net> BODY=BINARYMIME", "501"},
		{"MAIL FROM:<app@example.net> RET=FULL", "555 5.5.4"},
		{"MAIL FROM:<app@example.net>SIZE=1", "501"},
		{"MAIL FROM:app@example.net", "501"},
		{"MAIL FROM:<app@example.net", "501"},
		{"MAIL TO:<app@example.net>", "501"},
		{"MAIL", "501"},
	}
	h := start(t, setup{})
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			p := h.signedIn()
			p.t = t
			p.talk(tt.in, tt.want)
		})
	}
}

func TestRcpt(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want, to string }{
		{"RCPT TO:<fox@example.org>", "250 2.1.5", "fox@example.org"},
		{"rcpt to: <fox@example.org>", "250", "fox@example.org"},
		{"RCPT TO:<Fox@Example.ORG>", "250", "Fox@example.org"},
		{`RCPT TO:<"a b>c\"d"@example.org>`, "250", `"a b>c\"d"@example.org`},
		{"RCPT TO:<jörg@bücher.example>", "250", "jörg@xn--bcher-kva.example"},
		{"RCPT TO:<>", "501 5.1.3 the address is empty", ""},
		{"RCPT TO:<fox>", "501 5.1.3 the address has no @", ""},
		{"RCPT TO:<Postmaster>", "501 5.1.3", ""},
		{"RCPT TO:<a@b@example.org>", "501 5.1.3", ""},
		{"RCPT TO:<@relay.example:fox@example.org>", "501 5.1.3", ""},
		{"RCPT TO:<fox@[192.0.2.1]>", "501 5.1.3", ""},
		{"RCPT TO:<fox@example.org> NOTIFY=NEVER", "555 5.5.4", ""},
		{"RCPT TO:fox@example.org", "501 5.5.4", ""},
		{`RCPT TO:<"fox@example.org>`, "501 5.5.4", ""},
		{"RCPT", "501 5.5.4", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{})
			p := h.signedIn()
			p.talk("MAIL FROM:<>", "250", tt.in, tt.want)
			if tt.to == "" {
				p.talk("DATA", "503 5.5.1")
				return
			}
			p.talk("DATA", "354", message+".", "250")
			if got := h.notices.only(t).To; !slices.Equal(got, []string{tt.to}) {
				t.Errorf("To = %q", got)
			}
		})
	}
}

func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	p := h.signedIn()
	p.talk("MAIL FROM:<>", "250")
	for i := range 100 {
		p.talk(fmt.Sprintf("RCPT TO:<fox%d@example.org>", i), "250")
	}
	p.talk(
		"RCPT TO:<one.more@example.org>", "452 4.5.3",
		"RCPT TO:<FOX7@example.org>", "250", // it is one of the hundred
		"DATA", "354", message+".", "250",
		"MAIL FROM:<>", "250", "RCPT TO:<one.more@example.org>", "250", "DATA", "354", message+".", "250",
	)
	all := h.notices.list()
	if len(all) != 2 || len(all[0].To) != 100 || !slices.Equal(all[1].To, []string{"one.more@example.org"}) {
		t.Errorf("%d submissions: %v", len(all), all)
	}
}

// TestOrder: each command in its place, and what resets.
func TestOrder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		talk []string
	}{
		{"nothing before EHLO", []string{"MAIL FROM:<>", "503", "AUTH PLAIN " + plain(goodKey), "503", "RCPT TO:<a@example.org>", "503", "DATA", "503"}},
		{"EHLO without a name", []string{"EHLO", "501", "HELO ", "501"}},
		{"HELO", []string{"HELO app", "250 in.example.com", "AUTH PLAIN " + plain(goodKey), "235", "MAIL FROM:<>", "250"}},
		{"small commands", []string{"NOOP", "250", "noop x", "250", "VRFY fox", "252", "RSET", "250", "HELP", "500", "EXPN list", "500", "QUIT", "221"}},
		{"MAIL twice", []string{"EHLO a", "250", "AUTH PLAIN " + plain(goodKey), "235", "MAIL FROM:<>", "250", "MAIL FROM:<>", "503"}},
		{"RSET forgets", []string{"EHLO a", "250", "AUTH PLAIN " + plain(goodKey), "235", "MAIL FROM:<>", "250", "RCPT TO:<a@example.org>", "250",
			"RSET", "250", "DATA", "503", "RCPT TO:<a@example.org>", "503", "MAIL FROM:<>", "250", "DATA", "503"}},
		{"EHLO forgets", []string{"EHLO a", "250", "AUTH PLAIN " + plain(goodKey), "235", "MAIL FROM:<>", "250", "RCPT TO:<a@example.org>", "250",
			"EHLO a", "250", "DATA", "503"}},
		{"DATA with an argument", []string{"EHLO a", "250", "AUTH PLAIN " + plain(goodKey), "235", "DATA now", "501"}},
	}
	h := start(t, setup{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := h.dial()
			p.t = t
			p.talk(tt.talk...)
		})
	}
}

// TestStrangers: what is not SMTP is not listened to for long.
func TestStrangers(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	t.Run("ten mistakes", func(t *testing.T) {
		p := h.dial()
		p.t = t
		for range 10 {
			p.talk("GET / HTTP/1.1", "500 5.5.2")
		}
		p.talk("Host: x", "421 4.7.0")
		p.gone()
	})
	for name, line := range map[string]string{
		"long line": strings.Repeat("a", 5000) + "\r\n", "lone LF": "NOOP\n", "lone CR": "NOOP\rNOOP\r\n", "NUL": "NOOP \x00\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := h.dial()
			p.t = t
			p.raw(line)
			p.hears("500 5.5.2")
		})
	}
	t.Run("CHUNKING", func(t *testing.T) { // not offered, and its content is not taken for commands
		p := h.signedIn()
		p.t = t
		p.talk("MAIL FROM:<>", "250", "RCPT TO:<fox@example.org>", "250")
		p.raw("BDAT 6 LAST\r\nNOOP\r\n")
		p.hears("502 5.5.1")
		p.gone()
	})
}
