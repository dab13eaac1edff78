package address_test

import (
	"errors"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/address"
)

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("d", 63)
	tests := []struct{ name, in, want, canonical string }{
		{"plain", "ana@example.com", "ana@example.com", ""},
		{"spaces around", " \t ana@example.com\r\n", "ana@example.com", ""},
		{"no-break space around", "\u00a0ana@example.com\u3000", "ana@example.com", ""},
		{"byte order mark and direction marks around", "\ufeff\u202aana@example.com\u202c", "ana@example.com", ""},
		{"one letter each", "a@b.co", "a@b.co", ""},
		{"case of local kept", "Ana.Lima@Example.COM", "Ana.Lima@example.com", "ana.lima@example.com"},
		{"tag kept", "Ana+News@example.com", "Ana+News@example.com", "ana+news@example.com"},
		{"dots kept", "a.n.a@gmail.test", "a.n.a@gmail.test", ""},
		{"digits", "123@example.com", "123@example.com", ""},
		{"all atext", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com", ""},
		{"percent hack is only a character", "a%b@example.com", "a%b@example.com", ""},
		{"bang path is only a character", "a!b@example.com", "a!b@example.com", ""},
		{"leading hyphen in local", "-a@example.com", "-a@example.com", ""},
		{"underscore end", "a_@example.com", "a_@example.com", ""},
		{"local of 64", strings.Repeat("l", 64) + "@example.com", strings.Repeat("l", 64) + "@example.com", ""},
		{"label of 63", "a@" + label63 + ".com", "a@" + label63 + ".com", ""},
		{"254 in all", "a@" + label63 + "." + label63 + "." + label63 + "." + strings.Repeat("d", 60), "a@" + label63 + "." + label63 + "." + label63 + "." + strings.Repeat("d", 60), ""},
		{"digits in labels", "a@123.45.com", "a@123.45.com", ""},
		{"hyphen inside", "a@my-host.example.com", "a@my-host.example.com", ""},
		{"long chain of labels", "a@b.c.d.e.f.g.example.com", "a@b.c.d.e.f.g.example.com", ""},
		{"localhost", "root@localhost", "root@localhost", ""},
		{"LOCALHOST", "root@LOCALHOST", "root@localhost", ""},
		{"number inside top label", "a@example.c0m", "a@example.c0m", ""},
		{"needless quotes dropped", `"ana"@example.com`, "ana@example.com", ""},
		{"quoted space", `"a b"@example.com`, `"a b"@example.com`, ""},
		{"quoted case", `"A b"@example.com`, `"A b"@example.com`, `"a b"@example.com`},
		{"quoted at", `"a@b"@example.com`, `"a@b"@example.com`, ""},
		{"quoted dots", `"a..b"@example.com`, `"a..b"@example.com`, ""},
		{"quoted dot ends", `".a."@example.com`, `".a."@example.com`, ""},
		{"quoted quote", `"a\"b"@example.com`, `"a\"b"@example.com`, ""},
		{"quoted backslash", `"a\\b"@example.com`, `"a\\b"@example.com`, ""},
		{"needless backslash dropped", `"a\b"@example.com`, "ab@example.com", ""},
		{"quoted brackets", `"<a>"@example.com`, `"<a>"@example.com`, ""},
		{"quoted parentheses", `"(a)"@example.com`, `"(a)"@example.com`, ""},
		{"quoted comma", `"a,b"@example.com`, `"a,b"@example.com`, ""},
		{"only a space in quotes", `" "@example.com`, `" "@example.com`, ""},
		{"quoted to 64", `"` + strings.Repeat(" ", 62) + `"@example.com`, `"` + strings.Repeat(" ", 62) + `"@example.com`, ""},
		{"umlaut domain", "a@bücher.example", "a@xn--bcher-kva.example", ""},
		{"umlaut domain in upper case", "a@BÜCHER.Example", "a@xn--bcher-kva.example", ""},
		{"decomposed umlaut domain", "a@bu\u0308cher.example", "a@xn--bcher-kva.example", ""},
		{"a-label in upper case", "a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", ""},
		{"sharp s is not ss", "a@faß.example", "a@xn--fa-hia.example", ""},
		{"ideographic dot", "a@例え。テスト", "a@xn--r8jz45g.xn--zckzah", ""},
		{"fullwidth domain", "a@ｅｘａｍｐｌｅ.com", "a@example.com", ""},
		{"fullwidth localhost", "a@ｌｏｃａｌｈｏｓｔ", "a@localhost", ""},
		{"cyrillic domain", "a@почта.рф", "a@xn--80a1acny.xn--p1ai", ""},
		{"mixed script is not judged here", "a@раypal.example", "a@xn--ypal-43d9g.example", ""},
		{"joiner where a script needs it", "a@نامه\u200cای.example", "a@xn--mgba3gch31f060k.example", ""},
		{"arabic domain", "a@مثال.example", "a@xn--mgbh0fb.example", ""},
		{"emoji domain as browsers look it up", "a@i❤.example", "a@xn--i-7iq.example", ""},
		{"umlaut local", "jörg@example.com", "jörg@example.com", ""},
		{"umlaut local in upper case", "JÖRG@example.com", "JÖRG@example.com", "jörg@example.com"},
		{"decomposed umlaut local", "jo\u0308rg@example.com", "jörg@example.com", ""},
		{"chinese local", "用户@例え.テスト", "用户@xn--r8jz45g.xn--zckzah", ""},
		{"quoted umlaut", `"ä ö"@example.com`, `"ä ö"@example.com`, ""},
		{"joiner in local", "نامه\u200cای@example.com", "نامه\u200cای@example.com", ""},
		{"32 letters of two octets", strings.Repeat("ö", 32) + "@example.com", strings.Repeat("ö", 32) + "@example.com", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, canonical := tt.want, tt.canonical
			if canonical == "" {
				canonical = want
			}
			got, err := address.Parse(tt.in)
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.in, err)
			}
			if got.String() != want {
				t.Errorf("String = %q, want %q", got.String(), want)
			}
			if got.Canonical() != canonical {
				t.Errorf("Canonical = %q, want %q", got.Canonical(), canonical)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("d", 63)
	tests := []struct{ name, in, reason string }{
		{"empty", "", "empty"},
		{"only spaces", " \t\u00a0\ufeff", "empty"},
		{"no at", "example.com", "no @"},
		{"fullwidth at", "ana＠example.com", "no @"},
		{"no local", "@example.com", "nothing before"},
		{"no domain", "ana@", "nothing after"},
		{"only at", "@", "nothing before"},
		{"two ats", "a@b@example.com", "more than one @"},
		{"list", "a@example.com,b@example.com", "more than one @"},
		{"leading dot", ".ana@example.com", "dot"},
		{"trailing dot in local", "ana.@example.com", "dot"},
		{"dots in a row", "a..b@example.com", "two in a row"},
		{"only a dot", ".@example.com", "dot"},
		{"space in local", "a b@example.com", "space"},
		{"no-break space in local", "a\u00a0b@example.com", "space"},
		{"tab in local", "a\tb@example.com", "control"},
		{"line end in local", "a\r\nb@example.com", "control"},
		{"NUL in local", "a\x00b@example.com", "control"},
		{"DEL in local", "a\x7fb@example.com", "control"},
		{"C1 in local", "a\u0085b@example.com", "control"},
		{"line separator in local", "a\u2028b@example.com", "control"},
		{"zero-width space in local", "a\u200bb@example.com", "invisible"},
		{"right-to-left override in local", "a\u202eb@example.com", "invisible"},
		{"soft hyphen in local", "a\u00adb@example.com", "invisible"},
		{"replacement character", "a\ufffdb@example.com", "replacement"},
		{"not UTF-8", "a\xffb@example.com", "UTF-8"},
		{"comma", "a,b@example.com", "','"},
		{"semicolon", "a;b@example.com", "';'"},
		{"colon", "a:b@example.com", "':'"},
		{"mailto", "mailto:ana@example.com", "':'"},
		{"backslash", `a\b@example.com`, `'\\'`},
		{"brackets in local", "a[b]@example.com", "'['"},
		{"quote inside", `a"b"c@example.com`, `'"'`},
		{"angle brackets", "<ana@example.com>", "angle brackets"},
		{"name", "Ana <ana@example.com>", "angle brackets"},
		{"comment before", "(ana)ana@example.com", "comment"},
		{"comment after local", "ana(x)@example.com", "comment"},
		{"comment after at", "ana@(x)example.com", "comment"},
		{"comment at the end", "ana@example.com(x)", "comment"},
		{"empty quotes", `""@example.com`, "nothing between the quotes"},
		{"open quote", `"ana@example.com`, "never closed"},
		{"only a quote", `"`, "never closed"},
		{"quotes alone", `"ana"`, "other than an @"},
		{"text after quotes", `"ana"x@example.com`, "other than an @"},
		{"quoted word and dot", `"a".b@example.com`, "other than an @"},
		{"dot and quoted word", `a."b"@example.com`, `'"'`},
		{"backslash at the end", `"ana\`, "backslash"},
		{"backslash before a letter beyond ASCII", `"\ä"@example.com`, "backslash"},
		{"backslash before NUL", "\"\\\x00\"@example.com", "backslash"},
		{"line end in quotes", "\"a\r\n b\"@example.com", "control"},
		{"NUL in quotes", "\"a\x00b\"@example.com", "control"},
		{"zero-width space in quotes", "\"a\u200bb\"@example.com", "invisible"},
		{"local of 65", strings.Repeat("l", 65) + "@example.com", "64 octets"},
		{"33 letters of two octets", strings.Repeat("ö", 33) + "@example.com", "64 octets"},
		{"quoted to 65", `"` + strings.Repeat(" ", 63) + `"@example.com`, "64 octets"},
		{"quoted to 65 by a backslash", `"` + strings.Repeat(" ", 61) + `\""@example.com`, "64 octets"},
		{"label of 64", "a@" + label63 + "d.com", "63 octets"},
		{"255 in all", "aa@" + label63 + "." + label63 + "." + label63 + "." + strings.Repeat("d", 60), "254 octets"},
		{"domain of 256", "a@" + strings.Repeat("d.", 127) + "dd", "255 octets"},
		{"endless", strings.Repeat("a", 1<<20) + "@example.com", "254 octets"},
		{"a-label beyond 63", "a@" + strings.Repeat("ü", 60) + ".example", "63 octets"},
		{"single label", "ana@example", "one word"},
		{"localhost with a dot", "ana@localhost.", "dot"},
		{"localdomain", "ana@localdomain", "one word"},
		{"trailing dot in domain", "ana@example.com.", "dot"},
		{"leading dot in domain", "ana@.example.com", "dot"},
		{"dots in a row in domain", "ana@example..com", "dot"},
		{"only a dot for a domain", "ana@.", "dot"},
		{"leading hyphen", "ana@-example.com", "hyphen"},
		{"trailing hyphen", "ana@example-.com", "hyphen"},
		{"trailing hyphen of top label", "ana@example.com-", "hyphen"},
		{"hyphen alone", "ana@-.com", "hyphen"},
		{"hyphens in third and fourth place", "ana@ab--cd.com", "third and fourth"},
		{"underscore in domain", "ana@my_host.example.com", "character in the domain"},
		{"slash in domain", "ana@example.com/x", "character in the domain"},
		{"port", "ana@example.com:25", "character in the domain"},
		{"quote in domain", `ana@"example".com`, "character in the domain"},
		{"NUL in domain", "ana@exa\x00mple.com", "character in the domain"},
		{"space in domain", "ana@exa mple.com", "space"},
		{"space after at", "ana@ example.com", "space"},
		{"line end in domain", "ana@example.com\r\nBcc: x@example.com", "more than one @"},
		{"line end and word in domain", "ana@example.com\r\nSubject", "space"},
		{"soft hyphen in domain", "ana@exa\u00admple.com", "invisible"},
		{"address literal", "ana@[192.0.2.1]", "literal"},
		{"address literal, IPv6", "ana@[IPv6:2001:db8::1]", "literal"},
		{"open literal", "ana@[", "literal"},
		{"address without brackets", "ana@192.0.2.1", "number"},
		{"address in ideographic dots", "ana@192。0。2。1", "number"},
		{"number as top label", "ana@example.123", "number"},
		{"empty a-label", "ana@xn--.com", "dot"},
		{"a-label of ASCII only", "ana@xn--abc-.com", "international"},
		{"broken a-label", "ana@xn--\u00fc.com", "international"},
		{"a-label that never ends", "ana@xn--a.com", "international"},
		{"combining mark first", "ana@\u0301a.com", "international"},
		{"joiner where no script needs it", "ana@a\u200cb.com", "international"},
		{"both directions in one label", "ana@aא.com", "international"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := address.Parse(tt.in)
			if !errors.Is(err, posthaste.Invalid) {
				t.Fatalf("Parse(%q) = %+v, %v; want an Invalid error", tt.in, got, err)
			}
			fields := posthaste.FieldsOf(err)
			if len(fields) != 1 || fields[0].Name != "address" || !strings.Contains(fields[0].Reason, tt.reason) {
				t.Errorf("Parse(%q): %+v, want one about %q", tt.in, fields, tt.reason)
			}
			for _, part := range strings.FieldsFunc(tt.in, func(r rune) bool { return r == '@' || r == '.' }) {
				if len(part) > 3 && part != "localhost" && strings.Contains(err.Error(), part) {
					t.Errorf("%q quotes %q of the address", err, part)
				}
			}
			if got != (address.Address{}) {
				t.Errorf("Parse(%q) = %+v beside its error", tt.in, got)
			}
		})
	}
}

func TestParseMailbox(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, wantName, wantAddress string }{
		{"address alone", "news@example.com", "", "news@example.com"},
		{"address in angle brackets", "<news@example.com>", "", "news@example.com"},
		{"name", "News <news@Example.com>", "News", "news@example.com"},
		{"no space", "News<news@example.com>", "News", "news@example.com"},
		{"dots in a bare name", "J. R. Doe <doe@example.com>", "J. R. Doe", "doe@example.com"},
		{"quoted name", `"Doe, Jane (PR)" <doe@example.com>`, "Doe, Jane (PR)", "doe@example.com"},
		{"escapes", `"a\"b\\c" <doe@example.com>`, `a"b\c`, "doe@example.com"},
		{"empty quoted name", `"" <doe@example.com>`, "", "doe@example.com"},
		{"angle bracket in quotes", `"a <b" <doe@example.com>`, "a <b", "doe@example.com"},
		{"angle bracket in a quoted local", `Doe <"a<b"@example.com>`, "Doe", `"a<b"@example.com`},
		{"quoted local alone", `"a <b"@example.com`, "", `"a <b"@example.com`},
		{"unicode name", "Zoë 🦊 <zoe@example.com>", "Zoë 🦊", "zoe@example.com"},
		{"decomposed name", "Zoe\u0308 <zoe@example.com>", "Zoë", "zoe@example.com"},
		{"right to left", "דואר <zoe@example.com>", "דואר", "zoe@example.com"},
		{"spaces around", "  News  < news@example.com >  ", "News", "news@example.com"},
		{"encoded word is text", "=?UTF-8?Q?A?= <a@example.com>", "=?UTF-8?Q?A?=", "a@example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := address.ParseMailbox(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != tt.wantName || got.String() != tt.wantAddress {
				t.Errorf("ParseMailbox(%q) = %q <%s>", tt.in, got.Name, got)
			}
		})
	}
	bad := []struct{ name, in, field, reason string }{
		{"no address", "News", "address", "no @"},
		{"empty", " ", "address", "empty"},
		{"bad address", "News <news@example>", "address", "one word"},
		{"text after", "News <news@example.com> x", "address", ""},
		{"comma", "Doe, Jane <doe@example.com>", "name", "quotes"},
		{"list", "a@example.com, Doe <doe@example.com>", "name", "quotes"},
		{"group", "All: <doe@example.com>", "name", "quotes"},
		{"comment", "Doe (PR) <doe@example.com>", "name", "quotes"},
		{"two angle brackets", "Doe <<doe@example.com>>", "address", ""},
		{"open quote", `"Doe <doe@example.com>`, "address", ""},
		{"text after quotes", `"Doe" Jane <doe@example.com>`, "name", "closing quote"},
		{"line end", "Doe\r\nBcc: x <doe@example.com>", "name", "control"},
		{"line end in quotes", "\"Doe\r\nBcc: x\" <doe@example.com>", "name", "control"},
		{"NUL", "D\x00e <doe@example.com>", "name", "control"},
		{"not UTF-8", "D\xffe <doe@example.com>", "name", "UTF-8"},
		{"long", strings.Repeat("ö", 501) + " <doe@example.com>", "name", "500"},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := address.ParseMailbox(tt.in)
			fields := posthaste.FieldsOf(err)
			if len(fields) != 1 || fields[0].Name != tt.field || !strings.Contains(fields[0].Reason, tt.reason) {
				t.Errorf("ParseMailbox(%q): %+v, want %s about %q", tt.in, fields, tt.field, tt.reason)
			}
		})
	}
}

func TestNeedsSMTPUTF8(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"ana@example.com": false, "ana@bücher.example": false, "jörg@example.com": true, `"ä ö"@example.com`: true,
	} {
		a, err := address.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if a.NeedsSMTPUTF8() != want {
			t.Errorf("NeedsSMTPUTF8 of %q is %v", in, !want)
		}
	}
}
