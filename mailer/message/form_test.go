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

// piece is a part of a body: a fixed text, or a recipient's.
type piece struct {
	text  string
	value bool
}

func whole(pieces []piece) []byte {
	var all []byte
	for _, p := range pieces {
		all = append(all, p.text...)
	}
	return all
}

func literals(pieces []piece) (texts []string) {
	for _, p := range pieces {
		if !p.value {
			texts = append(texts, p.text)
		}
	}
	return texts
}

func give(b *message.Body, pieces []piece) {
	n := 0
	for _, p := range pieces {
		if p.value {
			b.Value([]byte(p.text))
		} else {
			b.Literal(n)
			n++
		}
	}
}

// fill makes a message by a form of its own.
func fill(m message.Mailing, text, html []piece) ([]byte, error) {
	form, err := message.NewForm(m, literals(text), literals(html))
	if err != nil {
		return nil, err
	}
	var f message.Filling
	if err := form.Begin(&f, []byte("before"), message.Personal{To: m.To, Subject: m.Subject, MessageID: m.MessageID, Unsubscribe: m.Unsubscribe}); err != nil {
		return nil, err
	}
	give(f.Body(), text)
	f.HTML()
	give(f.Body(), html)
	got, err := f.End()
	return bytes.TrimPrefix(got, []byte("before")), err
}

// texts draws bodies: hostile letters, lines as long as a line may be, dots
// and blanks at every edge, and mostly beyond ASCII, which makes base64.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringOf(rapid.RuneFrom([]rune("ab =.\t\r\né€🦊\u2028\x01~!"))),
		rapid.String(),
		rapid.SampledFrom([]string{"", ".", "..\r\n.", "\r", "\n", "\r\n", " ", "\t\r\n", "=", "=\r\n", "\n.\n", "From ", "--", "жжжж", "жжж\n"}),
		rapid.Map(rapid.IntRange(60, 90), func(n int) string { return strings.Repeat("x", n) + " " }),
		rapid.Map(rapid.IntRange(60, 90), func(n int) string { return strings.Repeat("=", n/3) + strings.Repeat("y", n%7) + "\n" }),
		rapid.Map(rapid.IntRange(0, 3000), func(n int) string { return strings.Repeat("long ", n/5) }),
		rapid.Map(rapid.IntRange(0, 300), func(n int) string { return strings.Repeat("ж", n) }),
	)
}

// TestFormMeansWhatBuildMeans sends the same through both ways and compares
// what an independent parser makes of it: every header field, and both bodies.
func TestFormMeansWhatBuildMeans(t *testing.T) {
	t.Parallel()
	pieces := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) piece {
		return piece{texts().Draw(t, "text"), rapid.Bool().Draw(t, "value")}
	}), 1, 12)
	rapid.Check(t, func(rt *rapid.T) {
		m := sample(t)
		name := rapid.OneOf(rapid.StringMatching(`[A-Za-z .",é]{0,80}`), rapid.String()).Draw(rt, "name")
		m.To = address.Mailbox{Name: name, Address: m.To.Address}
		m.Subject = rapid.OneOf(rapid.StringMatching(`[A-Za-z =?_]{1,300}`), rapid.String()).Draw(rt, "subject")
		m.MessageID = rapid.StringMatching(`[a-z0-9]{1,90}`).Draw(rt, "id") + "@example.com"
		m.Unsubscribe = "https://t.example.com/u/" + rapid.StringMatching(`[A-Za-z0-9_-]{1,200}`).Draw(rt, "token")
		text, html := append([]piece{{"T", false}}, pieces.Draw(rt, "text")...), append([]piece{{"<", true}}, pieces.Draw(rt, "html")...)
		m.Text, m.HTML = whole(text), whole(html)

		want, wantErr := message.Build(m)
		got, gotErr := fill(m, text, html)
		if fmt.Sprint(posthaste.FieldsOf(wantErr)) != fmt.Sprint(posthaste.FieldsOf(gotErr)) {
			rt.Fatalf("Build says %v, the form %v", wantErr, gotErr)
		}
		if wantErr != nil {
			return
		}
		wire(rt, got)
		if bytes.Contains(got, []byte("\r\n.")) {
			rt.Fatal("a line begins with a dot")
		}
		sameMeaning(rt, t, want, got)
		again, _ := fill(m, text, html)
		if !bytes.Equal(got, again) {
			rt.Fatal("another attempt gives other bytes")
		}
	})
}

func sameMeaning(rt fatal, tb testing.TB, want, got []byte) {
	rt.Helper()
	a, b := parse(tb, want), parse(tb, got)
	if a.text != b.text || a.html != b.html {
		rt.Fatalf("text %q, want %q; html %q, want %q", b.text, a.text, b.html, a.html)
	}
	if len(a.header) != len(b.header) {
		rt.Fatalf("header %v, want %v", b.header, a.header)
	}
	for field, value := range a.header {
		if field != "Content-Type" && fmt.Sprint(value) != fmt.Sprint(b.header[field]) {
			rt.Fatalf("%s is %q, want %q", field, b.header[field], value)
		}
	}
}

// TestFormRefusesWhatBuildRefuses names the same fields.
func TestFormRefusesWhatBuildRefuses(t *testing.T) {
	t.Parallel()
	good := []piece{{"Hello ", false}, {"Bob", true}}
	for name, change := range map[string]func(*message.Mailing){
		"to":          func(m *message.Mailing) { m.To.Name = "x\r\nBcc: y" },
		"subject":     func(m *message.Mailing) { m.Subject = "x\ny" },
		"message_id":  func(m *message.Mailing) { m.MessageID = "x" },
		"unsubscribe": func(m *message.Mailing) { m.Unsubscribe = "http://example.com/u/1" },
		"list_name":   func(m *message.Mailing) { m.ListName = "x\r\nBcc: y" },
	} {
		m := sample(t)
		change(&m)
		if _, err := fill(m, good, good); len(posthaste.FieldsOf(err)) != 1 || posthaste.FieldsOf(err)[0].Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fill(sample(t), good, []piece{{"<", false}, {"\xff", true}}); len(posthaste.FieldsOf(err)) != 1 {
		t.Errorf("a value that is not UTF-8: %v", err)
	}
	if _, err := fill(sample(t), []piece{{"\xff", true}}, good); len(posthaste.FieldsOf(err)) != 1 {
		t.Errorf("one in the text part: %v", err)
	}
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
		body := []piece{{"Hello", false}}
		m.Text, m.HTML = whole(body), whole(body)
		want, err := message.Build(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fill(m, body, body)
		if err != nil {
			t.Fatal(err)
		}
		sameMeaning(t, t, want, got)
	}
}

func BenchmarkForm(b *testing.B) {
	m := sample(b)
	html := []piece{{strings.Repeat("<p style=\"color: #123456\">Grüße from <a href=\"https://example.com/\">here</a>.</p>\r\n", 100), false}, {"Bob", true}, {"</html>", false}}
	text := []piece{{strings.Repeat("Greetings from here: https://example.com/\r\n", 40), false}, {"https://example.com/u/token", true}}
	m.HTML, m.Text = whole(html), whole(text)
	form, err := message.NewForm(m, literals(text), literals(html))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("form", func(b *testing.B) {
		var dst []byte
		var f message.Filling
		for b.Loop() {
			if err := form.Begin(&f, dst[:0], message.Personal{To: m.To, Subject: m.Subject, MessageID: m.MessageID, Unsubscribe: m.Unsubscribe}); err != nil {
				b.Fatal(err)
			}
			give(f.Body(), text)
			f.HTML()
			give(f.Body(), html)
			if dst, err = f.End(); err != nil {
				b.Fatal(err)
			}
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
