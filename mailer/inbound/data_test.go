package inbound_test

import (
	"io"
	"strings"
	"testing"

	"posthaste/mailer/inbound"
)

const head = "X-Notice-Type: receipt\r\n\r\n"

// TestEndOfData: only CR LF, dot, CR LF ends a message. Everything else that
// some server takes for an end must not let a second message through.
func TestEndOfData(t *testing.T) {
	t.Parallel()
	const second = "MAIL FROM:<ceo@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nX-Notice-Type: evil\r\n\r\nPay!\r\n"
	for name, end := range map[string]string{
		"LF dot LF":            "\n.\n",
		"LF dot CR LF":         "\n.\r\n",
		"CR LF dot LF":         "\r\n.\n",
		"CR LF dot CR":         "\r\n.\r",
		"CR dot CR":            "\r.\r",
		"CR dot CR LF":         "\r.\r\n",
		"CR dot LF":            "\r.\n",
		"CR CR LF, spaced dot": "\r\r\n. \r\n",
		"CR LF dot CR CR LF":   "\r\n.\r\r\n",
		"CR LF NUL dot CR LF":  "\r\n\x00.\r\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{})
			p := h.signedIn()
			p.begin()
			p.raw(head + "first" + end + second + ".\r\n")
			p.hears("554 5.6.0 a line must end in CR LF")
			p.talk("NOOP", "250", "MAIL FROM:<>", "250") // nothing of it was taken for a command
			if all := h.notices.list(); len(all) != 0 {
				t.Errorf("submitted %v", all)
			}
		})
	}
}

func TestData(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want, text string }{
		{"plain", head + "Hello.\r\n.\r\n", "250 2.6.0 notice-1 queued", "Hello.\n"},
		{"empty body", head + ".\r\n", "250", ""},
		{"header alone", "X-Notice-Type: receipt\r\n.\r\n", "250", ""},
		{"dots", head + "..\r\n...\r\n..x\r\n.x\r\n.\r\n", "250", ".\n..\n.x\nx\n"},
		{"8-bit", head + "Grüße\r\n.\r\n", "250", "Grüße\n"},
		{"line as long as the limit", head + strings.Repeat("a", 4094) + "\r\n.\r\n", "250", strings.Repeat("a", 4094) + "\n"},
		{"line beyond the limit", head + strings.Repeat("a", 4095) + "\r\n.\r\n", "554 5.6.0 a line is too long", ""},
		{"line far beyond the limit", head + strings.Repeat("a", 40960) + "\r\n.\r\n", "554 5.6.0 a line is too long", ""},
		{"end split at the buffer", head + strings.Repeat("a", 4095) + "\r\n.\r\n", "554", ""},
		{"lone CR, then the end", head + "Hello\r\r\n.\r\n", "554 5.6.0", ""}, // go-smtp would wait on
		{"nothing at all", ".\r\n", "550 5.6.0 the header X-Notice-Type is missing: it names the notice type", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{})
			p := h.signedIn()
			p.begin()
			p.raw(tt.in)
			p.hears(tt.want)
			p.talk("NOOP", "250")
			if !strings.HasPrefix(tt.want, "250") {
				if all := h.notices.list(); len(all) != 0 {
					t.Errorf("submitted %v", all)
				}
				return
			}
			if got := h.notices.only(t).Text; got != tt.text {
				t.Errorf("text %q, want %q", got, tt.text)
			}
		})
	}
}

// TestPipelining: RFC 2920, with the message of one group in front of the next.
func TestPipelining(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	p := h.signedIn()
	p.raw("MAIL FROM:<>\r\nRCPT TO:<fox@example.org>\r\nRCPT TO:<fox>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "501", "354"} {
		p.hears(want)
	}
	p.raw(message + ".\r\nMAIL FROM:<>\r\nRCPT TO:<owl@example.org>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "250", "354"} {
		p.hears(want)
	}
	p.raw(message + ".\r\nQUIT\r\nMAIL FROM:<>\r\n")
	p.hears("250")
	p.hears("221")
	p.gone()
	if all := h.notices.list(); len(all) != 2 || all[1].To[0] != "owl@example.org" {
		t.Errorf("submitted %v", all)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	h := start(t, setup{Options: inbound.Options{MaxBytes: 1000}})
	line := strings.Repeat("a", 98) + "\r\n"
	p := h.signedIn()
	p.talk("MAIL FROM:<> SIZE=1001", "552 5.3.4 a message may have 1000 octets", "MAIL FROM:<> SIZE=1000", "250", "RCPT TO:<fox@example.org>", "250")
	p.talk("DATA", "354")
	p.raw(head + strings.Repeat(line, 10) + ".\r\n")
	p.hears("552 5.3.4")
	if all := h.notices.list(); len(all) != 0 {
		t.Errorf("submitted %v", all)
	}
	p.begin() // the connection is as good as before
	p.raw(head + strings.Repeat(line, 9) + strings.Repeat("a", 1000-len(head)-9*len(line)-2) + "\r\n.\r\n")
	p.hears("250")
	t.Run("without end", func(t *testing.T) {
		p := h.signedIn()
		p.t = t
		p.begin()
		p.raw(head + strings.Repeat(line, 21))
		p.hears("552 5.3.4")
		p.gone()
	})
}

// TestCutShort: a message whose end did not arrive is not taken.
func TestCutShort(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"in a line": head + "Hel", "after a line": head + "Hello\r\n", "in the end": head + "Hello\r\n."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{})
			p := h.signedIn()
			p.begin()
			p.raw(sent)
			if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(p.in); len(rest) != 0 || err != nil {
				t.Errorf("heard %q, %v", rest, err)
			}
			if all := h.notices.list(); len(all) != 0 {
				t.Errorf("submitted %v", all)
			}
		})
	}
}
