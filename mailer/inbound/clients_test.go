package inbound_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	netsmtp "net/smtp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/wneessen/go-mail"

	"posthaste"
	"posthaste/mailer/inbound"
)

var png = []byte("\x89PNG\r\n\x1a\n\x00 not much of an image \xff")

// TestWholeMessage: all that an application can put into a message, written and
// sent by an independent library from another machine.
func TestWholeMessage(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []mail.SMTPAuthType{mail.SMTPAuthPlain, mail.SMTPAuthLogin} {
		t.Run(string(mechanism), func(t *testing.T) {
			t.Parallel()
			h := start(t, setup{far: true})
			letter := mail.NewMsg()
			for _, err := range []error{
				letter.FromFormat("Not Used", "ceo@example.com"),
				letter.To("fox@example.org", "jürgen@bücher.example"),
				letter.Cc("owl@example.org"),
				letter.Bcc("badger@example.org"),
				letter.AttachReader("Rechnung für März.pdf", strings.NewReader("%PDF-1.7\r\n\x00\xff"), mail.WithFileContentType("application/pdf")),
				letter.AttachReader("liste.csv", strings.NewReader("stra\xdfe;1\n"), mail.WithFileContentType("text/csv; charset=iso-8859-1")),
				letter.EmbedReader("logo.png", bytes.NewReader(png), mail.WithFileContentID("logo@app"), mail.WithFileContentType("image/png")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			letter.Subject("Ihre Bestellung über 12 € – schöne Grüße, und noch mehr Wörter, damit die Zeile umbrochen wird")
			letter.SetMessageIDWithValue("order-17@app.example.net")
			letter.SetGenHeader("X-Notice-Type", "receipt")
			letter.SetGenHeader("X-Notice-External-ID", "Bestellung №17")
			letter.SetGenHeader("X-Notice-Valid-Until", "2031-05-06T07:08:09+02:00")
			letter.SetGenHeader("X-Notice-Metadata", "shop=Köln")
			letter.SetBodyString(mail.TypeTextPlain, "Schöne Grüße!\n.\nNoch eine Zeile.\n")
			letter.AddAlternativeString(mail.TypeTextHTML, `<p>Schöne Grüße! <img src="cid:logo@app"></p>`)

			host, port := h.hostPort(t)
			client, err := mail.NewClient(host, mail.WithPort(port), mail.WithSMTPAuth(mechanism), mail.WithUsername("shop"), mail.WithPassword(goodKey),
				mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(&tls.Config{RootCAs: h.roots, ServerName: "127.0.0.1"}), mail.WithTimeout(patient))
			if err != nil {
				t.Fatal(err)
			}
			if err := client.DialAndSendWithContext(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
			want := inbound.Submission{
				Key:     posthaste.Key{ID: 7, Name: "shop", Scopes: []posthaste.Scope{posthaste.ReadNotices, posthaste.SendNotices}},
				Type:    "receipt",
				To:      []string{"fox@example.org", "jürgen@xn--bcher-kva.example", "owl@example.org", "badger@example.org"},
				Subject: "Ihre Bestellung über 12 € – schöne Grüße, und noch mehr Wörter, damit die Zeile umbrochen wird",
				Text:    "Schöne Grüße!\n.\nNoch eine Zeile.\n",
				HTML:    `<p>Schöne Grüße! <img src="cid:logo@app"></p>`,
				Files: []posthaste.NoticeFile{
					{Name: "logo.png", ContentType: "image/png", ContentID: "logo@app", Content: png},
					{Name: "Rechnung für März.pdf", ContentType: "application/pdf", Content: []byte("%PDF-1.7\r\n\x00\xff")},
					{Name: "liste.csv", ContentType: "text/csv; charset=iso-8859-1", Content: []byte("stra\xdfe;1\n")},
				},
				Idempotency: "order-17@app.example.net",
				ExternalID:  "Bestellung №17",
				ValidUntil:  time.Date(2031, 5, 6, 5, 8, 9, 0, time.UTC),
				Metadata:    map[string]string{"shop": "Köln"},
			}
			got := h.notices.only(t)
			got.ValidUntil = got.ValidUntil.UTC()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if logged := h.logged.String(); logged != "" {
				t.Errorf("logged %q", logged)
			}
		})
	}
}

// TestLargeMessage: 10 MB of files fit.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	h := start(t, setup{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
	letter := mail.NewMsg()
	for _, err := range []error{
		letter.From("app@example.net"), letter.To("fox@example.org"), letter.AttachReader("large.bin", bytes.NewReader(content)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	letter.SetGenHeader("X-Notice-Type", "receipt")
	letter.SetBodyString(mail.TypeTextPlain, "See the file.")
	host, port := h.hostPort(t)
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc), mail.WithUsername("shop"),
		mail.WithPassword(goodKey), mail.WithTLSPolicy(mail.NoTLS), mail.WithTimeout(patient))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.DialAndSendWithContext(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if files := h.notices.only(t).Files; len(files) != 1 || !bytes.Equal(files[0].Content, content) {
		t.Error("the file did not arrive as it was sent")
	}
}

// TestStandardClient: net/smtp, which asks for STARTTLS where it is offered.
func TestStandardClient(t *testing.T) {
	t.Parallel()
	h := start(t, setup{far: true})
	host, _ := h.hostPort(t)
	c, err := netsmtp.Dial(h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = errors.Join(
		c.StartTLS(&tls.Config{RootCAs: h.roots, ServerName: host}),
		c.Auth(netsmtp.PlainAuth("", "x", goodKey, host)),
		c.Mail("app@example.net"),
		c.Rcpt("fox@example.org"),
	)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "X-Notice-Type: receipt\n\n.Hello\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	if got := h.notices.only(t); got.Text != ".Hello\n" || got.Idempotency != "" || got.Files != nil {
		t.Errorf("submitted %+v", got)
	}
}

// TestStrictClient: go-smtp, which checks what is offered and each reply's code.
func TestStrictClient(t *testing.T) {
	t.Parallel()
	h := start(t, setup{far: true})
	c, err := smtp.DialStartTLS(h.addr, &tls.Config{RootCAs: h.roots, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, want := range map[string]bool{"CHUNKING": false, "PIPELINING": true, "SMTPUTF8": true, "8BITMIME": true, "ENHANCEDSTATUSCODES": true, "AUTH": true, "STARTTLS": false} {
		if has, _ := c.Extension(name); has != want {
			t.Errorf("offers %s: %v", name, has)
		}
	}
	if size, known := c.MaxMessageSize(); !known || size != 14<<20 {
		t.Errorf("SIZE %d", size)
	}
	err = errors.Join(
		c.Auth(sasl.NewPlainClient("", "x", goodKey)),
		c.Mail("app@example.net", &smtp.MailOptions{UTF8: true, Size: 100}),
		c.Rcpt("füchsin@example.org", nil),
	)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "X-Notice-Type: receipt\r\nSubject: Grüße\r\n\r\nHello\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := w.CloseWithResponse(); err != nil || answer.StatusText != "2.6.0 notice-1 queued" {
		t.Errorf("answer %+v, %v", answer, err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	if got := h.notices.only(t); got.To[0] != "füchsin@example.org" || got.Subject != "Grüße" {
		t.Errorf("submitted %+v", got)
	}
}

func (h *house) hostPort(t *testing.T) (string, int) {
	t.Helper()
	host, text, err := net.SplitHostPort(h.addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}
