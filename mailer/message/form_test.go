package message_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/mailer/message"
)

// TestFormGivesWhatBuildGives compares the two octet by octet over random
// recipients and bodies.
func TestFormGivesWhatBuildGives(t *testing.T) {
	t.Parallel()
	form, err := message.NewForm(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	body := rapid.OneOf(
		rapid.StringOf(rapid.RuneFrom([]rune("ab =.\t\r\né€🦊\u2028\x01~!"))),
		rapid.String(),
		rapid.Map(rapid.IntRange(60, 90), func(n int) string { return strings.Repeat("x", n) + " " }),
		rapid.Map(rapid.IntRange(60, 90), func(n int) string { return strings.Repeat("=", n/3) + strings.Repeat("y", n%7) + "\n" }),
		rapid.Map(rapid.IntRange(0, 10_000), func(n int) string { return strings.Repeat("long ", n/5) }),
	)
	rapid.Check(t, func(rt *rapid.T) {
		m := sample(t)
		name := rapid.OneOf(rapid.StringMatching(`[A-Za-z .",é]{0,80}`), rapid.String()).Draw(rt, "name")
		m.To = address.Mailbox{Name: name, Address: m.To.Address}
		m.Subject = rapid.OneOf(rapid.StringMatching(`[A-Za-z =?_]{1,300}`), rapid.String()).Draw(rt, "subject")
		m.Text = []byte(body.Draw(rt, "text"))
		m.HTML = []byte(body.Draw(rt, "html") + body.Draw(rt, "more"))
		m.MessageID = rapid.StringMatching(`[a-z0-9]{1,90}`).Draw(rt, "id") + "@example.com"
		m.Unsubscribe = "https://t.example.com/u/" + rapid.StringMatching(`[A-Za-z0-9_-]{1,200}`).Draw(rt, "token")
		want, wantErr := message.Build(m)
		got, gotErr := form.Append([]byte("before"), m)
		if fmt.Sprint(posthaste.FieldsOf(wantErr)) != fmt.Sprint(posthaste.FieldsOf(gotErr)) {
			rt.Fatalf("Build says %v, the form %v", wantErr, gotErr)
		}
		if wantErr == nil && !bytes.Equal(append([]byte("before"), want...), got) {
			rt.Fatalf("Build:\n%q\nform:\n%q", want, got)
		}
	})
}

// TestFormOfEveryKind makes forms with and without the optional fields.
func TestFormOfEveryKind(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*message.Mailing){
		func(m *message.Mailing) { m.ReplyTo = address.Mailbox{} },
		func(m *message.Mailing) { m.FeedbackID = "" },
		func(m *message.Mailing) { m.ListName = "" },
		func(m *message.Mailing) { m.ListName = "Grüße, \"weekly\"" },
		func(m *message.Mailing) { m.From.Name = "Zoë" },
		func(m *message.Mailing) { m.From.Name = "" },
	} {
		m := sample(t)
		change(&m)
		if _, err := message.NewForm(m); err != nil {
			t.Error(err)
		}
	}
	bad := sample(t)
	bad.ListName = "x\r\nBcc: y"
	if _, err := message.NewForm(bad); len(posthaste.FieldsOf(err)) != 1 {
		t.Errorf("a fault of a fixed field: %v", err)
	}
}

func BenchmarkForm(b *testing.B) {
	m := sample(b)
	m.HTML = bytes.Repeat([]byte("<p style=\"color: #123456\">Grüße from <a href=\"https://example.com/\">here</a>.</p>\r\n"), 100)
	m.Text = bytes.Repeat([]byte("Greetings from here: https://example.com/\r\n"), 40)
	form, err := message.NewForm(m)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("form", func(b *testing.B) {
		var dst []byte
		for b.Loop() {
			dst, err = form.Append(dst[:0], m)
		}
		b.SetBytes(int64(len(dst)))
	})
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			if _, err := message.Build(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
