package smtpclient_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

// stream is a Source that notes in which order it is asked.
type stream struct {
	items    []*relay.Item
	forbid   int // the message, from 1, that may not go
	events   []string
	answers  []relay.Answer
	given    int
	answered int
}

// newStream has n messages to readers r1, r2 ….
func newStream(n int) *stream {
	s := &stream{}
	for i := range n {
		e := envelope
		e.To = fmt.Sprintf("r%d@example.org", i+1)
		e.Begun = func() { s.events = append(s.events, fmt.Sprintf("begun %d", i+1)) }
		s.items = append(s.items, &relay.Item{Envelope: e, Message: slices.Clone(message), Wired: true})
	}
	return s
}

func (s *stream) Next() *relay.Item {
	if s.given == len(s.items) {
		s.events = append(s.events, "end")
		return nil
	}
	s.given++
	s.events = append(s.events, fmt.Sprintf("next %d", s.given))
	return s.items[s.given-1]
}

func (s *stream) Permit() bool {
	s.events = append(s.events, fmt.Sprintf("permit %d", s.answered+1))
	return s.forbid != s.answered+1
}

func (s *stream) Answered(a relay.Answer) {
	s.answered++
	s.events = append(s.events, fmt.Sprintf("answered %d", s.answered))
	s.answers = append(s.answers, a)
}

// codes are the answers in short: the code, or what else there is.
func (s *stream) codes() (codes []string) {
	for _, a := range s.answers {
		switch {
		case a.Unknown:
			codes = append(codes, "unknown")
		case a.Reply.Code == 0:
			codes = append(codes, "lost at "+string(a.Reply.Stage))
		default:
			codes = append(codes, fmt.Sprint(a.Reply.Code))
		}
	}
	return codes
}

// TestTheNextEnvelopeGoesWithTheDot: a server that answers no dot before it has
// the next MAIL, RCPT and DATA is served all the same, and all is in order.
func TestTheNextEnvelopeGoesWithTheDot(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const count = 5
	seen := make(chan []string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
		var lines []string
		read := func() string {
			line, _ := r.ReadString('\n')
			lines = append(lines, strings.TrimSpace(line))
			return lines[len(lines)-1]
		}
		say("220 hello")
		read()
		say("250-hello\r\n250 PIPELINING")
		for range 3 {
			read()
		}
		say("250 ok\r\n250 ok\r\n354 go")
		for n := 1; n <= count; n++ {
			for read() != "." {
			}
			if n < count {
				for range 3 { // before the answer to the dot
					read()
				}
				say("250 taken\r\n250 ok\r\n250 ok\r\n354 go")
			}
		}
		say("250 taken")
		seen <- lines
		_, _ = io.Copy(io.Discard, conn)
	}()
	s := newStream(count)
	dial(t, dialer(t, "smtp://"+listener.Addr().String(), smtpclient.Options{})).Send(context.Background(), s)
	if want := slices.Repeat([]string{"250"}, count); !slices.Equal(s.codes(), want) {
		t.Errorf("answers %v, want %v", s.codes(), want)
	}
	want := []string{"next 1", "begun 1", "next 2", "permit 1", "begun 2", "begun 1", "answered 1", "next 3", "permit 2"}
	if diff := cmp.Diff(want, s.events[:len(want)]); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	var to []string
	for _, line := range <-seen {
		if strings.HasPrefix(line, "RCPT") {
			to = append(to, line)
		}
	}
	if len(to) != count || to[count-1] != "RCPT TO:<r5@example.org>" {
		t.Errorf("recipients %v", to)
	}
}

// TestFaultsInAStream: what each fault of the second message does to the three
// around it. A message whose predecessor's fate is unknown has not gone.
func TestFaultsInAStream(t *testing.T) {
	t.Parallel()
	say, drop := testkit.Say, testkit.Drop()
	for _, tt := range []struct {
		name  string
		steps []testkit.Step
		want  []string
		taken int // messages that the server has whole
	}{
		{"none", nil, []string{"250", "250", "250", "250"}, 4},
		{"4xx to the dot", []testkit.Step{testkit.Nth(2, testkit.Dot, say("451 4.3.0 later"))}, []string{"250", "451", "250", "250"}, 4},
		{"5xx to the dot", []testkit.Step{testkit.Nth(2, testkit.Dot, say("554 5.7.1 no"))}, []string{"250", "554", "250", "250"}, 4},
		{"421 to the dot", []testkit.Step{testkit.Nth(2, testkit.Dot, testkit.SayAndDrop("421 4.3.2 bye"))}, []string{"250", "421", "lost at mail"}, 2},
		{"taken, then gone", []testkit.Step{testkit.Nth(2, testkit.Dot, testkit.SayAndDrop("250 2.0.0 ok"))}, []string{"250", "250", "lost at mail"}, 2},
		{"drop after the dot", []testkit.Step{testkit.Nth(2, testkit.Dot, drop)}, []string{"250", "unknown", "lost at mail"}, 2},
		{"sense and nonsense after the dot", []testkit.Step{testkit.Nth(2, testkit.Dot, say("354 what"))}, []string{"250", "unknown", "lost at mail"}, 2},
		{"RCPT refused", []testkit.Step{testkit.Nth(2, testkit.RCPT, say("550 5.1.1 no such user"))}, []string{"250", "550", "250", "250"}, 4}, // one is empty, for nobody
		{"RCPT and DATA refused", []testkit.Step{testkit.Nth(2, testkit.RCPT, say("550 5.1.1 no such user")),
			testkit.Nth(2, testkit.DATA, say("503 5.5.1 no recipient"))}, []string{"250", "550", "250", "250"}, 3},
		{"MAIL refused", []testkit.Step{testkit.Nth(2, testkit.MAIL, say("451 4.7.1 slow down")), testkit.Nth(2, testkit.RCPT, say("503 5.5.1 no sender")),
			testkit.Nth(2, testkit.DATA, say("503 5.5.1 no sender"))}, []string{"250", "451", "250", "250"}, 3},
		{"421 to MAIL", []testkit.Step{testkit.Nth(2, testkit.MAIL, testkit.SayAndDrop("421 4.7.0 too many"))}, []string{"250", "421"}, 1},
		{"drop at MAIL", []testkit.Step{testkit.Nth(2, testkit.MAIL, drop)}, []string{"250", "lost at mail"}, 1},
		{"drop at RCPT", []testkit.Step{testkit.Nth(2, testkit.RCPT, drop)}, []string{"250", "lost at rcpt"}, 1},
		{"drop at DATA", []testkit.Step{testkit.Nth(2, testkit.DATA, drop)}, []string{"250", "lost at data"}, 1},
		{"DATA refused", []testkit.Step{testkit.Nth(2, testkit.DATA, say("451 4.3.0 later"))}, []string{"250", "451", "250", "250"}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, append(tt.steps, pipelined)...)
			s := newStream(4)
			dial(t, dialer(t, script.URL(), smtpclient.Options{})).Send(context.Background(), s)
			if !slices.Equal(s.codes(), tt.want) {
				t.Errorf("answers %v, want %v", s.codes(), tt.want)
			}
			if n := len(script.Messages()); n != tt.taken {
				t.Errorf("the server has %d messages, want %d", n, tt.taken)
			}
			if s.given != s.answered {
				t.Errorf("%d given, %d answered", s.given, s.answered)
			}
			for i, a := range s.answers { // nothing goes while the one before is not answered
				permit, before := slices.Index(s.events, fmt.Sprintf("permit %d", i+1)), slices.Index(s.events, fmt.Sprintf("answered %d", i))
				if i > 0 && permit >= 0 && permit < before {
					t.Errorf("message %d went before its predecessor was answered: %v", i+1, s.events)
				}
				if a.Reply.Stage == posthaste.AtMail && permit >= 0 {
					t.Errorf("message %d was lost at MAIL, and had gone: %v", i+1, s.events)
				}
				if begun := slices.Index(s.events, fmt.Sprintf("begun %d", i+1)); begun < 0 || begun > slices.Index(s.events, fmt.Sprintf("answered %d", i+1)) {
					t.Errorf("message %d was answered and had not begun: %v", i+1, s.events)
				}
			}
		})
	}
}

// TestStreamOfEveryKind: without PIPELINING, under TLS, a message too large to
// be combined with what follows, one that cannot be carried, one that is not
// wired, and one that may not go.
func TestStreamOfEveryKind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		offer  testkit.Step
		change func(*stream)
		want   []string
	}{
		{"serial", serial, func(*stream) {}, []string{"250", "250", "250"}},
		{"STARTTLS", testkit.Offer("PIPELINING", "STARTTLS"), func(*stream) {}, []string{"250", "250", "250"}},
		{"large", pipelined, func(s *stream) {
			s.items[1].Message = slices.Concat(message, []byte(strings.Repeat("more\r\n", 100_000)))
		}, []string{"250", "250", "250"}},
		{"not to be carried", pipelined, func(s *stream) { s.items[1].To = "füchsin@example.org" }, []string{"250", "553", "250"}},
		{"not wired", pipelined, func(s *stream) { s.items[1].Wired, s.items[1].Message = false, []byte("A: b\n\n.\nc") }, []string{"250", "250", "250"}},
		{"may not go", pipelined, func(s *stream) { s.forbid = 2 }, []string{"250", "lost at data", "lost at mail"}},
		{"the first may not go", serial, func(s *stream) { s.forbid = 1 }, []string{"lost at data"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, tt.offer)
			s := newStream(3)
			tt.change(s)
			want := [][]byte{}
			for i, code := range tt.want {
				if code == "250" {
					want = append(want, slices.Clone(s.items[i].Message))
				}
			}
			dial(t, dialer(t, script.URL(), smtpclient.Options{Roots: script.Roots()})).Send(context.Background(), s)
			if !slices.Equal(s.codes(), tt.want) {
				t.Errorf("answers %v, want %v", s.codes(), tt.want)
			}
			if n := len(script.Messages()); n != len(want) {
				t.Fatalf("the server has %d messages, want %d", n, len(want))
			}
			for i, m := range script.Messages() {
				if got := string(m.Data); tt.name != "not wired" && got != string(want[i]) {
					t.Errorf("message %d is %.80q, want %.80q", i+1, got, want[i])
				} else if tt.name == "not wired" && i == 1 && got != "A: b\r\n\r\n..\r\nc\r\n" {
					t.Errorf("message 2 is %q", got)
				}
			}
		})
	}
}
