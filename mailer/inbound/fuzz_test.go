package inbound_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"

	"posthaste/mailer/inbound"
)

// FuzzRead: whatever comes, a message is either refused in one short line or
// gives what can be stored and put into a header.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		message, nested(3),
		"X-Notice-Type: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png; name=\"=?utf-8?Q?=0D=00?=\"\r\nContent-ID: <a>\r\n\r\nx\r\n--b--\r\n",
		"X-Notice-Type: a\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\nContent-Type: text/html; charset=gb18030\r\nContent-Transfer-Encoding: base64\r\n\r\n/v7+\r\n",
		"X-Notice-Type: a\r\nX-Notice-Metadata: a=b\r\nX-Notice-Valid-Until: 2031-05-06T07:08:09Z\r\n\r\n",
		"\r\n\r\n", " \r\n", ":\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, refused := inbound.Read(raw)
		if refused != "" {
			code, _, _ := strings.Cut(refused, " ")
			if code != "550" && code != "554" || len(refused) > 512 || strings.Count(refused, "\n") != 1 {
				t.Fatalf("heard %q", refused)
			}
			return
		}
		if s.Type == "" {
			t.Fatal("no type")
		}
		for _, line := range []string{s.Type, s.Subject, s.Idempotency, s.ExternalID} {
			oneLine(t, line, 998)
		}
		for name, value := range s.Metadata {
			oneLine(t, name, 998)
			oneLine(t, value, 998)
		}
		for _, text := range []string{s.Text, s.HTML} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Fatalf("text %q", text)
			}
		}
		if len(s.Files) > 1000 {
			t.Fatalf("%d files", len(s.Files))
		}
		for _, file := range s.Files {
			oneLine(t, file.Name, 255)
			oneLine(t, file.ContentType, len(raw)+20)
			if file.Name == "" || strings.ContainsAny(file.Name, `/\`) || !strings.Contains(file.ContentType, "/") || strings.ContainsAny(file.ContentID, " <>\"\r\n") {
				t.Fatalf("file %q %q %q", file.Name, file.ContentType, file.ContentID)
			}
		}
	})
}

// FuzzDialogue: whatever a client says, it is answered in SMTP, and a message
// needs an end of its own to be taken.
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		"MAIL FROM:<a@b.example> SIZE=9\r\nRCPT TO:<\"a>\"@b.example>\r\nDATA\r\n" + message + ".\r\nQUIT\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<fox@example.org>\r\nDATA\r\n" + head + "a\n.\r\n\r\n.\n\r\r\n.\r\nRSET\r\nVRFY\r\n",
		"AUTH LOGIN\r\n*\r\nSTARTTLS\r\nNOOP\r\n", "HELO\r\nBDAT 3 LAST\r\nabc", "\n", "EHLO \x00\r\n",
	} {
		f.Add([]byte(seed))
	}
	var taken atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	log := &logBuffer{}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- inbound.New(keys{}, &counter{&taken}, inbound.Options{Timeout: patient, Log: slog.New(slog.NewTextHandler(log, nil))}).Serve(ctx, listener)
	}()
	f.Cleanup(func() {
		stop()
		<-done
	})
	line := regexp.MustCompile(`^[2-5][0-9][0-9][ -][ -~]*\r\n$`)
	f.Fuzz(func(t *testing.T, said []byte) {
		said = append([]byte("EHLO a\r\nAUTH PLAIN "+plain(goodKey)+"\r\n"), said...)
		before := taken.Load()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			_, _ = conn.Write(said)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		for in := bufio.NewReader(conn); ; {
			reply, err := in.ReadString('\n')
			if err != nil && reply == "" {
				break
			}
			if !line.MatchString(reply) || len(reply) > 512 {
				t.Fatalf("heard %q", reply)
			}
		}
		if got, ends := taken.Load()-before, bytes.Count(said, []byte("\r\n.\r\n")); got > int64(ends) {
			t.Fatalf("%d messages were taken, with %d ends", got, ends)
		}
		if logged := log.String(); logged != "" {
			t.Fatalf("logged %q", logged)
		}
	})
}

// counter counts what it is given.
type counter struct{ taken *atomic.Int64 }

func (c *counter) Submit(_ context.Context, s inbound.Submission) (string, error) {
	if len(s.To) == 0 || s.Type == "" || s.Key.ID != 7 {
		return "", errString("incomplete")
	}
	c.taken.Add(1)
	return "1", nil
}

func oneLine(t *testing.T, text string, limit int) {
	t.Helper()
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > limit {
		t.Fatalf("%q is no line", text)
	}
}
