package pages_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"posthaste/templates/pages"
)

// hostile values close what they can be put in and would then run, turn what
// stands after them, or need more room than there is.
var hostile = map[string]string{
	"markup":      `</title></style></option></textarea>"'><script>window.ran = 1</script><img src=x onerror="window.ran = 1">`,
	"quotes":      "\" ' ` onfocus=window.ran=1 autofocus x=\"",
	"script":      "javascript:window.ran=1",
	"direction":   "\u202eevil\u2066 \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627",
	"lines":       "a\r\nBcc: b@example.com\r\n\r\n<p>c\u2028d\x00",
	"placeholder": "{sender} {topic} {{.Title}} %s %d $1",
	"long":        strings.Repeat("m", 300),
}

// named are what decides about a page, rather than standing on it.
var named = []string{"Lang", "Kind", "Field", "Tag"}

// poison gives the page with the value in place of every text that it has.
func poison(page any, value string) any {
	changed := reflect.New(reflect.TypeOf(page)).Elem()
	changed.Set(reflect.ValueOf(page))
	poisonValue(changed, value)
	return changed.Interface()
}

func poisonValue(v reflect.Value, value string) {
	switch v.Kind() {
	case reflect.String:
		if v.String() != "" {
			v.SetString(value)
		}
	case reflect.Slice:
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		v.Set(own)
		for i := range v.Len() {
			poisonValue(v.Index(i), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !slices.Contains(named, v.Type().Field(i).Name) {
				poisonValue(v.Field(i), value)
			}
		}
	}
}

// harmed is every sample with each of the hostile values. An embedded form keeps
// its address, without which it is refused.
func harmed(lang string, names ...string) []sample {
	var all []sample
	for _, s := range samples(lang) {
		for _, name := range names {
			page := poison(s.page, hostile[name])
			if e, ok := page.(embed); ok {
				e.Action = "https://mail.example.com/s/books"
				page = e
			}
			all = append(all, sample{s.name + "/" + name, page})
		}
	}
	return all
}

// TestHostileValuesAreInert holds each page to the elements and attributes that
// it has with ordinary values: whatever a value says, it adds none.
func TestHostileValuesAreInert(t *testing.T) {
	t.Parallel()
	ordinary := map[string][]string{}
	for _, s := range samples("en") {
		ordinary[s.name] = skeleton(parse(t, render(t, s.page)))
	}
	for _, s := range harmed("en", slices.Collect(maps.Keys(hostile))...) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			page := parse(t, render(t, s.page))
			want := ordinary[s.name[:strings.IndexByte(s.name, '/')]]
			if diff := cmp.Diff(want, skeleton(page)); diff != "" {
				t.Errorf("elements (-want +got):\n%s", diff)
			}
			for _, n := range find(page, "") {
				for _, a := range n.Attr {
					if isAddress(a.Key) && strings.Contains(strings.ToLower(a.Val), "script:") {
						t.Errorf("%s %s=%q", n.Data, a.Key, a.Val)
					}
				}
			}
			checkDirections(t, page)
		})
	}
}

func isAddress(key string) bool { return key == "href" || key == "src" || key == "action" }

// skeleton lists the elements with the names of their attributes.
func skeleton(page *html.Node) []string {
	var all []string
	for _, n := range find(page, "") {
		element := n.Data
		for _, a := range n.Attr {
			element += " " + a.Key
		}
		all = append(all, element)
	}
	return all
}

// checkDirections looks for a value that could turn the words around it: what
// can turn is either cut out of it, or held in by an element of its own.
func checkDirections(t *testing.T, page *html.Node) {
	t.Helper()
	for n := range page.Descendants() {
		if n.Type != html.TextNode || !strings.ContainsRune(n.Data, '\u05d0') {
			continue
		}
		held := false
		for e := n.Parent; e != nil && !held; e = e.Parent {
			held = e.Data == "bdi" || attr(e, "dir") == "auto" || e.Data == "title" || e.Data == "option"
		}
		if !held {
			t.Errorf("%q has no direction of its own in %s", n.Data, n.Parent.Data)
		}
		if n.Parent.Data == "title" && strings.ContainsAny(n.Data, "\u202e\u2066") {
			t.Errorf("the title has %q", n.Data)
		}
	}
}

func TestHostileLanguagesAreEnglish(t *testing.T) {
	t.Parallel()
	for name, value := range hostile {
		page := parse(t, render(t, pages.Unsubscribe{Lang: value, Action: "/u/a"}))
		if got := attr(only(t, page, "html"), "lang"); got != "en" {
			t.Errorf("%s: the page says it is in %q, want en", name, got)
		}
	}
}
