// Package pages writes the pages that recipients see: unsubscribing, the
// preference centre, and what went wrong. Each is one HTML document with its
// own style inside and nothing else: no script, no cookie, no image, no address
// of anybody else's, so that it works under
//
//	default-src 'none'; style-src 'sha256-…'; form-action 'self'
//
// It reads no request, sets no header and keeps no state; the forms only name
// the path they are sent to. A GET of the page of RFC 8058 §3.1's link shows a
// form of its own, which can be told from a one-click request by its fields.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Unsubscribe is the page behind the unsubscribe link of a mailing.
type Unsubscribe struct {
	Lang        string // BCP 47; English when there are no texts in it
	Topic       string // its name; may be empty when it is no longer known
	Sender      string // may be empty
	Done        bool   // the opt-out is committed: say so and ask nothing
	Action      string // path that the form is sent to
	Preferences string // path of the preference centre, or empty
}

// Choice is one checkbox. It is sent as Name=yes when ticked, else not at all.
type Choice struct {
	Name    string // form field
	Label   string
	Help    string // one sentence more, or empty
	Checked bool
}

// Preferences is the preference centre of one recipient and one sender.
type Preferences struct {
	Lang          string // BCP 47; English when there are no texts in it
	Sender        string
	MaskedAddress string // shown as it is: mask it before
	Action        string // path that both forms are sent to
	Topics        []Choice
	Notices       []Choice // each sends shown=NAME too, so that one that was not shown is not taken for unticked
	Measurement   []Choice
	StopAll       bool // all mail is stopped
	Saved         bool // the last POST was carried out
}

// Problem is a page that says what did not work.
type Problem struct {
	Lang      string // BCP 47; English when there are no texts in it
	Status    int    // of HTTP
	Title     string
	Text      string
	RequestID string // to be named to the sender, or empty
}

// WriteUnsubscribe writes one sentence and one button, sent as POST with
// confirm=yes; or, when p.Done, that it is done. Only write errors are returned.
// It is safe for concurrent use, as are the others.
func WriteUnsubscribe(w io.Writer, p Unsubscribe) error {
	s, err := load()
	if err != nil {
		return err
	}
	t := s.texts(p.Lang)
	v := view{Action: p.Action, Preferences: p.Preferences}
	names := strings.NewReplacer("{topic}", or(p.Topic, t.ThisTopic), "{sender}", or(p.Sender, t.We))
	v.Heading, v.Lead, v.Link = t.Unsubscribe, names.Replace(t.UnsubscribeLead), t.UnsubscribeLink
	v.Button = names.Replace(t.UnsubscribeButton)
	v.Title = v.Button
	if p.Done {
		v.Heading, v.Lead, v.Link, v.Button = t.Unsubscribed, names.Replace(t.UnsubscribedLead), t.UnsubscribedLink, ""
		v.Title = v.Heading
	}
	return s.write(w, "unsubscribe", t, p.Sender, v)
}

// WritePreferences writes the preference centre: a form with the topics, the
// notices, the measurements and a button sent as save=yes; and a form of its own, whose
// button is sent as stop=all, unless all mail is stopped already.
func WritePreferences(w io.Writer, p Preferences) error {
	s, err := load()
	if err != nil {
		return err
	}
	t := s.texts(p.Lang)
	names := strings.NewReplacer("{sender}", or(p.Sender, t.We), "{address}", p.MaskedAddress)
	v := view{Action: p.Action, Topics: p.Topics, Notices: p.Notices, Measurement: p.Measurement, Heading: t.Preferences, Title: t.Preferences}
	if p.MaskedAddress != "" {
		v.Lead = names.Replace(t.PreferencesLead)
	}
	switch {
	case p.StopAll:
		v.Notice = names.Replace(t.AllStopped)
	case p.Saved:
		v.Notice = t.Saved
	}
	if !p.StopAll {
		v.Button = t.StopButton
		v.StopLead = names.Replace(t.StopLead)
	}
	return s.write(w, "preferences", t, p.Sender, v)
}

// WriteProblem writes an error page. Its title and text come from the caller.
func WriteProblem(w io.Writer, p Problem) error {
	s, err := load()
	if err != nil {
		return err
	}
	t := s.texts(p.Lang)
	v := view{Heading: p.Title, Title: p.Title, Lead: p.Text, Status: p.Status, Reference: p.RequestID}
	return s.write(w, "problem", t, "", v)
}

// StyleHash is the CSP source that allows the style of these pages and no
// other, with its quotes: 'sha256-…' (CSP Level 3 §2.3.1).
func StyleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

//go:embed style.css
var style string

//go:embed page.html texts/*.json
var files embed.FS

// site is what the embedded files hold. It is not changed after it is read.
type site struct {
	pages     *template.Template
	languages map[string]Texts
}

var load = sync.OnceValues(func() (*site, error) {
	pages, err := template.ParseFS(files, "page.html")
	if err != nil {
		return nil, err
	}
	languages, err := readTexts(files)
	if err != nil {
		return nil, err
	}
	return &site{pages, languages}, nil
})

// view is what page.html shows: every text is ready, nothing is decided there.
type view struct {
	Texts       Texts
	Style       template.HTML
	Sender      string
	Title       string
	Heading     string
	Lead        string
	Notice      string
	Action      string
	Preferences string
	Link        string // text of the link to Preferences
	Button      string // text of the page's decisive button; empty for none
	StopLead    string
	Reference   string
	Topics      []Choice
	Notices     []Choice
	Measurement []Choice
	Status      int
}

// numbered is a choice with the id that ties its label and help to it.
type numbered struct {
	Choice
	ID string
}

func (v view) Form() bool                     { return len(v.Topics)+len(v.Notices)+len(v.Measurement) > 0 }
func (v view) TopicChoices() []numbered       { return number("topic", v.Topics) }
func (v view) NoticeChoices() []numbered      { return number("notice", v.Notices) }
func (v view) MeasurementChoices() []numbered { return number("measure", v.Measurement) }

func number(prefix string, choices []Choice) []numbered {
	out := make([]numbered, len(choices))
	for i, c := range choices {
		out[i] = numbered{c, prefix + "-" + strconv.Itoa(i+1)}
	}
	return out
}

// write renders before it writes, so that a page is whole or not there.
func (s *site) write(w io.Writer, name string, t Texts, sender string, v view) error {
	v.Texts, v.Sender = t, sender
	v.Style = template.HTML("<style>" + style + "</style>")
	if sender != "" {
		v.Title += " · " + sender
	}
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, v); err != nil {
		return err
	}
	_, err := w.Write(page.Bytes())
	return err
}

func or(text, otherwise string) string {
	if strings.TrimSpace(text) == "" {
		return otherwise
	}
	return text
}
