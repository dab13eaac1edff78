package inbound_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/mailer/inbound"
)

// lines joins lines as they go over the wire.
func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

func TestReadHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []string
		want inbound.Submission // Type is "receipt" where it is empty
	}{
		{"folded and encoded subject", []string{"Subject: =?UTF-8?Q?Sch=C3=B6ne_?=", " =?utf-8?b?R3LDvMOfZQ==?= und", "\tmehr"}, inbound.Submission{Subject: "Schöne Grüße und mehr"}},
		{"latin subject", []string{"Subject: =?ISO-8859-15?Q?5_=A4?="}, inbound.Submission{Subject: "5 €"}},
		{"japanese subject", []string{"Subject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?="}, inbound.Submission{Subject: "日本"}},
		{"broken encoding is text", []string{"Subject: =?UTF-8?X?abc?= =?"}, inbound.Submission{Subject: "=?UTF-8?X?abc?= =?"}},
		{"tab in subject", []string{"Subject: a\tb"}, inbound.Submission{Subject: "a b"}},
		{"any case", []string{"x-notice-external-id: 17", "MESSAGE-ID:<a@b>", "SUBJECT : s"}, inbound.Submission{ExternalID: "17", Idempotency: "a@b", Subject: "s"}},
		{"message-id without brackets", []string{"Message-ID: abc"}, inbound.Submission{Idempotency: "abc"}},
		{"valid until", []string{"X-Notice-Valid-Until: 2031-05-06T07:08:09Z"}, inbound.Submission{ValidUntil: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)}},
		{"metadata", []string{"X-Notice-Metadata: a=1", "X-Notice-Metadata: b = x = y ", "X-Notice-Metadata: c="},
			inbound.Submission{Metadata: map[string]string{"a": "1", "b": "x = y", "c": ""}}},
		{"what means nothing", []string{"From: a", "To: b@example.org", "Bcc: c@example.org", "Received: x", "Received: y", "Return-Path: <>"}, inbound.Submission{}},
		{"all at once", []string{"Subject: s", "X-Notice-External-ID: e"}, inbound.Submission{Subject: "s", ExternalID: "e"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Type = "receipt"
			got, refused := inbound.Read([]byte(lines(append(tt.in, "X-Notice-Type: receipt", "")...)))
			if refused != "" {
				t.Fatalf("refused: %s", refused)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	const kind = "X-Notice-Type: receipt"
	tests := []struct {
		name string
		in   string
		want string
	}{
		{"no type", lines("Subject: x", ""), "550 5.6.0 the header X-Notice-Type is missing: it names the notice type"},
		{"type in the body", lines("Subject: x", "", kind), "550 5.6.0 the header X-Notice-Type is missing"},
		{"two types", lines(kind, "X-Notice-Type: receipt", ""), "550 5.6.0 the header X-Notice-Type stands there more than once"},
		{"empty type", lines("X-Notice-Type: ", ""), "550 5.6.0 the header X-Notice-Type is empty"},
		{"two subjects", lines(kind, "Subject: a", "Subject: b", ""), "554 5.6.0 the header Subject stands there more than once"},
		{"two message-ids", lines(kind, "Message-ID: <a>", "Message-ID: <b>", ""), "554 5.6.0 the header Message-ID"},
		{"line end in the subject", lines(kind, "Subject: =?utf-8?Q?a=0D=0ABcc:_fox@example.org?=", ""), "554 5.6.0 the header Subject holds control characters"},
		{"NUL in the type", lines("X-Notice-Type: =?utf-8?Q?a=00?=", ""), "554 5.6.0 the header X-Notice-Type holds control characters"},
		{"subject in no known set", lines(kind, "Subject: =?klingon?Q?a?=", ""), "554 5.6.0 the header Subject is not in a known character set"},
		{"subject is not UTF-8", lines(kind, "Subject: Gr\xfc\xdfe", ""), "554 5.6.0 the header Subject is not"},
		{"long subject", lines(kind, "Subject: "+strings.Repeat("a", 999), ""), "554 5.6.0 the header Subject is longer"},
		{"no time", lines(kind, "X-Notice-Valid-Until: tomorrow", ""), "554 5.6.0 the header X-Notice-Valid-Until must be a time such as"},
		{"metadata without =", lines(kind, "X-Notice-Metadata: a", ""), "554 5.6.0 the header X-Notice-Metadata"},
		{"metadata without a name", lines(kind, "X-Notice-Metadata: =a", ""), "554 5.6.0 the header X-Notice-Metadata"},
		{"metadata twice", lines(kind, "X-Notice-Metadata: a=1", "X-Notice-Metadata: a=2", ""), "554 5.6.0 the header X-Notice-Metadata"},
		{"no field", lines(kind, "no field", ""), "554 5.6.0 the header cannot be read"},
		{"begins with a space", lines(" x", kind, ""), "554 5.6.0 the header cannot be read"},
		{"endless header", lines(kind) + strings.Repeat("X: y\r\n", 30000), "554 5.6.0 the header is longer than 128 KiB"},
		{"broken type", lines(kind, "Content-Type: text/", "", "x"), "554 5.6.0 a part has a Content-Type that cannot be read"},
		{"two content types", lines(kind, "Content-Type: text/plain", "Content-Type: text/html", "", "x"), "554 5.6.0 a part has more than one Content-Type"},
		{"unknown set", lines(kind, "Content-Type: text/plain; charset=klingon", "", "x"), "554 5.6.0 a text is in a character set that is not known"},
		{"unknown encoding", lines(kind, "Content-Transfer-Encoding: uuencode", "", "x"), "554 5.6.0 a part has a Content-Transfer-Encoding"},
		{"other set than said", lines(kind, "Content-Type: text/plain; charset=utf-8", "", "Gr\xfc\xdfe"), "554 5.6.0 a text is not in the character set"},
		{"NUL", lines(kind, "", "a\x00b"), "554 5.6.0 a text holds NUL"},
		{"broken base64", lines(kind, "Content-Transfer-Encoding: base64", "", "a?"), "554 5.6.0 a part cannot be decoded"},
		{"base64 cut short", lines(kind, "Content-Transfer-Encoding: base64", "", "SGVsbG8"), "554 5.6.0 a part cannot be decoded"},
		{"no boundary", lines(kind, "Content-Type: multipart/mixed", "", "x"), "554 5.6.0 a multipart names no boundary"},
		{"no part", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "x"), "554 5.6.0 a multipart is malformed or has no end"},
		{"no end", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "x"), "554 5.6.0 a part cannot be decoded or is cut short"},
		{"no end after a part", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "x", "--b"), "554 5.6.0 a part cannot be decoded or is cut short"},
		{"no end of a header", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "x", "--b", "Content-Type: text/html"), "554 5.6.0 a part cannot be decoded or is cut short"},
		{"no end of the inner one", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: multipart/mixed; boundary=c", "", "--c", "", "x", "--c", "--b--"), "554 5.6.0 a part cannot be decoded or is cut short"},
		{"header in a part", lines(kind, "Content-Type: multipart/mixed; boundary=b", "", "--b", "fox@example.org", "", "x", "--b--"), "554 5.6.0 a multipart is malformed"},
		{"21 levels", nested(21), "554 5.6.0 the parts of the message are nested deeper than 20 levels"},
		{"10,000 levels", nested(10_000), "554 5.6.0 the parts of the message are nested deeper than 20 levels"},
		{"1,001 parts", lines(kind, "Content-Type: multipart/mixed; boundary=b", "") + strings.Repeat("--b\r\n\r\nx\r\n", 1000) + "--b--\r\n", "554 5.6.0 the message has more than 1,000 parts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, refused := inbound.Read([]byte(tt.in))
			if !strings.HasPrefix(refused, tt.want) {
				t.Errorf("heard %q, want %q", refused, tt.want)
			}
			if strings.Contains(refused, "fox") || len(refused) > 512 {
				t.Errorf("heard %q", refused)
			}
			if diff := cmp.Diff(inbound.Submission{}, got); diff != "" {
				t.Errorf("beside the refusal: %s", diff)
			}
		})
	}
}

// nested is a text in as many multiparts.
func nested(levels int) string {
	var text strings.Builder
	text.WriteString("X-Notice-Type: receipt\r\n")
	for i := range levels {
		fmt.Fprintf(&text, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	text.WriteString("\r\ndeep\r\n")
	for i := levels - 1; i >= 0; i-- {
		fmt.Fprintf(&text, "--b%d--\r\n", i)
	}
	return text.String()
}

func TestReadDeep(t *testing.T) {
	t.Parallel()
	got, refused := inbound.Read([]byte(nested(20)))
	if refused != "" || got.Text != "deep" {
		t.Errorf("text %q, refused %q", got.Text, refused)
	}
	many := lines("X-Notice-Type: receipt", "Content-Type: multipart/mixed; boundary=b", "") + strings.Repeat("--b\r\n\r\nx\r\n", 999) + "--b--\r\n"
	if got, refused = inbound.Read([]byte(many)); refused != "" || len(got.Files) != 998 {
		t.Errorf("%d files, refused %q", len(got.Files), refused)
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	file := func(name, kind, content string) posthaste.NoticeFile {
		return posthaste.NoticeFile{Name: name, ContentType: kind, Content: []byte(content)}
	}
	image := func(id string) posthaste.NoticeFile {
		return posthaste.NoticeFile{Name: "a.png", ContentType: "image/png", ContentID: id, Content: []byte("x")}
	}
	mixed := func(parts ...string) string {
		return lines("Content-Type: multipart/mixed; boundary=b", "") + "--b\r\n" + strings.Join(parts, "--b\r\n") + "--b--\r\n"
	}
	html := lines("Content-Type: text/html", "", `<img src="cid:a@b">`)
	const htmlText = `<img src="cid:a@b">`
	tests := []struct {
		name string
		in   string
		want inbound.Submission
	}{
		{"plain", lines("", "Hello"), inbound.Submission{Text: "Hello\n"}},
		{"only HTML", lines("Content-Type: TEXT/HTML; charset=\"UTF-8\"", "", "<p>Hällo"), inbound.Submission{HTML: "<p>Hällo\n"}},
		{"quoted-printable", lines("Content-Transfer-Encoding: Quoted-Printable", "", "Gr=C3=BC=", "=C3=9Fe"), inbound.Submission{Text: "Grüße\n"}},
		{"base64", lines("Content-Transfer-Encoding: base64", "", "R3LDvM", "OfZQ=="), inbound.Submission{Text: "Grüße"}},
		{"latin", lines("Content-Type: text/plain; charset=iso-8859-15", "", "5 \xa4"), inbound.Submission{Text: "5 €\n"}},
		{"windows", lines("Content-Type: text/plain; charset=windows-1252", "Content-Transfer-Encoding: quoted-printable", "", "=80"), inbound.Submission{Text: "€\n"}},
		{"parameter that cannot be read", lines("Content-Type: text/html; charset", "", "Hello"), inbound.Submission{HTML: "Hello\n"}},
		{"alternative", lines("Content-Type: multipart/alternative; boundary=\"a b\"", "", "preamble", "--a b", "", "Hello", "--a b") + html + "--a b--\r\nepilogue\r\n",
			inbound.Submission{Text: "Hello", HTML: htmlText}},
		{"empty parts", mixed("\r\n\r\n", lines("Content-Type: text/html", "", "")), inbound.Submission{}},
		{"second text", mixed(lines("", "one"), lines("", "two"), lines("Content-Type: text/html", "", "three"), lines("Content-Type: text/html", "", "four")),
			inbound.Submission{Text: "one", HTML: "three", Files: []posthaste.NoticeFile{file("part-3.txt", "text/plain", "two"), file("part-5.html", "text/html", "four")}}},
		{"attached text", mixed(lines("Content-Disposition: attachment; filename=a.txt", "", "one"), lines("", "two")),
			inbound.Submission{Text: "two", Files: []posthaste.NoticeFile{file("a.txt", "text/plain", "one")}}},
		{"named text", mixed(lines("Content-Disposition: inline; filename=a.txt", "", "one"), lines("", "two")),
			inbound.Submission{Text: "two", Files: []posthaste.NoticeFile{file("a.txt", "text/plain", "one")}}},
		{"attached message", mixed(lines("Content-Type: message/rfc822", "", "Subject: x", "", "y")),
			inbound.Submission{Files: []posthaste.NoticeFile{file("part-2.eml", "message/rfc822", "Subject: x\r\n\r\ny")}}},
		{"file as it is", mixed(lines("Content-Type: text/csv; charset=latin1; name=a.csv", "", "\xfc")),
			inbound.Submission{Files: []posthaste.NoticeFile{file("a.csv", "text/csv; charset=latin1", "\xfc")}}},
		{"file of no type", mixed(lines("Content-Type: jpeg", "", "x")), inbound.Submission{Files: []posthaste.NoticeFile{file("part-2", "application/octet-stream", "x")}}},
		{"name of RFC 2231", mixed(lines("Content-Disposition: attachment; filename*=UTF-8''%C3%BC.pdf", "Content-Type: application/pdf", "", "x")),
			inbound.Submission{Files: []posthaste.NoticeFile{file("ü.pdf", "application/pdf", "x")}}},
		{"name of RFC 2047", mixed(lines("Content-Type: application/pdf; name=\"=?utf-8?Q?=C3=BC?=.pdf\"", "", "x")),
			inbound.Submission{Files: []posthaste.NoticeFile{file("ü.pdf", "application/pdf", "x")}}},
		{"name with a path", mixed(lines("Content-Type: application/pdf; name=\"../../etc/\u202ea.pdf\"", "", "x"), lines("Content-Type: application/pdf; name=\"C:\\\\x\\\\..\"", "", "x")),
			inbound.Submission{Files: []posthaste.NoticeFile{file("a.pdf", "application/pdf", "x"), file("part-3", "application/pdf", "x")}}},
		{"inline image", mixed(html, lines("Content-Type: image/png; name=a.png", "Content-ID: <a@b>", "", "x")), inbound.Submission{HTML: htmlText, Files: []posthaste.NoticeFile{image("a@b")}}},
		{"attached image that is shown", mixed(lines("Content-Type: image/png", "Content-ID: <a@b>", "Content-Disposition: attachment; filename=a.png", "", "x"), html),
			inbound.Submission{HTML: htmlText, Files: []posthaste.NoticeFile{image("a@b")}}},
		{"attached image that is not shown", mixed(html, lines("Content-Type: image/png", "Content-ID: <c@b>", "Content-Disposition: attachment; filename=a.png", "", "x")),
			inbound.Submission{HTML: htmlText, Files: []posthaste.NoticeFile{image("")}}},
		{"odd Content-ID", mixed(html, lines("Content-Type: image/png; name=a.png", "Content-ID: <a\"onload=@b>", "", "x")), inbound.Submission{HTML: htmlText, Files: []posthaste.NoticeFile{image("")}}},
		{"file with a Content-ID", mixed(lines("Content-Type: application/pdf; name=a.pdf", "Content-ID: <a@b>", "", "x")), inbound.Submission{Files: []posthaste.NoticeFile{file("a.pdf", "application/pdf", "x")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Type = "receipt"
			got, refused := inbound.Read([]byte("X-Notice-Type: receipt\r\n" + tt.in))
			if refused != "" {
				t.Fatalf("refused: %s", refused)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
