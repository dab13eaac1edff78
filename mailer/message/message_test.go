package message_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	gomessage "github.com/emersion/go-message"
	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/mailer/message"
)

var update = flag.Bool("update", false, "write the golden files")

func box(t testing.TB, text string) address.Mailbox {
	t.Helper()
	m, err := address.ParseMailbox(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sample(t testing.TB) message.Mailing {
	t.Helper()
	return message.Mailing{
		From:        box(t, "Posthaste Weekly <news@example.com>"),
		ReplyTo:     box(t, "editors@example.com"),
		To:          box(t, `"Lima, Zoë 🦊" <Zoe.Lima@bücher.example>`),
		Subject:     "Grüße aus Köln: this week’s letter, with a subject that is longer than one line can hold",
		HTML:        []byte("<html><body>\n<p>Grüße!</p>\n.\n<a href=\"https://t.example.com/u/AbC-123\">unsubscribe</a>\n</body></html>"),
		Text:        []byte("Grüße!\r\n.\nFrom here on: plain text.  \nUnsubscribe: https://t.example.com/u/AbC-123"),
		MessageID:   "c1.n2.k9f3@mail.example.com",
		Date:        time.Date(2026, 11, 23, 9, 30, 0, 0, time.FixedZone("", 3600)),
		ListID:      "weekly.lists.example.com",
		ListName:    "Posthaste Weekly",
		Unsubscribe: "https://t.example.com/u/AbC-123_0123456789012345678901234567890123456789012345678901234567890123456789",
		FeedbackID:  "c1:weekly:mailing:posthaste",
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	got, err := message.Build(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/mailing.eml"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// parsed is a message as two independent parsers read it.
type parsed struct {
	header     mail.Header
	text, html string
}

func parse(t testing.TB, raw []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	p := parsed{header: m.Header}
	entity, err := gomessage.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if kind, _, err := entity.Header.ContentType(); err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type is %q, %v", kind, err)
	}
	parts := entity.MultipartReader()
	for i, want := range []string{"text/plain", "text/html"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := part.Header.ContentType()
		if err != nil || kind != want || !strings.EqualFold(params["charset"], "utf-8") {
			t.Fatalf("part %d is %q, %q, %v", i, kind, params, err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			p.text = string(body)
		} else {
			p.html = string(body)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the second part: %v", err)
	}
	return p
}

func decoded(t testing.TB, value string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	m := sample(t)
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, raw)
	want := map[string]string{
		"Date":                  "Mon, 23 Nov 2026 08:30:00 +0000",
		"From":                  "Posthaste Weekly <news@example.com>",
		"Reply-To":              "editors@example.com",
		"Message-Id":            "<c1.n2.k9f3@mail.example.com>",
		"List-Id":               "Posthaste Weekly <weekly.lists.example.com>",
		"List-Unsubscribe":      "<" + m.Unsubscribe + ">",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		"Feedback-Id":           "c1:weekly:mailing:posthaste",
		"Auto-Submitted":        "auto-generated",
		"Precedence":            "bulk",
		"Mime-Version":          "1.0",
	}
	for name, value := range want {
		if got := p.header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s is %q, want %q once", name, got, value)
		}
	}
	if got := decoded(t, p.header.Get("Subject")); got != m.Subject {
		t.Errorf("Subject is %q", got)
	}
	to, err := p.header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Name != m.To.Name || to[0].Address != "Zoe.Lima@xn--bcher-kva.example" {
		t.Errorf("To is %v, %v", to, err)
	}
	if len(p.header) != len(want)+3 { // Subject, To, Content-Type
		t.Errorf("the header has other fields: %v", p.header)
	}
	if !bytes.Contains(raw, []byte("\r\nList-Unsubscribe: <"+m.Unsubscribe+">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")) {
		t.Error("the one-click fields are not byte for byte as RFC 8058 has them")
	}
}

func TestOptionalHeadersAreLeftOut(t *testing.T) {
	t.Parallel()
	m := sample(t)
	m.ReplyTo, m.FeedbackID, m.ListName = address.Mailbox{}, "", ""
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	header := parse(t, raw).header
	if header["Reply-To"] != nil || header["Feedback-Id"] != nil || header.Get("List-Id") != "<weekly.lists.example.com>" {
		t.Errorf("header %v", header)
	}
}

func TestSameBytesOnEveryAttempt(t *testing.T) {
	t.Parallel()
	m := sample(t)
	first, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Date = m.Date.In(time.FixedZone("elsewhere", -7200)) // as another database gives it back
	for range 50 {
		again, err := message.Build(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatal(cmp.Diff(string(first), string(again)))
		}
	}
	m.MessageID = "other@mail.example.com"
	other, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	if boundaryOf(t, first) == boundaryOf(t, other) {
		t.Error("two messages share a boundary")
	}
}

func boundaryOf(t testing.TB, raw []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	return params["boundary"]
}

// A body that knows the boundary cannot end its part.
func TestBoundaryIsNotInTheContent(t *testing.T) {
	t.Parallel()
	m := sample(t)
	for range 3 {
		raw, err := message.Build(m)
		if err != nil {
			t.Fatal(err)
		}
		guess := "\r\n--" + boundaryOf(t, raw)
		m.Text = append(m.Text, guess+"--\r\nevil"...)
		m.HTML = append(m.HTML, guess+"\r\nContent-Type: text/html\r\n\r\nevil"...)
	}
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, raw)
	if strings.Count(p.text, "evil") != 3 || strings.Count(p.html, "evil") != 3 {
		t.Errorf("the parts are %q and %q", p.text, p.html)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	names := []string{
		"", "Ana", "Ana Lima", "Lima, Ana", `Ana "the fox" Lima`, `back\slash`, "J. R. Doe", "a@b.example", "<a@b.example>",
		"Zoë", "🦊🦊🦊", "דואר <x@example.com>", "محمد", "=?UTF-8?Q?=0D=0ABcc=3A?=", "=?", " lead", "trail ", "two  spaces", " ",
		strings.Repeat("x", 500), strings.Repeat("名", 500), strings.Repeat("long name ", 50), strings.Repeat(`"\`, 100),
		"(comment)", "group: a, b;", "tab\there", "bell\a", "\u2028", "\u202eesrever", "e\u0301", "?=", "_", "'quoted'",
	}
	for _, name := range names {
		t.Run(name[:min(len(name), 20)], func(t *testing.T) {
			t.Parallel()
			m := sample(t)
			m.To.Name, m.From.Name, m.ReplyTo.Name, m.ListName = name, name, name, name
			raw, err := message.Build(m)
			if err != nil {
				t.Fatal(err)
			}
			wire(t, raw)
			header := parse(t, raw).header
			for field, want := range map[string]string{"To": m.To.String(), "From": m.From.String(), "Reply-To": m.ReplyTo.String()} {
				list, err := header.AddressList(field)
				if err != nil || len(list) != 1 || list[0].Name != name || list[0].Address != want {
					t.Errorf("%s of %q is %v, %v", field, name, list, err)
				}
			}
			if !strings.HasSuffix(header.Get("List-Id"), "<"+m.ListID+">") {
				t.Errorf("List-Id of %q is %q", name, header.Get("List-Id"))
			}
		})
	}
}

func TestFolding(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"words", "Ana Lima", "To: Ana Lima <ana@example.com>"},
		{"quoted", `Lima, "Ana"`, `To: "Lima, \"Ana\"" <ana@example.com>`},
		{"encoded, all on one line", "Zoë", "To: =?UTF-8?Q?Zo=C3=AB?= <ana@example.com>"},
		{"encoded, two lines, room for the address on the second", strings.Repeat("é", 23),
			"To: =?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6k=?=\r\n =?UTF-8?B?w6k=?= <ana@example.com>"},
		{"encoded, no room for the address", strings.Repeat("é", 20),
			"To: =?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqQ==?=\r\n <ana@example.com>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := sample(t)
			m.To = address.Mailbox{Name: tt.in, Address: address.Address{Local: "ana", Domain: "example.com"}}
			raw, err := message.Build(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, rest, _ := strings.Cut(string(raw), "\r\nTo: "); !strings.HasPrefix("To: "+rest, tt.want+"\r\n") {
				t.Errorf("the field is %.160q, want %q", "To: "+rest, tt.want)
			}
		})
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{
		"Hello", "Hello, world", strings.Repeat("word ", 30) + "end", strings.Repeat("x", 61), strings.Repeat("x", 1000),
		"Grüße", strings.Repeat("ü", 1000), strings.Repeat("🦊", 200), "=?UTF-8?Q?literal?=", " lead and trail ", "two  spaces",
		"tab\tin it", "a\u2028b", "日本語の件名", "a" + strings.Repeat("日", 100), "?_=", strings.Repeat("x", 60) + " " + strings.Repeat("y", 60),
	} {
		m := sample(t)
		m.Subject = subject
		raw, err := message.Build(m)
		if err != nil {
			t.Fatal(err)
		}
		wire(t, raw)
		if got := decoded(t, parse(t, raw).header.Get("Subject")); got != subject {
			t.Errorf("subject %q came back as %q", subject, got)
		}
	}
}

func TestQuotedLocalAndSMTPUTF8(t *testing.T) {
	t.Parallel()
	m := sample(t)
	m.To = box(t, `Ana <"a b"@example.com>`)
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("\r\nTo: Ana <\"a b\"@example.com>\r\n")) {
		t.Errorf("To is %q", parse(t, raw).header.Get("To"))
	}
	m.To = box(t, "Jörg <jörg@example.com>")
	if raw, err = message.Build(m); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("<jörg@example.com>\r\n")) { // RFC 6532 section 3.2
		t.Errorf("To is %q", parse(t, raw).header.Get("To"))
	}
	m.From = m.To
	if _, err = message.Build(m); !errors.Is(err, posthaste.Invalid) {
		t.Errorf("a sender that needs SMTPUTF8: %v", err)
	}
}

// RFC 5322 section 2.1.1: what cannot be folded still fits a line of 998 octets.
func TestLongestValues(t *testing.T) {
	t.Parallel()
	m := sample(t)
	m.To = box(t, strings.Repeat("l", 64)+"@"+strings.Repeat(strings.Repeat("d", 60)+".", 3)+"com")
	m.MessageID = strings.Repeat("i", 200) + "@mail.example.com"
	m.ListID = strings.Repeat("list.", 48) + "example.com"
	m.Unsubscribe = "https://t.example.com/u/" + strings.Repeat("x", 876)
	m.FeedbackID = strings.Repeat("f", 200) + ":posthaste"
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	wire(t, raw)
	header := parse(t, raw).header
	for name, want := range map[string]string{
		"To": m.To.String(), "Message-ID": "<" + m.MessageID + ">", "List-Id": "Posthaste Weekly <" + m.ListID + ">",
		"List-Unsubscribe": "<" + m.Unsubscribe + ">", "Feedback-ID": m.FeedbackID,
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !bytes.Contains(raw, []byte("\r\nList-Unsubscribe: <"+m.Unsubscribe+">\r\n")) {
		t.Error("List-Unsubscribe is folded")
	}
}

func TestPartsTakeTheShorterEncoding(t *testing.T) {
	t.Parallel()
	m := sample(t)
	m.Text = []byte(strings.Repeat("日本語", 200))
	raw, err := message.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"base64", "quoted-printable"} {
		if strings.Count(string(raw), fmt.Sprintf("Content-Transfer-Encoding: %s\r\n", want)) != 1 {
			t.Errorf("not one part is %s", want)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	m := sample(b)
	m.HTML = []byte(strings.Repeat("<p style=\"margin:0\">Grüße from the weekly letter.</p>\r\n", 8192/57+1))
	m.Text = m.HTML[:1300]
	b.ReportAllocs()
	b.SetBytes(int64(len(m.HTML) + len(m.Text)))
	for b.Loop() {
		if _, err := message.Build(m); err != nil {
			b.Fatal(err)
		}
	}
}
