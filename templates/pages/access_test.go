package pages_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestWellFormed checks what the parser would silently mend: each element that
// needs an end tag has it, in order, and each id is there once.
func TestWellFormed(t *testing.T) {
	t.Parallel()
	void := []string{"meta", "input", "br", "hr", "link"}
	for _, tt := range documents("en") {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			page := render(t, tt.page)
			if !strings.HasPrefix(page, "<!DOCTYPE html>\n<html ") {
				t.Errorf("page begins %.30q", page)
			}
			var open []string
			ids := map[string]bool{}
			for z := html.NewTokenizer(strings.NewReader(page)); ; {
				kind := z.Next()
				if kind == html.ErrorToken {
					break
				}
				tok := z.Token()
				for _, a := range tok.Attr {
					if a.Key == "id" && ids[a.Val] {
						t.Errorf("id %q is there twice", a.Val)
					}
					ids[a.Val] = ids[a.Val] || a.Key == "id"
				}
				switch {
				case kind == html.StartTagToken && !slices.Contains(void, tok.Data):
					open = append(open, tok.Data)
				case kind == html.EndTagToken:
					if len(open) == 0 || open[len(open)-1] != tok.Data {
						t.Fatalf("</%s> closes %v", tok.Data, open)
					}
					open = open[:len(open)-1]
				}
			}
			if len(open) > 0 {
				t.Errorf("never closed: %v", open)
			}
		})
	}
}

// TestStructure holds each page to what a screen reader needs (WCAG 2.2: 1.3.1,
// 2.4.2, 2.4.6, 3.1.1, 4.1.2) and to having nothing that could run or be fetched.
func TestStructure(t *testing.T) {
	t.Parallel()
	for _, tt := range documents("en") {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			page := parse(t, render(t, tt.page))
			if attr(only(t, page, "html"), "lang") == "" || text(only(t, page, "title")) == "" {
				t.Error("the page has no language or no title")
			}
			only(t, page, "main")
			if text(only(t, page, "h1")) == "" {
				t.Error("the heading is empty")
			}
			for _, tag := range []string{"script", "img", "link", "iframe", "object", "base", "svg"} {
				if n := len(find(page, tag)); n > 0 {
					t.Errorf("the page has %d %s", n, tag)
				}
			}
			checkControls(t, page)
			checkAttributes(t, page)
		})
	}
}

func checkControls(t *testing.T, page *html.Node) {
	t.Helper()
	ids := map[string]string{}
	labels := map[string]string{}
	for _, n := range find(page, "") {
		if id := attr(n, "id"); id != "" {
			ids[id] = text(n)
		}
		if n.Data == "label" {
			labels[attr(n, "for")] = text(n)
		}
	}
	for _, n := range find(page, "") {
		switch {
		case (n.Data == "input" || n.Data == "select") && attr(n, "type") != "hidden" && strings.TrimSpace(labels[attr(n, "id")]) == "":
			t.Errorf("%s %v has no label", n.Data, n.Attr)
		case (n.Data == "button" || n.Data == "a" || n.Data == "legend") && strings.TrimSpace(text(n)) == "":
			t.Errorf("%s %v has no text", n.Data, n.Attr)
		case n.Data == "fieldset" && len(find(n, "legend")) != 1:
			t.Error("a fieldset has no legend")
		}
		for _, key := range []string{"aria-describedby", "aria-labelledby"} {
			for _, ref := range strings.Fields(attr(n, key)) {
				if strings.TrimSpace(ids[ref]) == "" {
					t.Errorf("%s names %q, which is not there", key, ref)
				}
			}
		}
	}
}

func checkAttributes(t *testing.T, page *html.Node) {
	t.Helper()
	for _, n := range find(page, "") {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s has the attribute %s", n.Data, a.Key)
			}
			ours := strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "#") || a.Val == "https://example.com/privacy"
			if isAddress(a.Key) && !ours {
				t.Errorf("%s leads to %q", n.Data, a.Val)
			}
		}
	}
}

// TestContrast takes the two palettes of the style and holds each pair of
// colours that meet to WCAG 2.2 §1.4.3 (text, 4.5:1) and §1.4.11 (edges, 3:1).
func TestContrast(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	css := string(raw)
	dark := strings.Index(css, "prefers-color-scheme: dark")
	if dark < 0 {
		t.Fatal("the style has no dark scheme")
	}
	pairs := []struct {
		front, back string
		least       float64
	}{
		{"ink", "card", 7}, {"soft", "card", 4.5}, {"accent", "card", 4.5}, {"press", "card", 4.5},
		{"soft", "paper", 4.5}, {"on", "accent", 4.5}, {"on", "press", 4.5}, {"ink", "tint", 7},
		{"fault", "card", 4.5}, {"edge", "card", 3}, {"accent", "paper", 3}, {"accent", "tint", 3},
	}
	for scheme, part := range map[string]string{"light": css[:dark], "dark": css[dark:]} {
		colour := palette(part)
		for _, p := range pairs {
			if got := contrast(t, colour[p.front], colour[p.back]); got < p.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", scheme, p.front, p.back, got, p.least)
			}
		}
	}
}

func palette(css string) map[string]string {
	colours := map[string]string{}
	for _, m := range regexp.MustCompile(`--(\w+): #([0-9a-f]+);`).FindAllStringSubmatch(css, -1) {
		if len(m[2]) == 3 {
			m[2] = fmt.Sprintf("%[1]c%[1]c%[2]c%[2]c%[3]c%[3]c", m[2][0], m[2][1], m[2][2])
		}
		colours[m[1]] = m[2]
	}
	return colours
}

// contrast is the ratio of WCAG 2.2 for two colours of six hexadecimal digits.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) != 6 {
		t.Fatalf("colour %q", hex)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(part) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}

func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// find gives the elements of that name under n, or all when it is empty.
func find(n *html.Node, name string) []*html.Node {
	var found []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && (name == "" || d.Data == name) {
			found = append(found, d)
		}
	}
	return found
}

func only(t *testing.T, n *html.Node, name string) *html.Node {
	t.Helper()
	found := find(n, name)
	if len(found) != 1 {
		t.Fatalf("%d %s, want 1", len(found), name)
	}
	return found[0]
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
