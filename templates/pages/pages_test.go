package pages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"posthaste/templates/pages"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	topics = []pages.Choice{
		{Name: "topic-1", Label: "The Reading Room", Help: "Four books, once a month.", Checked: true},
		{Name: "topic-2", Label: "Evenings at the shop"},
	}
	measurement = []pages.Choice{
		{Name: "opens", Label: "Whether I open a mail", Help: "A small picture in the mail tells us."},
		{Name: "clicks", Label: "Which links I follow", Help: "A link passes by us on its way.", Checked: true},
	}
)

// hostile closes what it can be put in and would then run.
const hostile = `</title></style>"'><script>alert(1)</script><img src=x onerror=alert(1)>`

// every page there is, by the name of its golden file.
var every = []struct {
	name  string
	write func(io.Writer) error
}{
	{"unsubscribe", unsubscribe(pages.Unsubscribe{Topic: "The Reading Room", Sender: "Harbour & Lane Books", Action: "/u/abc", Preferences: "/p/abc"})},
	{"unsubscribe_alone", unsubscribe(pages.Unsubscribe{Action: "/u/abc"})},
	{"unsubscribed", unsubscribe(pages.Unsubscribe{Topic: "The Reading Room", Sender: "Harbour & Lane Books", Done: true, Action: "/u/abc", Preferences: "/p/abc"})},
	{"unsubscribe_hostile", unsubscribe(pages.Unsubscribe{Topic: hostile, Sender: hostile, Lang: hostile, Action: "javascript:alert(1)", Preferences: `javascript:alert(1)`})},
	{"preferences", preferences(pages.Preferences{Sender: "Harbour & Lane Books", MaskedAddress: "i…@example.com", Action: "/p/abc", Topics: topics, Measurement: measurement,
		Notices: []pages.Choice{{Name: "notice-1", Label: "Monthly statement", Checked: true}, {Name: "notice-2", Label: "New device"}}})},
	{"preferences_saved", preferences(pages.Preferences{Sender: "Harbour & Lane Books", MaskedAddress: "i…@example.com", Action: "/p/abc", Topics: topics, Measurement: measurement, Saved: true})},
	{"preferences_stopped", preferences(pages.Preferences{Sender: "Harbour & Lane Books", MaskedAddress: "i…@example.com", Action: "/p/abc", Topics: topics, Measurement: measurement, StopAll: true, Saved: true})},
	{"preferences_empty", preferences(pages.Preferences{Action: "/p/abc"})},
	{"preferences_hostile", preferences(pages.Preferences{Sender: hostile, MaskedAddress: hostile, Action: hostile,
		Topics: []pages.Choice{{Name: hostile, Label: hostile, Help: hostile}}})},
	{"problem", problem(pages.Problem{Status: 404, Title: "This link is not valid", Text: "It may have been cut in two. Try to copy all of it from the mail.", RequestID: "01JD8Q"})},
	{"problem_bare", problem(pages.Problem{Title: "Try again in a minute"})},
	{"problem_hostile", problem(pages.Problem{Status: 404, Title: hostile, Text: hostile, RequestID: hostile})},
}

func unsubscribe(p pages.Unsubscribe) func(io.Writer) error {
	return func(w io.Writer) error { return pages.WriteUnsubscribe(w, p) }
}

func preferences(p pages.Preferences) func(io.Writer) error {
	return func(w io.Writer) error { return pages.WritePreferences(w, p) }
}

func problem(p pages.Problem) func(io.Writer) error {
	return func(w io.Writer) error { return pages.WriteProblem(w, p) }
}

func render(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var page bytes.Buffer
	if err := write(&page); err != nil {
		t.Fatalf("write: %v", err)
	}
	return page.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range every {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := render(t, tt.write)
			path := filepath.Join("testdata", tt.name+".golden.html")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("page differs from %s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// TestStyleHash computes the hash as a browser does: over the text of the one
// style element of the page that was sent.
func TestStyleHash(t *testing.T) {
	t.Parallel()
	for _, tt := range every {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			styles := find(parse(t, render(t, tt.write)), "style")
			if len(styles) != 1 {
				t.Fatalf("%d style elements, want 1", len(styles))
			}
			sum := sha256.Sum256([]byte(text(styles[0])))
			if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; pages.StyleHash() != want {
				t.Errorf("StyleHash() = %s, want %s", pages.StyleHash(), want)
			}
		})
	}
}

func TestUnsubscribeForm(t *testing.T) {
	t.Parallel()
	page := parse(t, render(t, unsubscribe(pages.Unsubscribe{Topic: "News", Sender: "Harbour", Action: "/u/a-b_c", Preferences: "/p/x"})))
	form := only(t, page, "form")
	if attr(form, "method") != "post" || attr(form, "action") != "/u/a-b_c" {
		t.Errorf("form is sent by %q to %q, want post to /u/a-b_c", attr(form, "method"), attr(form, "action"))
	}
	if in := only(t, form, "input"); attr(in, "type") != "hidden" || attr(in, "name") != "confirm" || attr(in, "value") != "yes" {
		t.Errorf("form's only input is %v, want the hidden confirm=yes", in.Attr)
	}
	if got := text(only(t, form, "button")); got != "Unsubscribe from News" {
		t.Errorf("button says %q", got)
	}
	if got := attr(only(t, page, "a"), "href"); got != "/p/x" {
		t.Errorf("link leads to %q, want /p/x", got)
	}
}

func TestUnsubscribedAsksNothing(t *testing.T) {
	t.Parallel()
	page := parse(t, render(t, unsubscribe(pages.Unsubscribe{Topic: "News", Sender: "Harbour", Done: true, Action: "/u/a", Preferences: "/p/x"})))
	for _, tag := range []string{"form", "input", "button", "select", "textarea"} {
		if n := len(find(page, tag)); n != 0 {
			t.Errorf("%d %s on the page after the opt-out, want none", n, tag)
		}
	}
	if got := text(only(t, page, "h1")); got != "You are unsubscribed" {
		t.Errorf("heading is %q", got)
	}
}

func TestPreferencesForms(t *testing.T) {
	t.Parallel()
	page := parse(t, render(t, preferences(pages.Preferences{Sender: "Harbour", Action: "/p/x", Topics: topics, Measurement: measurement})))
	forms := find(page, "form")
	if len(forms) != 2 {
		t.Fatalf("%d forms, want one to save and one to stop", len(forms))
	}
	var got []string
	for _, in := range find(forms[0], "input") {
		got = append(got, attr(in, "name")+"="+attr(in, "value")+" "+checked(in))
	}
	want := []string{"topic-1=yes on", "topic-2=yes off", "opens=yes off", "clicks=yes on"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checkboxes (-want +got):\n%s", diff)
	}
	if b := only(t, forms[0], "button"); attr(b, "name") != "save" {
		t.Errorf("the first form's button is named %q, want save", attr(b, "name"))
	}
	if b := only(t, forms[1], "button"); attr(b, "name") != "stop" || attr(b, "value") != "all" || text(b) != "Stop all mail" {
		t.Errorf("the second form's button is %q=%q %q, want stop=all", attr(b, "name"), attr(b, "value"), text(b))
	}
	if n := len(find(forms[1], "input")); n != 0 {
		t.Errorf("the stop form sends %d more fields, want none", n)
	}
}

func TestStoppedShowsNoStopButton(t *testing.T) {
	t.Parallel()
	page := render(t, preferences(pages.Preferences{Sender: "Harbour", Action: "/p/x", Topics: topics, StopAll: true}))
	if strings.Contains(page, `name="stop"`) {
		t.Error("the stop button is offered although all mail is stopped")
	}
	if !strings.Contains(page, "All mail is stopped.") {
		t.Error("the page does not say that all mail is stopped")
	}
}

func TestLang(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"", "en", "EN-gb", "xx", "xx-Latn-XX", "-", "en-"} {
		page := parse(t, render(t, problem(pages.Problem{Lang: lang, Title: "T"})))
		if got := attr(only(t, page, "html"), "lang"); got != "en" {
			t.Errorf("Lang %q: the page says it is in %q, want en", lang, got)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsAreReturned(t *testing.T) {
	t.Parallel()
	for _, tt := range every {
		if err := tt.write(full{}); !errors.Is(err, errFull) {
			t.Errorf("%s: error is %v, want the writer's", tt.name, err)
		}
	}
}

func checked(n *html.Node) string {
	for _, a := range n.Attr {
		if a.Key == "checked" {
			return "on"
		}
	}
	return "off"
}
