package templates_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// layouts are the files by their name without ".html".
func layouts(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("layouts/*.html")
	if err != nil || len(paths) < 3 {
		t.Fatalf("layouts: %v %v", paths, err)
	}
	found := map[string]string{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(filepath.Base(path), ".html")] = string(raw)
	}
	return found
}

// TestTags holds every layout to the tags it must have, and to no others.
func TestLayoutTags(t *testing.T) {
	t.Parallel()
	must := []string{"subject", "preheader", "content", "sender.name", "sender.postal_address", "topic.name", "links.unsubscribe", "links.preferences"}
	may := append(slices.Clone(must), "recipient.email")
	for name, layout := range layouts(t) {
		var got []string
		for _, m := range regexp.MustCompile(`\{[{%](.*?)[}%]\}`).FindAllStringSubmatch(layout, -1) {
			tag := strings.TrimSpace(m[1])
			if !slices.Contains(may, tag) {
				t.Errorf("%s: unexpected tag %q", name, m[0])
			}
			got = append(got, tag)
		}
		for _, tag := range must {
			if !slices.Contains(got, tag) {
				t.Errorf("%s lacks {{ %s }}", name, tag)
			}
		}
	}
}

// TestNothingRemote keeps out what mail must not carry, and what fetches.
func TestLayoutsHoldNothingRemote(t *testing.T) {
	t.Parallel()
	for name, layout := range layouts(t) {
		for _, not := range []string{"http:", "https:", "//", "url(", "@import", "<script", "<form", "<base", "<link", "<img", "javascript:"} {
			if strings.Contains(strings.ToLower(layout), not) {
				t.Errorf("%s contains %q", name, not)
			}
		}
	}
}

// TestWellFormed checks what a mail program would have to mend.
func TestLayoutsAreWellFormed(t *testing.T) {
	t.Parallel()
	for name, layout := range layouts(t) {
		var open []string
		for z := html.NewTokenizer(strings.NewReader(layout)); ; {
			kind := z.Next()
			if kind == html.ErrorToken {
				break
			}
			tok := z.Token()
			switch {
			case kind == html.StartTagToken && !slices.Contains([]string{"meta", "hr", "br"}, tok.Data):
				open = append(open, tok.Data)
				if tok.Data == "table" && !slices.Contains(tok.Attr, html.Attribute{Key: "role", Val: "presentation"}) {
					t.Errorf("%s: a table of the layout is not role=presentation", name)
				}
			case kind == html.EndTagToken:
				if len(open) == 0 || open[len(open)-1] != tok.Data {
					t.Fatalf("%s: </%s> closes %v", name, tok.Data, open)
				}
				open = open[:len(open)-1]
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: never closed: %v", name, open)
		}
	}
}
