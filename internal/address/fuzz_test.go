package address_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"posthaste/internal/address"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"ana@example.com", `"a\"b"@example.com`, "jörg@bücher.example", "a@xn--bcher-kva.example", "ǅ@例え。テスト",
		"a@[192.0.2.1]", "\u212a\u0130\u0307@example.com", "a\u037e@example.com", `"\\"@b.co`, "a@ⓐ.com",
		"Ana <ana@example.com>", `"Doe, J" <"a<"@b.co>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := address.ParseMailbox(text); err == nil {
			again, err := address.Parse(m.String())
			if err != nil || again != m.Address {
				t.Fatalf("%q: the address of the mailbox gives %+v, %v", text, again, err)
			}
			if strings.ContainsAny(m.Name, "\r\n\x00") || !utf8.ValidString(m.Name) {
				t.Fatalf("%q: name %q", text, m.Name)
			}
		}
		a, err := address.Parse(text)
		if err != nil {
			if a != (address.Address{}) {
				t.Fatalf("%q: %+v beside an error", text, a)
			}
			return
		}
		holds(t, text, a)
	})
}

// holds checks what is true of every address.
func holds(t *testing.T, text string, a address.Address) {
	t.Helper()
	s := a.String()
	if again, err := address.Parse(s); err != nil || again != a {
		t.Fatalf("%q: %q gives %+v, %v", text, s, again, err)
	}
	if len(s) > address.MaxAddress || len(s)-len(a.Domain)-1 > address.MaxLocal {
		t.Fatalf("%q: %q is too long", text, s)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || !norm.NFC.IsNormalString(s) {
		t.Fatalf("%q: %q is not clean", text, s)
	}
	for _, c := range []byte(a.Domain) {
		if c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			t.Fatalf("%q: domain %q", text, a.Domain)
		}
	}
	canonical := a.Canonical()
	local := canonical[:len(canonical)-len(a.Domain)-1]
	if again := (address.Address{Local: local, Domain: a.Domain}).Canonical(); local[0] != '"' && again != canonical {
		t.Fatalf("%q: the canonical form %q gives %q", text, canonical, again)
	}
	if again, err := address.Parse(canonical); err == nil && again.Canonical() != canonical {
		t.Fatalf("%q: the canonical form %q gives %q", text, canonical, again.Canonical())
	}
}

// The canonical form is stable for every character that has a case or more
// than one spelling.
func TestCanonicalOfEveryLetter(t *testing.T) {
	t.Parallel()
	tested := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		s := string(r)
		if unicode.ToLower(r) == r && unicode.ToUpper(r) == r && norm.NFC.IsNormalString(s) {
			continue
		}
		for _, local := range []string{s + "x", "x" + s + "\u0301"} {
			a, err := address.Parse(local + "@example.com")
			if err != nil {
				continue
			}
			tested++
			holds(t, local, a)
		}
	}
	if tested < 5_000 {
		t.Errorf("only %d addresses were tested", tested)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a, err := address.Parse("Ana.Lima+news@Mail.Example.com")
		if err != nil || a.Canonical() != "ana.lima+news@mail.example.com" {
			b.Fatal(a, err)
		}
	}
}
