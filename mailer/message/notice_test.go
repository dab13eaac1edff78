package message_test

import (
	"bytes"
	"io"
	"mime"
	"slices"
	"strings"
	"testing"
	"time"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/mailer/message"
)

func notice(tb testing.TB) message.Notice {
	tb.Helper()
	from, err := address.ParseMailbox("Example Ltd <account@example.com>")
	if err != nil {
		tb.Fatal(err)
	}
	to, err := address.ParseMailbox("Zoë <zoe@example.org>")
	if err != nil {
		tb.Fatal(err)
	}
	return message.Notice{From: from, To: to, Subject: "Your receipt – n° 7", Text: []byte("Text: 7 €\n.dot\n"), HTML: []byte("<p>7 €</p>\n<img src=\"cid:logo@example\">"),
		MessageID: "abc@example.com", Date: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
}

// part is one leaf of a message, as an independent reader sees it.
type part struct {
	path, kind, disposition, name, id, body string
}

func leaves(tb testing.TB, raw []byte) (mail.Header, []part) {
	tb.Helper()
	entity, err := gomessage.Read(bytes.NewReader(raw))
	if err != nil {
		tb.Fatal(err)
	}
	var parts []part
	err = entity.Walk(func(path []int, e *gomessage.Entity, err error) error {
		if err != nil {
			return err
		}
		kind, params, _ := e.Header.ContentType()
		if strings.HasPrefix(kind, "multipart/") {
			parts = append(parts, part{kind: kind, path: strings.Repeat(".", len(path))})
			return nil
		}
		body, err := io.ReadAll(e.Body)
		if err != nil {
			return err
		}
		disposition, more, _ := e.Header.ContentDisposition()
		name := more["filename"]
		if name == "" {
			name = params["name"]
		}
		name, err = new(mime.WordDecoder).DecodeHeader(name)
		parts = append(parts, part{strings.Repeat(".", len(path)), kind, disposition, name, e.Header.Get("Content-Id"), string(body)})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return mail.Header{Header: entity.Header}, parts
}

func TestNoticeOfEveryShape(t *testing.T) {
	t.Parallel()
	pdf := posthaste.NoticeFile{Name: "Rechnung für Zoë.pdf", ContentType: "application/pdf", Content: bytes.Repeat([]byte{0, 255, '\n', '.'}, 500)}
	logo := posthaste.NoticeFile{Name: "logo.png", ContentType: "image/png", ContentID: "logo@example", Content: []byte{0x89, 'P', 'N', 'G'}}
	for name, c := range map[string]struct {
		change func(*message.Notice)
		want   string
	}{
		"text only":           {func(n *message.Notice) { n.HTML = nil }, "text/plain"},
		"text and HTML":       {func(*message.Notice) {}, "multipart/alternative .text/plain .text/html"},
		"an attachment":       {func(n *message.Notice) { n.Files = []posthaste.NoticeFile{pdf} }, "multipart/mixed .multipart/alternative ..text/plain ..text/html .application/pdf"},
		"an image":            {func(n *message.Notice) { n.Files = []posthaste.NoticeFile{logo} }, "multipart/related .multipart/alternative ..text/plain ..text/html .image/png"},
		"both":                {func(n *message.Notice) { n.Files = []posthaste.NoticeFile{logo, pdf} }, "multipart/mixed .multipart/related ..multipart/alternative ...text/plain ...text/html ..image/png .application/pdf"},
		"text and attachment": {func(n *message.Notice) { n.HTML, n.Files = nil, []posthaste.NoticeFile{pdf} }, "multipart/mixed .text/plain .application/pdf"},
	} {
		n := notice(t)
		c.change(&n)
		raw, err := message.BuildNotice(n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, _ := message.BuildNotice(n)
		if !bytes.Equal(raw, again) {
			t.Errorf("%s: two attempts differ:\n%s\n%s", name, raw, again)
		}
		header, parts := leaves(t, raw)
		var shape []string
		for _, p := range parts {
			shape = append(shape, p.path+p.kind)
			want := map[string]string{"text/plain": "Text: 7 €\r\n.dot\r\n", "application/pdf": string(pdf.Content), "image/png": string(logo.Content)}[p.kind]
			if want != "" && p.body != want {
				t.Errorf("%s: %s has %q", name, p.kind, p.body)
			}
			if p.kind == "application/pdf" && (p.name != pdf.Name || p.disposition != "attachment") || p.kind == "image/png" && (p.id != "<logo@example>" || p.disposition != "inline") {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if got := strings.Join(shape, " "); got != c.want {
			t.Errorf("%s: shape %s, want %s", name, got, c.want)
		}
		if subject, _ := header.Subject(); subject != n.Subject || header.Get("Message-Id") != "<abc@example.com>" || header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%s: header %v", name, header)
		}
		for _, field := range []string{"List-Unsubscribe", "List-Id", "Precedence", "Feedback-Id"} {
			if header.Has(field) {
				t.Errorf("%s: a plain notice has %s", name, field)
			}
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n") || slices.ContainsFunc(line, func(b byte) bool { return b > 127 }) {
				t.Errorf("%s: line %q", name, line)
			}
		}
	}
}

func TestOptionalNoticeBearsOneClick(t *testing.T) {
	t.Parallel()
	n := notice(t)
	n.Unsubscribe, n.FeedbackID = "https://mail.example.com/u/TOKEN", "7:receipt:notice:example"
	raw, err := message.BuildNotice(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\r\nList-Unsubscribe: <https://mail.example.com/u/TOKEN>\r\n", "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "\r\nFeedback-ID: 7:receipt:notice:example\r\n"} {
		if bytes.Count(raw, []byte(want)) != 1 {
			t.Errorf("no %q in\n%s", want, raw)
		}
	}
}

func TestNoticeRefusesWhatCouldBeInjected(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*message.Notice){
		"subject":      func(n *message.Notice) { n.Subject = "a\r\nBcc: x@example.com" },
		"file name":    func(n *message.Notice) { n.Files = []posthaste.NoticeFile{{Name: "a\r\nX: y", ContentType: "a/b"}} },
		"no file name": func(n *message.Notice) { n.Files = []posthaste.NoticeFile{{ContentType: "a/b"}} },
		"file type": func(n *message.Notice) {
			n.Files = []posthaste.NoticeFile{{Name: "a", ContentType: "text/html\r\nX: y"}}
		},
		"parameter": func(n *message.Notice) { n.Files = []posthaste.NoticeFile{{Name: "a", ContentType: "text/html; a=b"}} },
		"content id": func(n *message.Notice) {
			n.Files = []posthaste.NoticeFile{{Name: "a", ContentType: "a/b", ContentID: "x>\r\nX: y"}}
		},
		"unsubscribe": func(n *message.Notice) { n.Unsubscribe = "http://mail.example.com/u/TOKEN" },
		"no text":     func(n *message.Notice) { n.Text = nil },
		"reply to":    func(n *message.Notice) { n.ReplyTo.Name = "x" },
	} {
		n := notice(t)
		change(&n)
		if _, err := message.BuildNotice(n); posthaste.FieldsOf(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
