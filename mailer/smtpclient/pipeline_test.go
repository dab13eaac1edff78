package smtpclient_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/internal/testkit"
	"posthaste/mailer/relay"
	"posthaste/mailer/smtpclient"
)

// A refusal in a pipeline is the first one, whatever follows from it, and the
// next message starts clean.
func TestRefusalsInAPipelineAreClearedBeforeTheNextMessage(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, pipelined,
		testkit.Nth(1, testkit.RCPT, testkit.Say("550 5.1.1 no such user")), // and DATA is asked for all the same
		testkit.Nth(3, testkit.RCPT, testkit.Say("550 5.1.1 no such user")),
		testkit.Nth(3, testkit.DATA, testkit.Say("554 5.5.1 no valid recipients")),
		testkit.Nth(4, testkit.MAIL, testkit.Say("451 4.3.0 later")),
		testkit.Nth(4, testkit.RCPT, testkit.Say("503 5.5.1 no sender")),
		testkit.Nth(4, testkit.DATA, testkit.Say("503 5.5.1 no recipient")),
	)
	conn := dial(t, dialer(t, script.URL(), smtpclient.Options{}))
	var codes []int
	for range 5 {
		answer := relay.SendOne(context.Background(), conn, relay.Item{Envelope: envelope, Message: message})
		if answer.Lost {
			t.Fatalf("lost: %+v", answer)
		}
		codes = append(codes, answer.Reply.Code)
	}
	if want := []int{550, 250, 550, 451, 250}; !slices.Equal(codes, want) {
		t.Errorf("codes %v, want %v", codes, want)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	mail, rcpt := "MAIL FROM:<"+envelope.From+">", "RCPT TO:<"+envelope.To+">"
	want := []string{
		mail, rcpt, "DATA", "RSET",
		mail, rcpt, "DATA",
		mail, rcpt, "DATA", "RSET",
		mail, rcpt, "DATA", // MAIL was refused: no transaction to reset
		mail, rcpt, "DATA",
		"QUIT",
	}
	if diff := cmp.Diff(want, script.Commands()[1:]); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	for _, m := range script.Messages() {
		if len(m.Data) == 0 {
			t.Log("the server took the empty message, which is for nobody")
		}
	}
}

// Nothing of the message goes before it is asked for: a server that refuses
// DATA must not read it as commands.
func TestTheMessageWaitsForItsTurnInAPipeline(t *testing.T) {
	t.Parallel()
	script := testkit.NewScript(t, pipelined, testkit.At(testkit.DATA, testkit.Say("451 4.3.0 later")))
	if got := send(t, script, patience); got.Reply.Code != 451 || got.Unknown || got.Lost {
		t.Errorf("answer %+v", got)
	}
	for _, c := range script.Commands() {
		if c == "Hello, fox." {
			t.Error("the message was read as commands")
		}
	}
}
