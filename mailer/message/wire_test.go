package message_test

import (
	"bytes"
	"errors"
	"mime"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/mailer/message"
)

var (
	fieldStart  = regexp.MustCompile(`^[A-Za-z-]+: ?`)
	encodedWord = regexp.MustCompile(`=\?[^?\s]+\?[BQ]\?[^?]*\?=`)
)

// fatal is what testing.TB and rapid.T share.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wire checks what holds for the bytes of every message.
func wire(t fatal, raw []byte) {
	t.Helper()
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Fatalf("the message does not end in CRLF")
	}
	if strings.ContainsAny(strings.ReplaceAll(string(raw), "\r\n", ""), "\r\n\x00") {
		t.Fatalf("the message has a lone CR or LF, or a NUL")
	}
	head, body, ok := strings.Cut(string(raw), "\r\n\r\n")
	if !ok {
		t.Fatalf("the header does not end")
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(head, "\r\n") {
		words := encodedWord.FindAllString(line, -1)
		for _, word := range words {
			text, err := new(mime.WordDecoder).Decode(word)
			if err != nil || len(word) > 75 || !utf8.ValidString(text) {
				t.Fatalf("encoded word %q (%d octets) gives %q, %v", word, len(word), text, err)
			}
		}
		if len(line) > 998 || len(words) > 0 && len(line) > 76 || len(line) > 78 && strings.Contains(strings.TrimSpace(fieldStart.ReplaceAllString(line, "")), " ") {
			t.Fatalf("header line of %d octets: %q", len(line), line)
		}
		if strings.TrimSpace(line) == "" {
			t.Fatalf("the header has a line of spaces")
		}
		if line[0] == ' ' {
			continue
		}
		name := strings.ToLower(strings.TrimSpace(fieldStart.FindString(line)))
		if name == "" || seen[name] {
			t.Fatalf("header line %q is no field or repeats one", line)
		}
		seen[name] = true
	}
	for line := range strings.SplitSeq(body, "\r\n") {
		if len(line) > 76 {
			t.Fatalf("body line of %d octets", len(line))
		}
	}
	for _, name := range []string{"date:", "from:", "to:", "subject:", "message-id:", "mime-version:", "list-unsubscribe:", "list-unsubscribe-post:"} {
		if !seen[name] {
			t.Fatalf("the header has no %s", name)
		}
	}
	for _, name := range []string{"bcc:", "cc:", "x-mailer:", "user-agent:"} {
		if seen[name] {
			t.Fatalf("the header has %s", name)
		}
	}
	for i := range raw {
		if raw[i] >= utf8.RuneSelf {
			t.Fatalf("octet %d is not 7-bit", i)
		}
	}
}

func TestInjectionIsRefused(t *testing.T) {
	t.Parallel()
	fields := []struct {
		name string
		set  func(*message.Mailing, string)
	}{
		{"subject", func(m *message.Mailing, s string) { m.Subject = s }},
		{"from", func(m *message.Mailing, s string) { m.From.Name = s }},
		{"from", func(m *message.Mailing, s string) { m.From.Local = s }},
		{"from", func(m *message.Mailing, s string) { m.From.Domain = s }},
		{"reply_to", func(m *message.Mailing, s string) { m.ReplyTo.Name = s }},
		{"reply_to", func(m *message.Mailing, s string) { m.ReplyTo = address.Mailbox{Address: address.Address{Local: s}} }},
		{"to", func(m *message.Mailing, s string) { m.To.Name = s }},
		{"to", func(m *message.Mailing, s string) { m.To.Local = s }},
		{"to", func(m *message.Mailing, s string) { m.To.Domain = s }},
		{"message_id", func(m *message.Mailing, s string) { m.MessageID = s + "@example.com" }},
		{"message_id", func(m *message.Mailing, s string) { m.MessageID = "a@" + s }},
		{"list_id", func(m *message.Mailing, s string) { m.ListID = s + ".example.com" }},
		{"list_name", func(m *message.Mailing, s string) { m.ListName = s }},
		{"unsubscribe", func(m *message.Mailing, s string) { m.Unsubscribe = "https://t.example.com/u/" + s }},
		{"unsubscribe", func(m *message.Mailing, s string) { m.Unsubscribe = s }},
		{"feedback_id", func(m *message.Mailing, s string) { m.FeedbackID = s }},
	}
	for _, evil := range []string{"Bob\r\nBcc: x@example.com", "Bob\nBcc: x", "Bob\rBcc: x", "Bob\x00", "\r\n\r\nbody", "\n", "Bob\r\n folded", "\xff"} {
		for _, field := range fields {
			m := sample(t)
			field.set(&m, evil)
			raw, err := message.Build(m)
			if raw != nil || !errors.Is(err, posthaste.Invalid) {
				t.Errorf("%q in %s: %v", evil, field.name, err)
				continue
			}
			if faults := posthaste.FieldsOf(err); len(faults) != 1 || faults[0].Name != field.name {
				t.Errorf("%q in %s: %+v", evil, field.name, faults)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, field string
		set         func(*message.Mailing)
	}{
		{"no subject", "subject", func(m *message.Mailing) { m.Subject = " \t" }},
		{"long subject", "subject", func(m *message.Mailing) { m.Subject = strings.Repeat("ö", 1001) }},
		{"no html", "html", func(m *message.Mailing) { m.HTML = nil }},
		{"no text", "text", func(m *message.Mailing) { m.Text = []byte("\n") }},
		{"html not UTF-8", "html", func(m *message.Mailing) { m.HTML = []byte("\xff") }},
		{"no sender", "from", func(m *message.Mailing) { m.From = address.Mailbox{} }},
		{"no recipient", "to", func(m *message.Mailing) { m.To = address.Mailbox{} }},
		{"recipient's domain not in A-labels", "to", func(m *message.Mailing) { m.To.Domain = "bücher.example" }},
		{"two recipients", "to", func(m *message.Mailing) { m.To.Domain = "example.com, b@example.com" }},
		{"long name", "to", func(m *message.Mailing) { m.To.Name = strings.Repeat("ö", 501) }},
		{"no message id", "message_id", func(m *message.Mailing) { m.MessageID = "" }},
		{"message id in brackets", "message_id", func(m *message.Mailing) { m.MessageID = "<a@example.com>" }},
		{"message id without at", "message_id", func(m *message.Mailing) { m.MessageID = "a" }},
		{"message id with two", "message_id", func(m *message.Mailing) { m.MessageID = "a@b@example.com" }},
		{"no date", "date", func(m *message.Mailing) { m.Date = time.Time{} }},
		{"no list id", "list_id", func(m *message.Mailing) { m.ListID = "" }},
		{"list id without domain", "list_id", func(m *message.Mailing) { m.ListID = "weekly" }},
		{"list id in brackets", "list_id", func(m *message.Mailing) { m.ListID = "<weekly.example.com>" }},
		{"no link", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "" }},
		{"http", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "http://t.example.com/u/1" }},
		{"http to what only begins like localhost", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "http://localhost.example.com/u/1" }},
		{"mailto", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "mailto:u@example.com" }},
		{"relative", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "/u/1" }},
		{"no host", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https:///u/1" }},
		{"no token", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://t.example.com/" }},
		{"placeholder", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://t.example.com/u/{{token}}" }},
		{"two links", "unsubscribe", func(m *message.Mailing) {
			m.Unsubscribe = "https://t.example.com/u/1>,<https://t.example.com/u/2"
		}},
		{"space in link", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://t.example.com/u/1 2" }},
		{"user in link", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://a@t.example.com/u/1" }},
		{"link beyond ASCII", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://bücher.example/u/1" }},
		{"long link", "unsubscribe", func(m *message.Mailing) { m.Unsubscribe = "https://t.example.com/u/" + strings.Repeat("x", 900) }},
		{"feedback id of five parts", "feedback_id", func(m *message.Mailing) { m.FeedbackID = "a:b:c:d:posthaste" }},
		{"short sender of feedback id", "feedback_id", func(m *message.Mailing) { m.FeedbackID = "a:b:c:d" }},
		{"space in feedback id", "feedback_id", func(m *message.Mailing) { m.FeedbackID = "a b:posthaste" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := sample(t)
			tt.set(&m)
			raw, err := message.Build(m)
			faults := posthaste.FieldsOf(err)
			if raw != nil || len(faults) != 1 || faults[0].Name != tt.field {
				t.Errorf("Build: %v, want one fault in %s", err, tt.field)
			}
		})
	}
}

func TestPlainHTTPOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"http://localhost:8080/u/1", "http://127.0.0.1:8080/u/1", "http://[::1]/u/1", "https://t.example.com?u=1"} {
		m := sample(t)
		m.Unsubscribe = link
		raw, err := message.Build(m)
		if err != nil {
			t.Errorf("%s: %v", link, err)
			continue
		}
		if !bytes.Contains(raw, []byte("\r\nList-Unsubscribe: <"+link+">\r\n")) {
			t.Errorf("%s is not in the header", link)
		}
	}
}

// Every name, subject and body comes back as it was, line ends apart.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	letters := []rune("ab ,.\"\\<>@()=?_:;\t-ü日🦊א\u2028\u202e\u0301")
	line := rapid.StringOfN(rapid.OneOf(rapid.SampledFrom(letters), rapid.RuneFrom(letters)), 0, 120, -1)
	body := rapid.StringOf(rapid.SampledFrom([]rune("ab .=-\r\n\x00\tü日🦊\u2028")))
	rapid.Check(t, func(rt *rapid.T) {
		m := sample(t)
		m.To.Name, m.From.Name = line.Draw(rt, "to"), line.Draw(rt, "from")
		m.Subject = "x" + line.Draw(rt, "subject")
		long := strings.Repeat(rapid.SampledFrom([]string{"x", "ü", " ", "=", "."}).Draw(rt, "letter"), rapid.SampledFrom([]int{0, 10_000}).Draw(rt, "long"))
		m.Text = []byte("T" + body.Draw(rt, "text") + long)
		m.HTML = []byte("<" + long + body.Draw(rt, "html"))
		raw, err := message.Build(m)
		if err != nil {
			rt.Fatalf("%v", err)
		}
		wire(rt, raw)
		p := parse(t, raw)
		if got := decoded(t, p.header.Get("Subject")); got != m.Subject {
			rt.Fatalf("subject %q, want %q", got, m.Subject)
		}
		for field, want := range map[string]address.Mailbox{"To": m.To, "From": m.From} {
			list, err := p.header.AddressList(field)
			if err != nil || len(list) != 1 || list[0].Name != want.Name || list[0].Address != want.String() {
				rt.Fatalf("%s is %v, %v, want %q", field, list, err, want.Name)
			}
		}
		if p.text != lineEnds(m.Text) || p.html != lineEnds(m.HTML) {
			rt.Fatalf("text %q, want %q; html %q, want %q", p.text, lineEnds(m.Text), p.html, lineEnds(m.HTML))
		}
	})
}

// lineEnds is body with each of CR LF, CR and LF as CR LF.
func lineEnds(body []byte) string {
	return regexp.MustCompile("\r\n|\r|\n").ReplaceAllString(string(body), "\r\n")
}
