package dkim_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"

	"posthaste/internal/address"
	"posthaste/mailer/dkim"
	"posthaste/mailer/message"
)

// both is an RSA and an Ed25519 key for example.com.
const both = "e1@example.com=testdata/ed25519.pem,r1@example.com=testdata/rsa.pem"

func load(tb testing.TB, setting string) *dkim.Signer {
	tb.Helper()
	s, err := dkim.Load(setting)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func sign(tb testing.TB, s *dkim.Signer, domain string, message []byte) []byte {
	tb.Helper()
	signed, err := s.Sign(domain, message)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// letter is a mailing as it is sent, from news@example.com.
func letter(tb testing.TB) []byte {
	tb.Helper()
	box := func(text string) address.Mailbox {
		m, err := address.ParseMailbox(text)
		if err != nil {
			tb.Fatal(err)
		}
		return m
	}
	m, err := message.Build(message.Mailing{
		From: box("News <news@example.com>"), To: box(`"Lima, Zoë 🦊" <zoe.lima@bücher.example>`),
		Subject:   "Grüße aus Köln: this week’s letter, with a subject that is longer than one line can hold",
		HTML:      []byte("<p>Hello,  Zoë</p>\n\n<p>\tSee you.</p>\n\n\n"),
		Text:      []byte("Hello,  Zoë\n" + strings.Repeat("A sentence of the letter that goes on for a while. ", 100) + "\n\n"),
		MessageID: "c1.n2.k9f3@example.com", Date: time.Date(2026, 11, 23, 9, 30, 0, 0, time.FixedZone("", 3600)),
		ListID: "weekly.lists.example.com", ListName: "Weekly", FeedbackID: "1:weekly:mailing:posthaste",
		Unsubscribe: "https://t.example.com/u/AbC-123_0123456789012345678901234567890123456789012345678901234567890123456789",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// record is the TXT record of the public half of a key in a file.
func record(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(text)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if block.Type == "RSA PRIVATE KEY" {
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		tb.Fatal(err)
	}
	switch public := private.(crypto.Signer).Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			tb.Fatal(err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
	tb.Fatalf("%s is a %T", path, private)
	return ""
}

// verify has go-msgauth verify each signature, with the keys of a setting in
// its DNS. It gives "selector's domain: ok" or what is wrong, per signature.
func verify(tb testing.TB, setting string, message []byte) (results []string, details []*msgauth.Verification) {
	tb.Helper()
	txt := map[string]string{}
	for entry := range strings.SplitSeq(setting, ",") {
		name, path, _ := strings.Cut(entry, "=")
		selector, domain, _ := strings.Cut(name, "@")
		txt[selector+"._domainkey."+domain] = record(tb, path)
	}
	details, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if txt[name] == "" {
			return nil, fmt.Errorf("no record %s", name)
		}
		return []string{txt[name]}, nil
	}})
	if err != nil {
		tb.Fatal(err)
	}
	for _, v := range details {
		result := v.Domain + ": ok"
		if v.Err != nil {
			result = v.Domain + ": " + v.Err.Error()
		}
		results = append(results, result)
	}
	return results, details
}

func TestSignedMessagesVerify(t *testing.T) {
	t.Parallel()
	message := letter(t)
	for _, test := range []struct {
		name, setting, domain string
		want                  []string
	}{
		{"RSA", "r1@example.com=testdata/rsa.pem", "example.com", []string{"example.com: ok"}},
		{"RSA and Ed25519", both, "example.com", []string{"example.com: ok", "example.com: ok"}},
		{"RSA of 1024 bits", "r1@example.com=testdata/rfc8463-rsa.pem", "example.com", []string{"example.com: ok"}},
		{"a parent's key", "r1@example.com=testdata/rsa.pem", "a.news.example.com", []string{"example.com: ok"}},
		{"the domain's own key before its parent's", both + ",r2@news.example.com=testdata/rsa.pem", "news.example.com", []string{"news.example.com: ok"}},
		{"the nearest parent's key", both + ",r2@news.example.com=testdata/rsa.pem", "a.news.example.com", []string{"news.example.com: ok"}},
		{"an international domain", "r1@xn--bcher-kva.example=testdata/rsa.pem", "xn--bcher-kva.example", []string{"xn--bcher-kva.example: ok"}},
		{"a long domain and selector", "r1." + strings.Repeat("s", 40) + "@" + strings.Repeat("d", 60) + ".example.com=testdata/rsa.pem",
			strings.Repeat("d", 60) + ".example.com", []string{strings.Repeat("d", 60) + ".example.com: ok"}},
		{"no key for the domain", both, "example.org", nil},
		{"no key for a parent", "r1@news.example.com=testdata/rsa.pem", "example.com", nil},
		{"no key for one that ends alike", both, "anexample.com", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, test.setting)
			signed := sign(t, s, test.domain, message)
			if !bytes.HasSuffix(signed, message) {
				t.Fatal("the message itself was changed")
			}
			if s.Covers(test.domain) != (test.want != nil) {
				t.Error("Covers says otherwise")
			}
			results, _ := verify(t, test.setting, signed)
			if d := cmp.Diff(test.want, results); d != "" {
				t.Error(d)
			}
			for line := range bytes.SplitSeq(signed[:len(signed)-len(message)], []byte("\r\n")) {
				if len(line) > 78 && !bytes.HasPrefix(line, []byte(" d=")) {
					t.Errorf("a line of %d octets: %s", len(line), line)
				}
			}
		})
	}
}

func TestUnsignedWithoutKeys(t *testing.T) {
	t.Parallel()
	message := letter(t)
	for _, s := range []*dkim.Signer{{}, load(t, ""), load(t, " ")} {
		if signed := sign(t, s, "example.com", message); !bytes.Equal(signed, message) {
			t.Errorf("signed: %s", signed)
		}
		if !s.Empty() || s.Covers("example.com") {
			t.Error("it says that it has keys")
		}
	}
}

// TestWhatIsSigned reads the tags of both signatures.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	signed := sign(t, load(t, both), "example.com", letter(t))
	_, details := verify(t, both, signed)
	want := []string{"date", "from", "to", "subject", "message-id", "list-id", "list-unsubscribe", "list-unsubscribe-post",
		"feedback-id", "auto-submitted", "mime-version", "content-type", // all that are there, Precedence apart
		"from", "to", "subject", "date", "reply-to", "content-type", "list-unsubscribe", "list-unsubscribe-post"} // and that there is no other
	slices.Sort(want)
	for _, v := range details {
		slices.Sort(v.HeaderKeys)
		if d := cmp.Diff(want, v.HeaderKeys); d != "" {
			t.Error(d)
		}
		if at := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC); !v.Time.Equal(at) {
			t.Errorf("signed at %v, not at the Date", v.Time)
		}
	}
	header, _, _ := strings.Cut(string(signed), "\r\nDate:")
	for i, start := range []string{"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; t=1795422600;\r\n d=example.com;\r\n s=r1;\r\n",
		"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; t=1795422600;\r\n d=example.com;\r\n s=e1;\r\n"} {
		if at := strings.Index(header, start); at < 0 || (at == 0) != (i == 0) {
			t.Errorf("%q is not in its place in\n%s", start, header)
		}
	}
	if strings.Contains(header, " l=") {
		t.Error("only a part of the body is signed")
	}
}

func TestChangesAreNoticed(t *testing.T) {
	t.Parallel()
	signed := sign(t, load(t, both), "example.com", letter(t))
	prepend := func(field string) func(string) string { return func(m string) string { return field + "\r\n" + m } }
	replace := func(old, new string) func(string) string {
		return func(m string) string { return strings.Replace(m, old, new, 1) }
	}
	for _, test := range []struct {
		name   string
		change func(string) string
	}{
		{"List-Unsubscribe, one octet", replace("/u/AbC", "/u/AbD")},
		{"List-Unsubscribe, taken away", replace("List-Unsubscribe: ", "X-Unsubscribe: ")},
		{"List-Unsubscribe-Post, one octet", replace("=One-Click", "=One-Clicc")},
		{"List-Unsubscribe-Post, taken away", replace("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "")},
		{"Subject, one octet", replace("Subject: =?", "Subject: x=?")},
		{"From, one octet", replace("news@example.com>", "mews@example.com>")},
		{"Date", replace("23 Nov", "24 Nov")},
		{"To", replace("zoe.lima@", "zoe.lime@")},
		{"Message-ID", replace("c1.n2.", "c1.n3.")},
		{"List-Id", replace("weekly.lists.", "monthly.lists.")},
		{"Feedback-ID", replace("1:weekly", "2:weekly")},
		{"Auto-Submitted", replace("auto-generated", "no")},
		{"boundary", replace("boundary=posthaste", "boundary=posthasty")},
		{"body, one octet", replace("See you", "See yoU")},
		{"body, one octet of blank more at a start", replace("\r\n<p>", "\r\n <p>")},
		{"body, more behind its end", func(m string) string { return m + "x\r\n" }},
		{"body, cut off", func(m string) string { return m[:len(m)-10] }},
		{"a second From", prepend("From: Other <other@example.net>")},
		{"a second From below", replace("\r\nTo:", "\r\nFrom: other@example.net\r\nTo:")},
		{"a second To", prepend("To: other@example.net")},
		{"a second Subject", prepend("Subject: Other")},
		{"a second Date", prepend("Date: Mon, 23 Nov 2026 09:30:00 +0000")},
		{"a Reply-To where none was", prepend("Reply-To: other@example.net")},
		{"a second Content-Type", prepend("Content-Type: text/html")},
		{"a second List-Unsubscribe", prepend("List-Unsubscribe: <https://example.net/u>")},
		{"a second List-Unsubscribe-Post", prepend("List-Unsubscribe-Post: List-Unsubscribe=One-Click")},
		{"time of signing", func(m string) string { return strings.ReplaceAll(m, "t=1795422600", "t=1795422601") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := test.change(string(signed))
			if changed == string(signed) {
				t.Fatal("nothing was changed")
			}
			results, _ := verify(t, both, []byte(changed))
			if len(results) != 2 || slices.Contains(results, "example.com: ok") {
				t.Errorf("not noticed: %v", results)
			}
		})
	}
}

// TestEachOctetOfTheLinkIsSigned changes the opt-out fields octet by octet.
func TestEachOctetOfTheLinkIsSigned(t *testing.T) {
	t.Parallel()
	const setting = "r1@example.com=testdata/rsa.pem"
	signed := sign(t, load(t, setting), "example.com", letter(t))
	start := bytes.Index(signed, []byte("\r\nList-Unsubscribe: ")) + 2
	end := start + bytes.Index(signed[start:], []byte("One-Click")) + len("One-Click")
	for i := start; i < end; i++ {
		if bytes.IndexByte([]byte("\r\n: "), signed[i]) >= 0 {
			continue
		}
		changed := bytes.Clone(signed)
		changed[i] ^= 1
		if results, _ := verify(t, setting, changed); slices.Contains(results, "example.com: ok") {
			t.Errorf("octet %d, %q, is not signed", i, signed[i])
		}
	}
}

func TestRefoldingIsBorne(t *testing.T) {
	t.Parallel()
	signed := string(sign(t, load(t, both), "example.com", letter(t)))
	header, body, _ := strings.Cut(signed, "\r\n\r\n")
	for _, test := range []struct{ name, message string }{
		{"folded anew with tabs", strings.ReplaceAll(header, "\r\n ", " \r\n\t  ") + "\r\n\r\n" + body},
		{"unfolded", strings.ReplaceAll(header, "\r\n ", " ") + "\r\n\r\n" + body},
		{"folded behind the name", strings.ReplaceAll(header, "Subject: ", "Subject:\r\n ") + "\r\n\r\n" + body},
		{"blanks around the colon", strings.ReplaceAll(header, "List-Unsubscribe: ", "List-Unsubscribe \t: ") + "\r\n\r\n" + body},
		{"names in capitals", strings.ReplaceAll(header, "\r\nList-", "\r\nLIST-") + "\r\n\r\n" + body},
		{"a trace field on top", "Received: from a.example by b.example; Mon, 23 Nov 2026 09:30:01 +0000\r\n" + signed},
		{"blanks at the ends of lines", header + "\r\n\r\n" + strings.ReplaceAll(body, "\r\n", " \t\r\n")},
		{"empty lines at the end", signed + "\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.message == signed {
				t.Fatal("nothing was changed")
			}
			results, _ := verify(t, both, []byte(test.message))
			if d := cmp.Diff([]string{"example.com: ok", "example.com: ok"}, results); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestSignedAgain signs one message many times at once: a retry must send the same bytes.
func TestSignedAgain(t *testing.T) {
	t.Parallel()
	message := letter(t)
	s := load(t, both)
	want := sign(t, load(t, both), "example.com", message)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				if got, err := s.Sign("example.com", message); err != nil || !bytes.Equal(got, want) {
					t.Errorf("signed otherwise: %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestUnfitMessages(t *testing.T) {
	t.Parallel()
	s := load(t, "r1@example.com=testdata/rsa.pem")
	const from, date = "From: a@example.com\r\n", "Date: Mon, 23 Nov 2026 09:30:00 +0000\r\n"
	for _, test := range []struct{ name, message string }{
		{"nothing", ""},
		{"no empty line", from + date},
		{"lines that end in LF", "From: a@example.com\nDate: Mon, 23 Nov 2026 09:30:00 +0000\n\nbody\n"},
		{"no From", date + "\r\nbody\r\n"},
		{"two From", from + from + date + "\r\nbody\r\n"},
		{"no Date", from + "\r\nbody\r\n"},
		{"two Dates", from + date + date + "\r\nbody\r\n"},
		{"a Date that is none", from + "Date: today\r\n\r\nbody\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if signed, err := s.Sign("example.com", []byte(test.message)); err == nil {
				t.Errorf("signed: %q", signed)
			}
		})
	}
}

// FuzzSign has the verifier judge the canonical form of any header value and body.
func FuzzSign(f *testing.F) {
	for _, seed := range [][2]string{{"a  b", "x"}, {"", ""}, {" a\r\n\t b ", "\r\n\r\n"}, {"é\x00", " \t\r\n a \t b\r\n\r\n \r\n"}, {"a", "x\r\n\r\n"}, {"\t", "\t"}} {
		f.Add(seed[0], []byte(seed[1]))
	}
	const setting = "r1@example.com=testdata/rfc8463-rsa.pem"
	s := load(f, setting)
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		unfold := strings.NewReplacer("\r\n ", "\r\n ", "\r\n\t", "\r\n\t", "\r", "", "\n", "")
		var lines [][]byte
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			lines = append(lines, bytes.ReplaceAll(line, []byte("\r"), nil))
		}
		message := "From: a@example.com\r\nDate: Mon, 23 Nov 2026 09:30:00 +0000\r\nSubject:" + unfold.Replace(subject) + "\r\n\r\n" + string(bytes.Join(lines, []byte("\r\n")))
		results, _ := verify(t, setting, sign(t, s, "example.com", []byte(message)))
		if d := cmp.Diff([]string{"example.com: ok"}, results); d != "" {
			t.Errorf("%q: %s", message, d)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	message := letter(b)
	for _, bench := range []struct{ name, setting string }{{"none", ""}, {"rsa2048", "r1@example.com=testdata/rsa.pem"}, {"rsa2048+ed25519", both}} {
		b.Run(bench.name, func(b *testing.B) {
			s := load(b, bench.setting)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				sign(b, s, "example.com", message)
			}
		})
	}
}
