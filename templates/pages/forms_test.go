package pages_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"posthaste/templates/pages"
)

// forms tells what each form of a page can send, one line a form: where to, then
// its fields as name=value, those that are ticked or chosen with a star.
func forms(page *html.Node) []string {
	var all []string
	for _, form := range find(page, "form") {
		line := attr(form, "method") + " " + attr(form, "action")
		for _, n := range find(form, "") {
			switch n.Data {
			case "input", "button":
				if attr(n, "name") != "" {
					line += " " + attr(n, "name") + "=" + attr(n, "value") + star(n, "checked")
				}
			case "option":
				line += " " + attr(n.Parent, "name") + "=" + attr(n, "value") + star(n, "selected")
			}
		}
		all = append(all, line)
	}
	return all
}

func star(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return "*"
		}
	}
	return ""
}

// TestForms is what the pages send: the names that handlers rely on.
func TestForms(t *testing.T) {
	t.Parallel()
	topics := []pages.Choice{{Name: "topic-1", Label: "A", Checked: true}, {Name: "topic-2", Label: "B"}}
	notices := []pages.Choice{{Name: "notice-1", Label: "C"}}
	measurement := []pages.Choice{{Name: "opens", Label: "D"}, {Name: "clicks", Label: "E", Checked: true}}
	languages := []pages.Language{{Tag: "de", Name: "Deutsch"}, {Tag: "en", Name: "English"}}
	const reasons = "post /u/a reason=too_often reason=not_interesting reason=never_asked reason=other"
	for name, tt := range map[string]struct {
		page any
		want []string
	}{
		"unsubscribe":            {pages.Unsubscribe{Action: "/u/a", Undo: "u", Reasons: true}, []string{"post /u/a confirm=yes"}},
		"done asks nothing":      {pages.Unsubscribe{Action: "/u/a", Done: true, Preferences: "/p/a"}, nil},
		"done, to be undone":     {pages.Unsubscribe{Action: "/u/a", Done: true, Undo: "u-1"}, []string{"post /u/a undo=u-1"}},
		"done, with reasons":     {pages.Unsubscribe{Action: "/u/a", Done: true, Undo: "u-1", Reasons: true}, []string{"post /u/a undo=u-1", reasons}},
		"thanked":                {pages.Unsubscribe{Action: "/u/a", Done: true, Undo: "u-1", Reasons: true, Thanked: true}, []string{"post /u/a undo=u-1"}},
		"undone":                 {pages.Unsubscribe{Action: "/u/a", Done: true, Undo: "u-1", Reasons: true, Undone: true}, nil},
		"preferences of nothing": {pages.Preferences{Action: "/p/a"}, []string{"post /p/a stop=all"}},
		"preferences": {pages.Preferences{Lang: "de-AT", Action: "/p/a", Topics: topics, Notices: notices, Measurement: measurement, Languages: languages, Data: true}, []string{
			"post /p/a topic-1=yes* topic-2=yes shown=notice-1 notice-1=yes opens=yes clicks=yes* shown_in=de lang=de* lang=en save=yes",
			"post /p/a stop=all", "post /p/a data=send", "post /p/a erase=send",
		}},
		"preferences, all stopped": {pages.Preferences{Action: "/p/a", Topics: topics, StopAll: true}, []string{"post /p/a topic-1=yes* topic-2=yes save=yes"}},
		"sign-up": {pages.SignUp{Version: 3, Lang: "de", Action: "/s/a", Email: "i@", Name: "I", Topics: topics, Measurement: measurement}, []string{
			"post /s/a lang=de version=3 email=i@ name=I topic-1=yes* topic-2=yes opens=yes clicks=yes*"}},
		"embedded": {embed{Version: 3, Lang: "de", Action: "https://example.com/s/a", Email: "i@", Name: "I", Topics: topics, Measurement: measurement}, []string{
			"post https://example.com/s/a lang=de version=3 email= name= topic-1=yes topic-2=yes opens=yes clicks=yes"}},
		"sign-up sent":     {pages.SignUpSent{}, nil},
		"confirm":          {pages.Confirm{Action: "/confirm/a"}, []string{"post /confirm/a confirm=yes"}},
		"confirmed":        {pages.Confirm{Action: "/confirm/a", Done: true}, nil},
		"confirm, gone":    {pages.Confirm{Action: "/confirm/a", Gone: true, Done: true}, nil},
		"data":             {pages.YourData{Kind: pages.Access, EraseAction: "/d/a"}, []string{"post /d/a erase=yes"}},
		"data to erase":    {pages.YourData{Kind: pages.Erasure, EraseAction: "/d/a"}, []string{"post /d/a erase=yes"}},
		"data, to show":    {pages.YourData{Kind: pages.Access, ShowAction: "/d/a", EraseAction: "/d/a"}, []string{"post /d/a show=yes", "post /d/a erase=yes"}},
		"data as a file":   {pages.YourData{Kind: pages.Access, DownloadAction: "/d/a"}, []string{"post /d/a download=json"}},
		"data, no erase":   {pages.YourData{Kind: pages.Access}, nil},
		"data, not found":  {pages.YourData{Kind: pages.Erasure, EraseAction: "/d/a", Gone: true}, nil},
		"correct":          {pages.Correct{Action: "/a/a"}, []string{"post /a/a correct=yes"}},
		"corrected":        {pages.Correct{Action: "/a/a", Done: true}, nil},
		"correct, in use":  {pages.Correct{Action: "/a/a", Taken: true, Done: true}, nil},
		"correct, too old": {pages.Correct{Action: "/a/a", Gone: true}, nil},
		"erased":           {pages.YourData{Kind: pages.Erasure, EraseAction: "/d/a", Erased: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, forms(parse(t, render(t, tt.page)))); diff != "" {
				t.Errorf("forms (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsSaid looks for what tells one state from another, in words or links.
func TestWhatIsSaid(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		page     any
		has, not []string
	}{
		"button names the topic": {pages.Unsubscribe{Topic: "News", Action: "/u/a", Preferences: "/p/x"}, []string{"<button", "Unsubscribe from <bdi>News</bdi>", `href="/p/x"`}, nil},
		"done":                   {pages.Unsubscribe{Done: true}, []string{"You are unsubscribed", `role="status"`}, []string{"Thank you"}},
		"thanked alone":          {pages.Unsubscribe{Thanked: true}, []string{"You are unsubscribed", "Thank you"}, nil},
		"undone":                 {pages.Unsubscribe{Topic: "News", Undone: true, Preferences: "/p/x"}, []string{"It is sent again", "<bdi>News</bdi>", "/p/x"}, []string{"You are unsubscribed"}},
		"saved":                  {pages.Preferences{Saved: true}, []string{"Your choices are saved."}, []string{"All mail is stopped."}},
		"stopped":                {pages.Preferences{Saved: true, StopAll: true}, []string{"All mail is stopped."}, []string{"Your choices are saved.", "Stop all mail"}},
		"link sent": {pages.Preferences{LinkSent: true, MaskedAddress: masked, StopAll: true},
			[]string{"We have sent <bdi>" + masked + "</bdi> a mail with a link", "<bdi>7</bdi> days", "All mail is stopped."}, nil},
		"no address":     {pages.Preferences{Data: true, LinkSent: true}, []string{"a link to <bdi>your address</bdi>"}, []string{"These choices are for"}},
		"sign-up sent":   {pages.SignUpSent{Sender: shop}, []string{"<bdi>14</bdi> days", "<bdi>Harbour &amp; Lane Books</bdi>"}, nil},
		"confirmed":      {pages.Confirm{Done: true, Items: []string{"I would"}, Preferences: "/p/x", Form: "/s/x"}, []string{"It is confirmed", "<li dir=\"auto\">I would</li>", "/p/x"}, []string{"/s/x", "<button"}},
		"confirm":        {pages.Confirm{Items: []string{"I would"}, Preferences: "/p/x", Form: "/s/x"}, []string{"I would", "<button"}, []string{"/p/x", "/s/x"}},
		"confirm, gone":  {pages.Confirm{Gone: true, Items: []string{"I would"}, Preferences: "/p/x", Form: "/s/x"}, []string{"too old", "<bdi>14</bdi> days", "/s/x"}, []string{"I would", "/p/x"}},
		"data, gone":     {pages.YourData{Gone: true, Erased: true, DownloadAction: "/j", Receipt: []string{"row"}}, []string{"too old", "<bdi>7</bdi> days"}, []string{"/j", "row"}},
		"erased":         {pages.YourData{Erased: true, DownloadAction: "/j", Receipt: []string{"1 row"}}, []string{"Your data are deleted", "1 row"}, []string{"/j"}},
		"data":           {pages.YourData{DownloadAction: "/j", Masked: masked}, []string{`action="/j"`, "<bdi>" + masked + "</bdi>"}, nil},
		"nothing in it":  {pages.YourData{Sections: []pages.Section{{Title: "T", Empty: "None.", Columns: []string{"A"}}}}, []string{"None."}, []string{"<table"}},
		"policy":         {pages.SignUp{PolicyURL: "https://example.com/privacy"}, []string{`href="https://example.com/privacy"`}, nil},
		"without policy": {pages.SignUp{}, []string{"<h1", "Sign up"}, []string{"href="}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkSays(t, render(t, tt.page), tt.has, tt.not)
		})
	}
}

func checkSays(t *testing.T, page string, has, not []string) {
	t.Helper()
	_, body, _ := strings.Cut(page, "</head>")
	for _, s := range has {
		if !strings.Contains(body, s) {
			t.Errorf("the page does not say %q:\n%s", s, body)
		}
	}
	for _, s := range not {
		if strings.Contains(body, s) {
			t.Errorf("the page says %q", s)
		}
	}
}

// TestEraseComesFirst holds the form to where the person who asked looks for it.
func TestEraseComesFirst(t *testing.T) {
	t.Parallel()
	for kind, first := range map[string]bool{pages.Access: false, pages.Erasure: true} {
		page := render(t, pages.YourData{Kind: kind, EraseAction: "/d/a", Sections: []pages.Section{{Title: "Your entry"}}})
		if got := strings.Index(page, "<form") < strings.Index(page, "Your entry"); got != first {
			t.Errorf("%s: the form is first: %t, want %t", kind, got, first)
		}
	}
}

// TestRowsKeepTheirColumns holds rows of any length to the width of the table.
func TestRowsKeepTheirColumns(t *testing.T) {
	t.Parallel()
	page := parse(t, render(t, pages.YourData{Sections: []pages.Section{{Columns: []string{"A", "B"}, Rows: [][]string{{"1", "2", "3"}, {"4"}, nil}}}}))
	var got []string
	for _, row := range find(page, "tr")[1:] {
		line := ""
		for _, cell := range find(row, "td") {
			line += attr(cell, "data-label") + "=" + text(cell) + " "
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{"A=1 B=2 ", "A=4 B= ", "A= B= "}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestFaultsLeadToTheirFields follows the summary's links and reads the fields
// as a screen reader does.
func TestFaultsLeadToTheirFields(t *testing.T) {
	t.Parallel()
	box := []pages.Choice{{Name: "topic-1", Label: "A"}}
	page := parse(t, render(t, pages.SignUp{Title: "Books", Topics: box, Measurement: box, Faults: []pages.Fault{
		{Field: "email", Text: "no email"}, {Field: "name", Text: "no name"}, {Field: "topics", Text: "no topic"}, {Field: "measurement", Text: "no measure"}, {Field: "x", Text: "no luck"},
	}}))
	if got := text(only(t, page, "title")); got != "Error: Books" {
		t.Errorf("title %q", got)
	}
	ids := map[string]*html.Node{}
	summary := ""
	for _, n := range find(page, "") {
		if attr(n, "role") == "alert" {
			summary += text(n)
		}
		ids[attr(n, "id")] = n
	}
	var got []string
	for _, link := range find(page, "a") {
		to := ids[strings.TrimPrefix(attr(link, "href"), "#")]
		if to == nil || attr(to, "aria-invalid") != "true" {
			t.Fatalf("%s leads to %v", attr(link, "href"), to)
		}
		described := to
		for attr(described, "aria-describedby") == "" {
			described = described.Parent
		}
		refs := strings.Fields(attr(described, "aria-describedby"))
		got = append(got, text(link)+": "+attr(to, "name")+": "+text(ids[refs[len(refs)-1]]))
	}
	want := []string{"no email: email: no email", "no name: name: no name", "no topic: topic-1: no topic", "no measure: topic-1: no measure"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	for _, fault := range []string{"no email", "no topic", "no luck"} {
		if !strings.Contains(summary, fault) {
			t.Errorf("what is announced lacks %q: %s", fault, summary)
		}
	}
}

func TestEmbedIsAFragment(t *testing.T) {
	t.Parallel()
	topics := []pages.Choice{{Name: "topic-1", Label: "A", Help: "B", Checked: true}}
	fragment := render(t, embed{Action: "https://example.com/s/a?x=1&y=2", Topics: topics, PolicyURL: "https://example.com/p", Faults: []pages.Fault{{Field: "email", Text: "wrong"}}})
	if !strings.HasPrefix(fragment, "<form ") || !strings.HasSuffix(fragment, "</form>\n") {
		t.Errorf("the fragment is no form: %s", fragment)
	}
	for _, n := range find(only(t, parse(t, fragment), "body"), "") {
		class := attr(n, "class")
		if class != "" && !strings.HasPrefix(class, "posthaste-") || attr(n, "id") != "" || attr(n, "style") != "" || n.Data == "style" || n.Data == "script" {
			t.Errorf("%s %v would meet what is on the site", n.Data, n.Attr)
		}
		if (n.Data == "input" || n.Data == "button" || n.Data == "a" || n.Data == "form" || n.Data == "label") && attr(n, "type") != "hidden" && class == "" {
			t.Errorf("%s %v has no class to be styled by", n.Data, n.Attr)
		}
	}
	if strings.Contains(fragment, "wrong") || !strings.Contains(fragment, `action="https://example.com/s/a?x=1&amp;y=2"`) {
		t.Errorf("fragment: %s", fragment)
	}
}

func TestEmbedNeedsAnAbsoluteAddress(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"", "/s/a", "//example.com/s/a", "javascript:alert(1)", "data:text/html,x", "https:///s", "ftp://example.com/", "https://example.com/\n", "https://ex\u202eample.com/"} {
		var b bytes.Buffer
		if err := pages.WriteEmbed(&b, pages.SignUp{Action: action}); err == nil || b.Len() > 0 {
			t.Errorf("%q: error %v, and %d bytes", action, err, b.Len())
		}
	}
	fragment := render(t, embed{Action: `https://example.com/"><script>alert(1)</script>`})
	if n := len(find(parse(t, fragment), "script")); n > 0 {
		t.Errorf("the address runs: %s", fragment)
	}
}
