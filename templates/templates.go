// Package templates makes mailings: it compiles a campaign's subject,
// preheader and body, written in Markdown or HTML with tags of package
// language, and a layout into one program, which renders the HTML and the text
// part for each recipient.
//
// Compile refuses what a mailing must not hold (STANDARDS of the project:
// scripts, forms, unsafe links, a false "Re:", HTML that Gmail clips), and
// checks that the opt-out link (RFC 8058 leaves the visible one to the sender)
// and the sender's postal address are always there. Styles are inlined. The
// package builds no MIME and no header, chooses no recipient and knows no
// consent: who may be tracked is decided by the Values it is given.
package templates

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"posthaste"
	"posthaste/templates/language"
)

//go:embed layouts/*.html
var layoutFiles embed.FS

// Source is what an author writes.
type Source struct {
	Subject   string // one line
	Preheader string // one line, may be empty
	Body      string // not a whole document: the layout is around it
	Format    posthaste.Format
	Layout    string // one of Layouts
}

// Limits of a mailing, in bytes.
const (
	maxLine   = 2 << 10   // source of a subject or preheader
	maxBody   = 256 << 10 // source of a body
	maxStyle  = 16 << 10  // of one <style>: each rule is looked for in the whole document
	maxFaults = 20        // reported at once
	maxHTML   = 102_000   // compiled HTML without values: Gmail clips what is longer, and hides the opt-out link
)

// Mail is a compiled mailing. It is immutable and safe for concurrent use.
type Mail struct {
	subject *language.Program
	html    *language.Program
	text    *language.Program
	fixed   []string // of text, its literals without gaps
	links   []string
}

// Layouts gives the names of the layouts, sorted.
func Layouts() []string {
	entries, err := layoutFiles.ReadDir("layouts")
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".html")
	}
	return names
}

// Links gives the distinct static http and https destinations of the
// mailing's links, in order of first appearance: those that may be tracked.
// The caller must not change them.
func (m *Mail) Links() []string { return m.links }

// Compile makes a Mail of src. attributes are the names X that are valid as
// recipient.attributes.X. Faults of the source are a *posthaste.Error of kind
// Invalid that names the fields subject, preheader, body, format or layout,
// each with line and column as its author counts them.
func Compile(src Source, attributes []string) (*Mail, error) {
	c := &compiler{src: src, names: authorNames(attributes)}
	c.authored()
	if err := posthaste.RefuseAll(c.faults); err != nil {
		return nil, err
	}
	layout, err := c.layout()
	if err != nil {
		return nil, err
	}
	return c.assemble(layout)
}

// compiler carries one Compile.
type compiler struct {
	src       Source
	names     names
	notice    bool    // what is compiled is a notice: other rules, another frame
	written   *string // the text part of a notice, if its author wrote it
	faults    []posthaste.Field
	subject   *language.Program
	preheader *language.Program
	body      []mapped // in HTML, with where it came from
	marks     marks
}

func (c *compiler) refuse(name, format string, args ...any) {
	c.faults = append(c.faults, posthaste.Field{Name: name, Reason: fmt.Sprintf(format, args...)})
}

// take keeps the faults of err and reports whether there was none.
func (c *compiler) take(err error) bool {
	if err == nil {
		return true
	}
	fields := posthaste.FieldsOf(err)
	if fields == nil {
		fields = []posthaste.Field{{Name: "body", Reason: err.Error()}}
	}
	c.faults = append(c.faults, fields...)
	return false
}

// authored reads what the author wrote, each field by itself.
func (c *compiler) authored() {
	c.marks = newMarks(c.src.Subject, c.src.Preheader, c.src.Body)
	c.subject = c.header("subject", c.src.Subject)
	c.preheader = c.header("preheader", c.src.Preheader)
	if c.subject != nil {
		c.checkSubject()
	}
	if len(c.src.Body) > maxBody {
		c.refuse("body", "is %d bytes long; at most %d are possible", len(c.src.Body), maxBody)
		return
	}
	switch c.src.Format {
	case posthaste.Markdown:
		c.body = c.markdown()
	case posthaste.HTML:
		c.body = c.html()
	default:
		c.refuse("format", "is %q; it must be %s or %s", c.src.Format, posthaste.Markdown, posthaste.HTML)
	}
}

func (c *compiler) header(name, source string) *language.Program {
	if len(source) > maxLine {
		c.refuse(name, "is %d bytes long; at most %d are possible", len(source), maxLine)
		return nil
	}
	program, err := language.Parse(source, c.names.options(name, language.Header))
	c.take(err)
	return program
}

// checkSubject refuses an empty subject and one that pretends to be an answer.
func (c *compiler) checkSubject() {
	subject := strings.TrimSpace(c.src.Subject)
	if subject == "" {
		c.refuse("subject", "is empty")
	}
	for _, prefix := range []string{"re:", "fwd:", "fw:"} {
		if len(subject) >= len(prefix) && strings.EqualFold(subject[:len(prefix)], prefix) {
			c.refuse("subject", "line 1, column 1: this mail is no answer: it cannot begin with %q", subject[:len(prefix)])
		}
	}
}

// layout parses the layout that the source names.
func (c *compiler) layout() (*language.Program, error) {
	if c.notice {
		return language.Parse(noticeLayout, c.names.layout().options("layout", language.HTML))
	}
	if !slices.Contains(Layouts(), c.src.Layout) {
		return nil, posthaste.Refuse("layout", fmt.Sprintf("is %q; known are %s", c.src.Layout, strings.Join(Layouts(), ", ")))
	}
	text, err := layoutFiles.ReadFile("layouts/" + c.src.Layout + ".html")
	if err != nil {
		return nil, fmt.Errorf("read layout %s: %w", c.src.Layout, err)
	}
	return language.Parse(string(text), c.names.layout().options("layout", language.HTML))
}
