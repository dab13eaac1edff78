package unsubscribe_test

import (
	"context"
	"encoding/json"
	"fmt"
	escape "html"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/templates/pages"
)

// telling is a store of which every export is the same.
type telling struct {
	*store.Store
	out posthaste.Export
}

func (s telling) Export(context.Context, int64, []string) (posthaste.Export, error) {
	return s.out, nil
}

// filler puts another value into every field of an export, and knows how the page says it.
type filler struct {
	tb    testing.TB
	n     int
	words map[reflect.Type][]string
	shown map[string]string // what the file has → what the page has

	purposes int // lists of them that are filled
}

// prefixes stand before the words of a type that shares its values with another.
var prefixes = map[reflect.Type]string{reflect.TypeFor[posthaste.RequestState](): "request_"}

func newFiller(tb testing.TB) *filler {
	return &filler{tb: tb, shown: map[string]string{}, words: map[reflect.Type][]string{
		reflect.TypeFor[posthaste.Purpose]():       {"topic", "opens"},
		reflect.TypeFor[posthaste.Decision]():      {"given", "withdrawn"},
		reflect.TypeFor[posthaste.Channel]():       {"import", "preferences", "one_click", "desk"},
		reflect.TypeFor[posthaste.Reason]():        {"complaint", "manual"},
		reflect.TypeFor[posthaste.DeliveryState](): {"uncertain", "cancelled"},
		reflect.TypeFor[posthaste.NoticeState]():   {"claimed", "bounced", "accepted", "deferred", "expired", "suppressed"},
		reflect.TypeFor[posthaste.HitKind]():       {"open", "click"},
		reflect.TypeFor[posthaste.HitClass]():      {"scanner", "prefetch"},
		reflect.TypeFor[posthaste.RequestKind]():   {"access", "erasure"},
		reflect.TypeFor[posthaste.RequestState]():  {"nothing", "expired"},
	}}
}

// text is one that nothing else on the page holds.
func (f *filler) text() string {
	f.n++
	return fmt.Sprintf("‹%03d›", f.n)
}

func (f *filler) fill(v reflect.Value) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		f.n++
		*at = time.Date(2026, 3, 1, 0, f.n, 0, 0, time.UTC)
		f.shown[at.Format(time.RFC3339)] = at.Format("2006-01-02 15:04 UTC")
		return
	}
	switch words, is := f.words[v.Type()]; {
	case is && len(words) == 0:
		f.tb.Fatalf("there are too few words for %s", v.Type())
	case is:
		v.SetString(words[0])
		f.words[v.Type()] = words[1:]
		f.shown[prefixes[v.Type()]+words[0]] = pages.Word("en", prefixes[v.Type()]+words[0])
	case v.Kind() == reflect.String:
		v.SetString(f.text())
	case v.CanInt():
		f.n++
		v.SetInt(int64(70000 + f.n))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case v.Type() == reflect.TypeFor[[]posthaste.Purpose]() && f.purposes == 1: // there are but a few of them
		v.Set(reflect.ValueOf([]posthaste.Purpose{}))
	case v.Type() == reflect.TypeFor[[]posthaste.Purpose]():
		f.purposes++
		v.Set(reflect.ValueOf([]posthaste.Purpose{"notice", "clicks"}))
		f.shown["notice"], f.shown["clicks"] = pages.Word("en", "notice"), pages.Word("en", "clicks")
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case v.Type() == reflect.TypeFor[map[string]string]():
		v.Set(reflect.ValueOf(map[string]string{f.text(): f.text(), f.text(): f.text()}))
	case v.Type() == reflect.TypeFor[map[string]any]():
		f.n++
		v.Set(reflect.ValueOf(map[string]any{f.text(): map[string]any{f.text(): []any{f.text()}}, f.text(): 70000.5 + float64(f.n)}))
	default:
		f.tb.Fatalf("fill %s", v.Type())
	}
}

// leaves are all values of a JSON text, and the keys of what is no struct in Go.
func leaves(v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.HasPrefix(key, "‹") {
				all = append(all, key)
			}
			if state, is := value.(string); is && key == "state" && v["due_at"] != nil {
				value = "request_" + state
			}
			all = append(all, leaves(value)...)
		}
	case []any:
		for _, item := range v {
			all = append(all, leaves(item)...)
		}
	default:
		all = append(all, fmt.Sprint(v))
	}
	return all
}

var cell = regexp.MustCompile(`(?s)<td[^>]*>(.*?)</td>`)

// TestPageShowsAllOfTheFile fills every field that an export has, and finds each
// on the page. A new field fails it until sections.go has a place for it.
func TestPageShowsAllOfTheFile(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 1, nil)
	var out posthaste.Export
	fill := newFiller(t)
	fill.fill(reflect.ValueOf(&out).Elem())
	h.serveFrom(telling{h.store, out}, nobody{t})
	link := "/d/" + h.keys.Seal(token.Data, token.Claims{RecipientID: h.people[0].ID, Number: h.request(0)})
	page := h.do(http.MethodPost, link, form, "show=yes").wantStatus(t, 200)
	file := h.do(http.MethodPost, link, form, "download=json").wantStatus(t, 200)
	var text strings.Builder
	for _, found := range cell.FindAllStringSubmatch(page.body, -1) {
		text.WriteString(escape.UnescapeString(found[1]) + "\n")
	}
	var tree any
	must(t, json.Unmarshal([]byte(file.body), &tree))
	all := leaves(tree)
	if len(all) < 100 {
		t.Fatalf("the file has %d values, so that this test proves nothing", len(all))
	}
	for _, value := range all {
		want, translated := fill.shown[value]
		if !translated {
			want = value
		}
		if n := strings.Count(text.String(), want); n != 1 { // more than once it might stand for something else
			t.Errorf("the page has %q (%q in the file) %d times", want, value, n)
		}
	}
	if t.Failed() {
		t.Log(text.String())
	}
}
