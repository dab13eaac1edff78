package relay_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/mailer/relay"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		code     int
		in       string
		enhanced string
		text     string
	}{
		{"plain", 550, "5.1.1 no such user", "5.1.1", "no such user"},
		{"on every line", 550, "5.1.1 no\n5.1.1 such\n5.1.1 user", "5.1.1", "no such user"},
		{"on the first line only", 550, "5.1.1 no\nsuch user", "5.1.1", "no such user"},
		{"another on a later line", 550, "5.1.1 no\n5.7.1 such", "5.1.1", "no 5.7.1 such"},
		{"alone", 250, "2.0.0", "2.0.0", ""},
		{"missing", 550, "no such user", "", "no such user"},
		{"last, in brackets", 553, "sorry, no mailbox here (#5.1.1)", "5.1.1", "sorry, no mailbox here (#5.1.1)"},
		{"last, with a full stop", 550, "refused, 5.7.1.", "5.7.1", "refused, 5.7.1."},
		{"amid, of another class", 550, "moved, was 4.2.2 before", "", "moved, was 4.2.2 before"},
		{"leading, of another class", 550, "4.2.2 full", "4.2.2", "full"},
		{"an IP address", 550, "blocked 5.1.1.9 and 192.0.2.5", "", "blocked 5.1.1.9 and 192.0.2.5"},
		{"a version", 550, "by v5.1.1 of it", "", "by v5.1.1 of it"},
		{"empty lines", 550, "\r\n5.1.1 no\r\n\r\nsuch", "5.1.1", "no such"},
		{"control characters", 550, "5.1.1 a\tb\x00c\u2028d", "5.1.1", "a b c d"},
		{"not UTF-8", 550, "5.1.1 caf\xe9", "5.1.1", "caf\uFFFD"},
		{"the address", 550, "5.1.1 <FOX@example.org>: user unknown", "5.1.1", "<[address]>: user unknown"},
		{"a rewritten one", 550, "5.1.1 fox.real@corp.example, sorry", "5.1.1", "[address], sorry"},
		{"a quoted one", 550, `5.1.1 "red fox"@example.org is unknown`, "5.1.1", `[address] is unknown`},
		{"words like its local part", 550, "5.1.1 user unknown", "5.1.1", "user unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := posthaste.Reply{Stage: posthaste.AtRcpt, Code: tt.code, Enhanced: tt.enhanced, Text: tt.text}
			got := relay.ReadReply(posthaste.AtRcpt, tt.code, tt.in, "fox@example.org", `"red fox"@example.org`, "user@example.org")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add(550, "5.1.1 <fox@example.org>\n5.1.1 unknown", "fox@example.org")
	f.Add(550, "5.1.1 caf\xe9 is unknown", "\xbf")
	f.Add(550, "K\u212a\u0130@x fox@", "k@x")
	f.Fuzz(func(t *testing.T, code int, text, address string) {
		got := relay.ReadReply(posthaste.AtRcpt, code, text, address)
		if len(got.Text) > 500 || !utf8.ValidString(got.Text) || strings.ContainsAny(got.Text, "\r\n\x00") {
			t.Errorf("text %q", got.Text)
		}
		if len(address) > len("[address]") && utf8.ValidString(address) && strings.Contains(strings.ToLower(got.Text), strings.ToLower(address)) {
			t.Errorf("%q is in %q", address, got.Text)
		}
		if got.Enhanced != "" && strings.Count(got.Enhanced, ".") != 2 {
			t.Errorf("enhanced code %q", got.Enhanced)
		}
	})
}
