package sink_test

import (
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"posthaste/internal/sink"
)

func listen(t *testing.T) *sink.Sink {
	t.Helper()
	s, err := sink.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func client(t *testing.T, addr string) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c *smtp.Client, to, message string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Mail("news@example.com"))
	must(c.Rcpt(to))
	w, err := c.Data()
	must(err)
	_, err = io.WriteString(w, message)
	must(err)
	must(w.Close())
}

func TestCounts(t *testing.T) {
	t.Parallel()
	s := listen(t)
	s.Watch("")
	c := client(t, s.Addr())
	if ok, _ := c.Extension("PIPELINING"); !ok {
		t.Error("PIPELINING is not offered")
	}
	long := strings.Repeat("x", 200_000) // longer than its buffer
	for _, to := range []string{"a@example.org", "b@example.org", "a@example.org"} {
		send(t, c, to, "Subject: x\r\n\r\n.\r\n..\r\n"+long+"\r\n")
	}
	if err := c.Mail("news@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("never@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if s.Count() != 3 || s.Recipients() != 4 {
		t.Errorf("%d messages, %d recipients, want 3 and 4", s.Count(), s.Recipients())
	}
	if times := s.Times(); times["a@example.org"] != 2 || times["b@example.org"] != 1 || len(times) != 2 {
		t.Errorf("times %v", times)
	}
}

func TestTakesPipelinedMessages(t *testing.T) {
	t.Parallel()
	s := listen(t)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	one := "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
	if _, err := conn.Write([]byte("EHLO x\r\n" + strings.Repeat(one, 100) + "QUIT\r\n")); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	if _, err := io.Copy(&all, conn); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(all.String(), "354 "); n != 100 || s.Count() != 100 || !strings.HasSuffix(all.String(), "bye\r\n") {
		t.Errorf("%d go-aheads, %d messages", n, s.Count())
	}
}

func TestListensWithoutATest(t *testing.T) {
	t.Parallel()
	s, err := sink.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, s.Addr())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Noop(); err == nil {
		t.Error("a closed sink answers")
	}
	if _, err := sink.Listen(t.Context(), "256.0.0.1:0"); err == nil {
		t.Error("listened on no address")
	}
}

// TestMessagesOfEverySplit cuts two messages at every octet: an end is found
// wherever a read ends, and only at an end.
func TestMessagesOfEverySplit(t *testing.T) {
	t.Parallel()
	const talk = "MAIL FROM:<a@x>\r\nRCPT TO:<stop@x>\r\nDATA\r\n.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n..\r\n.x\r\n\r\n.\r\nQUIT\r\n"
	for at := range len(talk) {
		s := listen(t)
		s.Watch("stop")
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for _, part := range []string{talk[:at], talk[at:]} {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if s.Count() != 2 || s.Times()["stop@x"] != 1 || len(s.Times()) != 1 || s.Named()["stop@x"].Before(begun) {
			t.Fatalf("cut at %d: %d messages, %v, %v", at, s.Count(), s.Times(), s.Named())
		}
	}
}
