package layouttest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vanng822/go-premailer/premailer"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

// body has everything that Markdown can produce, and words that do not break.
const body = `# Four books for long evenings

The clocks have gone back and the shop smells of wood smoke again. Here is what we have been reading behind the counter.

Dear Inês, thank you for coming. [The recording is here](https://example.com/talk), if you missed the end.

## Two to start with

- **The Cartographer's Daughter**, a slow and generous novel
- *Salt Roads*, which we have pressed on everybody
  - with a new foreword

> A book is a door that opens from both sides.

## What the evenings cost

| Evening | Guest | Price | Seats | Language | Reservations |
|---|---|---|---|---|---|
| 3 December | Marta Oyelaran | £8 | 40 | Portuguese | https://example.com/evenings/december/3 |

### How to come

1. Write to us at https://example.com/an-address-that-is-much-longer-than-a-telephone-is-wide
2. Bring ` + "`READING-2026`" + ` to the till

` + "```" + `
talk begins  19:00  https://example.com/a/very/long/address/that/does/not/break
` + "```" + `

---

![A picture](data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7)

Tom
`

// render gives the mail that a layout makes of body, with its style inlined.
func render(t *testing.T, layout string) string {
	t.Helper()
	var content bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM)).Convert([]byte(body), &content); err != nil {
		t.Fatal(err)
	}
	page := strings.NewReplacer(
		"{{ content }}", content.String(),
		"{{ subject }}", "Four books",
		"{{ preheader }}", "Read them by the fire",
		"{{ sender.name }}", "Harbour &amp; Lane Books",
		"{{ sender.postal_address }}", "12 Quay Street, Exeter EX1 1AA",
		"{{ topic.name }}", "The Reading Room",
		"{{ recipient.email }}", "a.reader.with.a.rather.long.address@example.com",
		"{{ links.unsubscribe }}", "https://example.com/u/1",
		"{{ links.preferences }}", "https://example.com/p/1",
	).Replace(layout)
	inliner, err := premailer.NewPremailerFromString(page, premailer.NewOptions())
	if err != nil {
		t.Fatal(err)
	}
	mail, err := inliner.Transform()
	if err != nil {
		t.Fatal(err)
	}
	return mail
}
