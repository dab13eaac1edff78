package mailer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	gomessage "github.com/emersion/go-message"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"posthaste"
	"posthaste/mailer"
)

// longCampaign is some 8 kB of HTML with personal values, five links and a pixel.
func longCampaign(topicID int64) posthaste.Campaign {
	var body strings.Builder
	for n := range 5 {
		fmt.Fprintf(&body, "<h2>Story %d for {{ recipient.attributes.city }}</h2><p>%s</p><p><a href=\"https://example.com/%d\">Read on</a></p>\n",
			n, strings.Repeat("The quick brown fox jumps over the lazy dog. ", 12), n)
	}
	return posthaste.Campaign{ID: 1, Name: "c", TopicID: topicID, From: "News <news@example.com>", Subject: "News for {{ recipient.name }}", Format: posthaste.HTML,
		Body: body.String() + "<p>Until next week, {{ recipient.name | upcase }}.</p>", Layout: "letter", FrozenAt: time.Unix(1_795_000_000, 0),
		Tracking: posthaste.Tracking{Opens: posthaste.TrackIndividual, Clicks: posthaste.TrackIndividual}}
}

// withAttribute makes "city" a name that templates may use.
func (h *house) withAttribute() {
	h.tb.Helper()
	_, err := h.store.Import(h.tb.Context(), posthaste.Import{TopicID: h.topic.ID, Attributes: []string{"city"},
		Evidence: posthaste.Evidence{Source: "form", Wording: "yes"}}, rows(1))
	must(h.tb, err)
}

// read is what an independent parser makes of a message, without its Date,
// which tells the two ways apart, and without the boundary.
func read(tb testing.TB, raw []byte) (header map[string][]string, bodies []string) {
	tb.Helper()
	entity, err := gomessage.Read(bytes.NewReader(raw))
	must(tb, err)
	header = map[string][]string{}
	for fields := entity.Header.Fields(); fields.Next(); {
		text, err := fields.Text()
		must(tb, err)
		if name := fields.Key(); name != "Date" && name != "Content-Type" {
			header[name] = append(header[name], text)
		}
	}
	for parts := entity.MultipartReader(); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return header, bodies
		}
		must(tb, err)
		body, err := io.ReadAll(part.Body)
		must(tb, err)
		bodies = append(bodies, part.Header.Get("Content-Type")+"\n"+string(body))
	}
}

// TestBothWaysMeanTheSame composes random campaigns for random recipients by
// the form and by the plain way, and compares what a parser reads.
func TestBothWaysMeanTheSame(t *testing.T) {
	t.Parallel()
	h := build(t, 1)
	h.withAttribute()
	fragment := rapid.SampledFrom([]string{
		"Hello ", "\n\n", "\n", ".", "..\n", " \n", "- a\n", "# Title\n\n", "**bold** ", "{{ recipient.name }}", "{{ recipient.attributes.city | upcase }}",
		"\n\n{% if recipient.attributes.city %}\n\nfrom {{ recipient.attributes.city }}\n\n{% else %}\n\nfrom afar\n\n{% endif %}\n\n",
		"[here](https://example.com/a?b=1&c=2) ", "[them](https://example.com/{{ recipient.name | url_encode }}) ", "{% raw %}{{ x }}{% endraw %}",
		"é日 ", strings.Repeat("жжжж ", 200), strings.Repeat("long ", 100), strings.Repeat("x", 300), "=20=\n",
	})
	value := rapid.OneOf(rapid.SampledFrom([]string{"", ".", "a\n.\nb", "\r", "\r\n.", "<b>&\"'", " ", strings.Repeat("ж", 100), "=?utf-8?q?x?="}), rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		c := longCampaign(h.topic.ID)
		c.Format, c.Body = posthaste.Markdown, "x"
		for _, f := range rapid.SliceOfN(fragment, 1, 15).Draw(rt, "body") {
			c.Body += f
		}
		c.Layout = rapid.SampledFrom([]string{"plain", "letter", "magazine"}).Draw(rt, "layout")
		mailing, err := h.composer.Compile(t.Context(), c)
		if err != nil {
			rt.Fatal(err)
		}
		var space mailer.Space
		decision := rapid.SampledFrom([]posthaste.Decision{"", posthaste.Given, posthaste.Withdrawn})
		for range 3 { // one space for all
			mail := posthaste.Mail{Number: rapid.Int64Range(1, 1_000_000).Draw(rt, "number"), Allowed: true,
				Opens: decision.Draw(rt, "opens"), Clicks: decision.Draw(rt, "clicks"), Recipient: posthaste.Recipient{ID: 7, Email: "ada@example.com",
					Name: value.Draw(rt, "name"), Attributes: map[string]string{"city": value.Draw(rt, "city")}}}
			plain, plainErr := mailing.Compose(new(mailer.Space), mail, c.FrozenAt.Add(time.Second))
			spliced, splicedErr := mailing.Compose(&space, mail, c.FrozenAt)
			if diff := cmp.Diff(posthaste.FieldsOf(plainErr), posthaste.FieldsOf(splicedErr)); diff != "" {
				rt.Fatalf("refusals (-plain +form):\n%s", diff)
			}
			if plainErr != nil {
				continue
			}
			if !spliced.Wired || plain.Wired {
				rt.Fatal("the two were made the same way")
			}
			if bytes.HasPrefix(spliced.Message, []byte(".")) || bytes.Contains(spliced.Message, []byte("\r\n.")) {
				rt.Fatal("a line begins with a dot")
			}
			if plain.From != spliced.From || plain.To != spliced.To || plain.Subject != spliced.Subject {
				rt.Fatalf("plain %+v, form %+v", plain.Envelope, spliced.Envelope)
			}
			wantHeader, wantBodies := read(t, plain.Message)
			header, bodies := read(t, spliced.Message)
			if id := "<" + h.composer.MessageID(c, mail.Number) + ">"; len(header["Message-Id"]) != 1 || header["Message-Id"][0] != id {
				rt.Fatalf("message id %v, want %s", header["Message-Id"], id)
			}
			if diff := cmp.Diff(wantHeader, header); diff != "" {
				rt.Fatalf("header (-plain +form):\n%s", diff)
			}
			if diff := cmp.Diff(wantBodies, bodies); diff != "" {
				rt.Fatalf("bodies (-plain +form):\n%s", diff)
			}
		}
	})
}

// BenchmarkCompose makes messages by the form and by the plain way.
func BenchmarkCompose(b *testing.B) {
	h := build(b, 1)
	h.withAttribute()
	c := longCampaign(h.topic.ID)
	mailing, err := h.composer.Compile(b.Context(), c)
	must(b, err)
	mail := posthaste.Mail{Number: 1, Allowed: true, Opens: posthaste.Given, Clicks: posthaste.Given,
		Recipient: posthaste.Recipient{ID: 7, Email: "ada@example.com", Name: "Ada Lindt", Attributes: map[string]string{"city": "Bern"}}}
	for name, date := range map[string]time.Time{"form": c.FrozenAt, "plain": c.FrozenAt.Add(time.Second)} {
		b.Run(name, func(b *testing.B) {
			var space mailer.Space
			b.ReportAllocs()
			for b.Loop() {
				letter, err := mailing.Compose(&space, mail, date)
				must(b, err)
				b.SetBytes(int64(len(letter.Message)))
			}
		})
	}
}
