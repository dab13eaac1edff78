package smtpclient_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

// What a server offers decides how the envelope goes: a command at a time, or all at once.
var (
	serial    = testkit.Offer("8BITMIME", "ENHANCEDSTATUSCODES")
	pipelined = testkit.Offer("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING")
)

// Every phase × every way to fail, and after each the next message.
func TestEveryPhaseFailsInEveryWay(t *testing.T) {
	t.Parallel()
	stalling := func(change func(*smtpclient.Timeouts)) smtpclient.Timeouts {
		limits := patience
		change(&limits)
		return limits
	}
	phases := []struct {
		at    testkit.Phase
		stage posthaste.Stage
		limit smtpclient.Timeouts // for a stall
	}{
		{testkit.MAIL, posthaste.AtMail, stalling(func(l *smtpclient.Timeouts) { l.Command = short })},
		{testkit.RCPT, posthaste.AtRcpt, stalling(func(l *smtpclient.Timeouts) { l.Command = short })},
		{testkit.DATA, posthaste.AtData, stalling(func(l *smtpclient.Timeouts) { l.Command = short })},
		{testkit.Dot, posthaste.AtDot, stalling(func(l *smtpclient.Timeouts) { l.Dot = short })},
	}
	for _, p := range phases {
		afterDot := p.at == testkit.Dot
		ways := []struct {
			name string
			do   testkit.Behaviour
			want relay.Answer
		}{
			{"4xx", testkit.Say("451 4.3.0 later"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Code: 451, Enhanced: "4.3.0", Text: "later"}}},
			{"5xx", testkit.Say("554-5.7.1 no", "554 5.7.1 way"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Code: 554, Enhanced: "5.7.1", Text: "no way"}}},
			{"bare lines", testkit.Raw("\r\n550-\r\n550-no\r\n550\r\n"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Code: 550, Text: "no"}}},
			{"421 and open", testkit.Say("421 4.3.2 closing"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Code: 421, Enhanced: "4.3.2", Text: "closing"}, Lost: true}},
			{"421 and gone", testkit.SayAndDrop("421 4.3.2 closing"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Code: 421, Enhanced: "4.3.2", Text: "closing"}, Lost: true}},
			{"stall", testkit.Stall(), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Text: "no answer within 400ms"}, Lost: true, Unknown: afterDot}},
			{"drop", testkit.Drop(), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Text: "the next hop closed the connection"}, Lost: true, Unknown: afterDot}},
			{"out of order", testkit.Say("334 what"), relay.Answer{Reply: posthaste.Reply{Stage: p.stage, Text: "the next hop answered out of order"}, Lost: true, Unknown: afterDot}},
		}
		for _, w := range ways {
			for how, offer := range map[string]testkit.Step{"serial": serial, "pipelined": pipelined} {
				t.Run(string(p.at)+" "+w.name+" "+how, func(t *testing.T) {
					t.Parallel()
					script := testkit.NewScript(t, testkit.Nth(1, p.at, w.do), offer)
					limits := patience
					if w.name == "stall" {
						limits = p.limit
					}
					conn := dial(t, dialer(t, script.URL(), smtpclient.Options{Timeouts: limits}))
					got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message})
					if diff := cmp.Diff(w.want, got); diff != "" {
						t.Errorf("answer (-want +got):\n%s", diff)
					}
					if got.Accepted() {
						t.Error("accepted")
					}
					next := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message})
					if next.Accepted() == got.Lost {
						t.Errorf("next message after %+v: %+v", got, next)
					}
				})
			}
		}
	}
}

func TestRefusalsAreResetBeforeTheNextMessage(t *testing.T) {
	t.Parallel()
	// Arrivals count per phase: the third message is the second to reach DATA.
	script := testkit.NewScript(t, serial,
		testkit.Nth(1, testkit.RCPT, testkit.Say("550 5.1.1 no such user")),
		testkit.Nth(2, testkit.DATA, testkit.Say("451 4.3.0 later")),
		testkit.Nth(4, testkit.MAIL, testkit.Say("451 4.3.0 later")),
	)
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
	var accepted []bool
	for range 5 {
		accepted = append(accepted, relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message}).Accepted())
	}
	if want := []bool{false, true, false, false, true}; !slices.Equal(accepted, want) {
		t.Errorf("accepted: %v, want %v", accepted, want)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	mail, rcpt := "MAIL FROM:<"+envelope.From+">", "RCPT TO:<"+envelope.To+">"
	want := []string{
		mail, rcpt, "RSET",
		mail, rcpt, "DATA",
		mail, rcpt, "DATA", "RSET",
		mail, // refused: no transaction to reset
		mail, rcpt, "DATA",
		"QUIT",
	}
	if diff := cmp.Diff(want, script.Commands()[1:]); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if n := script.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestResetThatFailsLosesTheConnection(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t,
		testkit.At(testkit.RCPT, testkit.Say("550 5.1.1 no such user")), testkit.At(testkit.RSET, testkit.Drop()))
	got := send(t, script, patience)
	if got.Reply.Code != 550 || !got.Lost || got.Unknown {
		t.Errorf("answer %+v, want the 550 and a lost connection", got)
	}
}

func TestCloseAfterManyMessagesIsNoBounce(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, testkit.Nth(2, testkit.Dot, testkit.SayAndDrop("250 2.0.0 ok")))
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
	for i, want := range []bool{true, true, false} {
		got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message})
		if got.Accepted() != want {
			t.Errorf("message %d: %+v", i+1, got)
		}
		if !want && (!got.Lost || got.Unknown || got.Reply.Code != 0 || got.Reply.Stage != posthaste.AtMail) {
			t.Errorf("after the close: %+v", got)
		}
	}
}

// big is more than the socket buffers of both sides hold, so that writing it
// fails before the dot is reached.
var big = slices.Concat(message, []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 400_000)))

func TestFaultsAmidTheMessageAreNotUnknown(t *testing.T) {
	t.Parallel()
	slow := patience
	slow.Data = short
	for _, tt := range []struct {
		name   string
		do     testkit.Behaviour
		limits smtpclient.Timeouts
	}{
		{"drop", testkit.Drop(), patience},
		{"stop reading", testkit.Freeze(), slow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, testkit.At(testkit.Body, tt.do))
			conn := dial(t, dialer(t, script.URL(), smtpclient.Options{Timeouts: tt.limits}))
			got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: big})
			if got.Unknown || !got.Lost || got.Reply.Code != 0 || got.Reply.Stage != posthaste.AtData {
				t.Errorf("answer %+v", got)
			}
		})
	}
}

func TestContextEndsTheDialogue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at      testkit.Phase
		stage   posthaste.Stage
		unknown bool
	}{
		{testkit.MAIL, posthaste.AtMail, false},
		{testkit.RCPT, posthaste.AtRcpt, false},
		{testkit.DATA, posthaste.AtData, false},
		{testkit.Dot, posthaste.AtDot, true},
	} {
		t.Run(string(tt.at), func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, serial, testkit.At(tt.at, testkit.Stall())) // in a pipeline, answers may be there unread
			conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				_ = script.Arrived(context.Background(), tt.at)
				cancel()
			}()
			want := relay.Answer{Reply: posthaste.Reply{Stage: tt.stage, Text: "stopped by us"}, Lost: true, Unknown: tt.unknown}
			if diff := cmp.Diff(want, relay.SendOne(ctx, conn, relay.Item{Envelope: envelope, Message: message})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsSentUnderAnEndedContext(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{})
	conn := dial(t, dialer(t, sink.URL(), smtpclient.Options{}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := relay.SendOne(ctx, conn, relay.Item{Envelope: envelope, Message: message}); !got.Lost || got.Unknown || sink.Count() != 0 {
		t.Errorf("answer %+v, %d messages", got, sink.Count())
	}
}

func TestRepliesAreMasked(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, testkit.At(testkit.RCPT,
		testkit.Say("550 5.1.1 <FOX@Example.org>: user unknown (alias of fox.real@corp.example); "+strings.Repeat("ä", 400))))
	got := send(t, script, patience).Reply.Text
	if strings.Contains(strings.ToLower(got), "fox") || !strings.Contains(got, "user unknown") {
		t.Errorf("text %q", got)
	}
	if len(got) > 500 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes, or cut amid a rune: %q", len(got), got)
	}
}

func TestEndlessAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, testkit.At(testkit.RCPT, testkit.Raw(strings.Repeat("550-"+strings.Repeat("x", 500)+"\r\n", 2000))))
	got := send(t, script, patience)
	if !got.Lost || got.Reply.Code != 0 {
		t.Errorf("answer %+v", got)
	}
}

func TestLocalRefusals(t *testing.T) {
	t.Parallel()
	eight := []byte("Subject: x\r\n\r\nÄ\r\n")
	for _, tt := range []struct {
		name string
		in   relay.Envelope
		data []byte
		want string
	}{
		{"non-ASCII local part", relay.Envelope{From: "a@example.com", To: "füchsin@example.org"}, message, "rcpt 5.6.7"},
		{"non-ASCII sender", relay.Envelope{From: "ä@example.com", To: "fox@example.org"}, message, "mail 5.6.7"},
		{"8-bit message", envelope, eight, "data 5.6.3"},
		{"no recipient", relay.Envelope{From: "a@example.com"}, message, "rcpt 5.1.3"},
		{"injected command", relay.Envelope{From: "a@example.com", To: "fox@example.org>\r\nRCPT TO:<b@example.org"}, message, "rcpt 5.1.3"},
		{"injected parameter", relay.Envelope{From: "a@example.com> SIZE=1 <", To: "fox@example.org"}, message, "mail 5.1.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script := testkit.NewScript(t, testkit.Offer("PIPELINING"))
			conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
			got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: tt.in, Message: tt.data})
			if s := fmt.Sprintf("%s %s", got.Reply.Stage, got.Reply.Enhanced); s != tt.want || got.Reply.Code != 553 || got.Lost {
				t.Errorf("answer %+v, want %s", got, tt.want)
			}
			if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message}); !got.Accepted() {
				t.Errorf("the connection is spoilt: %+v", got)
			}
			want := []string{"MAIL FROM:<" + envelope.From + ">", "RCPT TO:<" + envelope.To + ">", "DATA"}
			if diff := cmp.Diff(want, script.Commands()[1:]); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSMTPUTF8OnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	sink := testkit.NewSink(t, testkit.SinkOptions{SMTPUTF8: true})
	conn := dial(t, dialer(t, sink.URL(), smtpclient.Options{}))
	for _, to := range []string{"fox@example.org", "füchsin@example.org", "hen@example.org"} {
		if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: relay.Envelope{From: "a@example.com", To: to}, Message: message}); !got.Accepted() {
			t.Errorf("%s: %+v", to, got)
		}
	}
	for i, want := range []bool{false, true, false} {
		if got := sink.Messages()[i]; got.UTF8 != want {
			t.Errorf("%s: SMTPUTF8 %v, want %v", got.To, got.UTF8, want)
		}
	}
}

func TestNullSender(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t)
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
	if got := relay.SendOne(context.Background(), conn, relay.Item{Envelope: relay.Envelope{To: "fox@example.org"}, Message: message}); !got.Accepted() {
		t.Fatalf("answer %+v", got)
	}
	if got := script.Commands()[1]; !strings.HasPrefix(got, "MAIL FROM:<>") {
		t.Errorf("command %q", got)
	}
}
