package machine_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"posthaste"
	"posthaste/tracker/machine"
)

func load(tb testing.TB, folder string) *machine.Rules {
	tb.Helper()
	rules, err := machine.Load(folder)
	if err != nil {
		tb.Fatal(err)
	}
	return rules
}

// labelled is a mail whose hits are known for what they were.
type labelled struct {
	Name    string
	Is      posthaste.HitClass
	Agent   string
	Network string
	Place   string
	Links   int
	Hits    [][2]float64
}

func (l labelled) hits(rules *machine.Rules) []posthaste.Hit {
	hits := make([]posthaste.Hit, len(l.Hits))
	var clicks []posthaste.Hit
	for i, at := range l.Hits {
		h := posthaste.Hit{Kind: posthaste.Open, Link: int(at[1]), Network: posthaste.ParseNetwork(l.Network), Agent: rules.Agent(l.Agent),
			At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC).Add(time.Duration(at[0] * float64(time.Second)))}
		if h.Place = rules.Place(h.Network); l.Place != "" {
			h.Place = l.Place
		}
		if h.Link > 0 {
			h.Kind = posthaste.Click
			clicks = append(clicks, h)
		}
		hits[i] = h
	}
	for n, burst := 0, posthaste.Bursts(clicks); n < len(burst); {
		for i := range hits {
			if hits[i].Kind == posthaste.Click {
				hits[i].Burst = burst[n]
				n++
			}
		}
	}
	return hits
}

// confusion is how often hits of a class (row) were taken for one (column):
// human, proxy, prefetch, scanner, unknown. What is not on the diagonal is what the
// rules get wrong: it changes only on purpose.
const confusion = `
human     23  0  0  4  0
proxy      0  3  0  0  0
prefetch   0  0  6  0  0
scanner    1  0  0 24  0
unknown    0  0  0  0  4
`

func TestConfusion(t *testing.T) {
	t.Parallel()
	rules := load(t, "")
	text, err := os.ReadFile("testdata/hits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []labelled
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	counts := map[[2]posthaste.HitClass]int{}
	var wrong []string
	for _, l := range all {
		if !slices.Contains(posthaste.HitClasses, l.Is) {
			t.Fatalf("%s is %q, which is no class", l.Name, l.Is)
		}
		for _, h := range l.hits(rules) {
			v := rules.Judge(h, l.Links)
			counts[[2]posthaste.HitClass{l.Is, v.Class}]++
			if v.Class != l.Is {
				wrong = append(wrong, fmt.Sprintf("%s: %s by %s (agent %q, place %q, burst %+v)", l.Name, v.Class, v.Rule, h.Agent, h.Place, h.Burst))
			}
		}
	}
	var matrix strings.Builder
	matrix.WriteString("\n")
	for _, is := range posthaste.HitClasses {
		fmt.Fprintf(&matrix, "%-9s", is)
		for _, taken := range posthaste.HitClasses {
			fmt.Fprintf(&matrix, "%3d", counts[[2]posthaste.HitClass{is, taken}])
		}
		matrix.WriteString("\n")
	}
	if matrix.String() != confusion {
		t.Errorf("confusion matrix:%s\nwant:%s\nwrong:\n%s", matrix.String(), confusion, strings.Join(wrong, "\n"))
	}
}

// TestRulesAreWhole holds the data to what the code and the docs rely on.
func TestRulesAreWhole(t *testing.T) {
	t.Parallel()
	rules := load(t, "")
	agents, places, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range rules.Agents {
		agents[a.Name] = true
		for _, text := range slices.Concat(a.Begins, a.Contains) {
			if text != strings.ToLower(text) || text == "" {
				t.Errorf("agent %s: %q can never match", a.Name, text)
			}
		}
		if a.Source == "" {
			t.Errorf("agent %s has no source", a.Name)
		}
	}
	for _, p := range rules.Places {
		places[p.Name] = true
		if p.Source == "" {
			t.Errorf("place %s has no source", p.Name)
		}
	}
	for _, r := range rules.List {
		if names[r.Name] || r.Source == "" || !slices.Contains(posthaste.HitClasses, r.Class) || !slices.Contains([]string{"high", "medium", "low"}, r.Confidence) {
			t.Errorf("rule %+v", r)
		}
		names[r.Name] = true
		for _, a := range r.When.Agents {
			if !agents[a] {
				t.Errorf("rule %s names the agent %s, which there is not", r.Name, a)
			}
		}
		for _, p := range r.When.Places {
			if !places[p] {
				t.Errorf("rule %s names the place %s, which there is not", r.Name, p)
			}
		}
	}
	if rules.Version() < 1 {
		t.Error("the rules have no version")
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "apple-relay.csv", "# published by its owner\n172.224.224.0/31,GB,GB-EN,London,\n\n2a02:26f7:c9c8:4000::/64,DE,DE-BE,Berlin,\n203.0.113.9\n")
	write(t, dir, "datacentre.csv", "198.51.0.0/16\r\n")
	write(t, dir, "notes.txt", "nothing")
	rules := load(t, dir)
	for addr, want := range map[string]string{"66.249.84.9": "google", "66.249.96.1": "", "172.224.224.77": "apple-relay", "172.224.225.1": "", "2a02:26f7:c9c8::1": "apple-relay",
		"2a02:26f7:c9c9::1": "", "203.0.113.200": "apple-relay", "198.51.100.1": "datacentre", "2a00:1450:4010:c0b::1": "google"} {
		if got := rules.Place(posthaste.Cut(netip.MustParseAddr(addr))); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := rules.Place(posthaste.Network{}); got != "" {
		t.Errorf("an unknown network is in %q", got)
	}
}

func TestBadListsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text, want string }{
		"unknown place": {"aple-relay.csv", "192.0.2.0/24\n", "no place of that name; there are google, apple-relay, datacentre"},
		"no network":    {"datacentre.csv", "192.0.2.0/24\nnonsense,x\n", `datacentre.csv, line 2: "nonsense" is no network`},
	} {
		dir := t.TempDir()
		write(t, dir, c.file, c.text)
		if _, err := machine.Load(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := machine.Load(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "POSTHASTE_NETWORKS_DIR") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestAgentsAreRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	rules := load(t, "")
	for i := range 10_000 {
		if got := rules.Agent(fmt.Sprintf("Thunderbird/%d", i)); got != "mail-program" {
			t.Fatal(got)
		}
	}
	if got := rules.Agent(strings.Repeat("x", 1<<20) + "curl/"); got != "" {
		t.Errorf("what stands behind a megabyte is looked at: %q", got)
	}
}

func write(tb testing.TB, dir, name, text string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
