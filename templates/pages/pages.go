// Package pages writes the pages that recipients see: signing up and
// confirming it, unsubscribing, the preference centre, their own data, another
// address, and what went wrong; and the four mails with the links to these pages. Each page is
// one HTML document with its own style inside and nothing else: no script, no
// cookie, no image, no address of anybody else's, so that it works under
//
//	default-src 'none'; style-src 'sha256-…'; form-action 'self'
//
// It reads no request, sets no header and keeps no state; the forms only name
// the path they are sent to. A GET of the page of RFC 8058 §3.1's link shows a
// form of its own, which can be told from a one-click request by its fields.
// All functions are safe for concurrent use.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io"
	"sync"
	plain "text/template"
)

// How long the links in the mails work, as pages and mails say. Tokens take
// their lives from here, so that what is said is what holds.
const (
	ConfirmDays = 14 // to confirm a sign-up
	DataDays    = 7  // to see or delete one's data, or to confirm another address
)

// StyleHash is the CSP source that allows the style of these pages and no
// other, with its quotes: 'sha256-…' (CSP Level 3 §2.3.1).
func StyleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

//go:embed style.css
var style string

//go:embed html texts mails
var files embed.FS

// site is what the embedded files hold. It is not changed after it is read.
type site struct {
	pages     *template.Template
	mails     *template.Template
	plain     *plain.Template
	languages map[string]Texts
}

// load reads the embedded files. It panics when they are broken, which no
// program that passes its tests can be.
var load = sync.OnceValue(func() *site {
	languages, err := readTexts(files)
	if err != nil {
		panic(err)
	}
	return &site{
		pages:     template.Must(template.ParseFS(files, "html/*.html")),
		mails:     template.Must(template.ParseFS(files, "mails/mail.html")),
		plain:     plain.Must(plain.ParseFS(files, "mails/mail.txt")),
		languages: languages,
	}
})

// frame is what every page has around it.
type frame struct {
	Lang, Dir string
	Title     string // of the window
	Sender    string // above the page, or empty
	Wide      bool   // the page has tables
}

// Style is the style element, byte for byte what StyleHash allows.
func (frame) Style() template.HTML { return template.HTML("<style>" + style + "</style>") }

// WindowTitle names the page, then whose it is.
func (f frame) WindowTitle() string {
	if f.Sender == "" {
		return f.Title
	}
	return f.Title + " · " + f.Sender
}

// write renders before it writes, so that a page is whole or not there.
func (s *site) write(w io.Writer, name string, view any) error {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, view); err != nil {
		return err
	}
	_, err := w.Write(page.Bytes())
	return err
}
