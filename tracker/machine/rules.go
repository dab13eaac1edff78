// Package machine tells hits of people from those of machines, by rules that are
// data (rules.yaml): what a program calls itself, whose network it is in, and how
// many links of one mail were followed at once. A single sign that people share,
// such as a data centre's network, decides nothing.
//
// It reads what a request says of itself once and gives names for it; what is
// stored are the names, so that stored hits can be classed again when the rules
// change. It knows no HTTP and keeps nothing about anybody.
package machine

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"posthaste"
)

// Agent is a kind of program, told by its User-Agent.
type Agent struct {
	Name     string   `yaml:"name"`
	Equals   []string `yaml:"equals"`
	Begins   []string `yaml:"begins"`
	Contains []string `yaml:"contains"`
	Source   string   `yaml:"source"`
}

// Place is a kind of network.
type Place struct {
	Name     string   `yaml:"name"`
	Networks []string `yaml:"networks"`
	Relays   bool     `yaml:"relays"` // for people elsewhere: where it is says nothing of where they are
	Source   string   `yaml:"source"`
}

// Rule gives a class to the hits that all of When is true of.
type Rule struct {
	Name       string             `yaml:"name"`
	Class      posthaste.HitClass `yaml:"class"`
	Confidence string             `yaml:"confidence"` // high, medium, low
	When       When               `yaml:"when"`
	Source     string             `yaml:"source"`
}

// When is what a rule asks for. What is empty, or 0, does not matter.
type When struct {
	Kinds      []posthaste.HitKind `yaml:"kinds"`
	Agents     []string            `yaml:"agents"`
	Places     []string            `yaml:"places"`
	In2s       int                 `yaml:"links_in_2s"` // at least so many
	In10s      int                 `yaml:"links_in_10s"`
	ShareIn2s  float64             `yaml:"share_in_2s"` // of the mail's links, at least
	ShareIn10s float64             `yaml:"share_in_10s"`
}

// Rules class hits. They are safe for concurrent use.
type Rules struct {
	Number int     `yaml:"version"`
	Agents []Agent `yaml:"agents"`
	Places []Place `yaml:"places"`
	List   []Rule  `yaml:"rules"`

	networks networks

	mu    sync.RWMutex
	known map[string]string // names of programs by what they call themselves
}

//go:embed rules.yaml
var text []byte

// Load reads the rules, and the networks that an operator has for their places
// in a folder: see readPlaces. Without a folder there are those of the rules alone.
func Load(folder string) (*Rules, error) {
	r := &Rules{known: map[string]string{}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(r); err != nil {
		return nil, fmt.Errorf("read rules of hits: %w", err)
	}
	for _, p := range r.Places {
		for _, network := range p.Networks {
			if err := r.networks.add(network, p.Name); err != nil {
				return nil, fmt.Errorf("read rules of hits: place %s: %w", p.Name, err)
			}
		}
	}
	return r, r.readPlaces(folder)
}

// Version is that of the rules.
func (r *Rules) Version() int { return r.Number }

// keepAgents bounds the texts whose names are remembered.
const keepAgents = 4096

// agentLimit is how much of a User-Agent is looked at: more says nothing more.
const agentLimit = 512

// Agent gives the name of the program that calls itself so; empty when there is none.
func (r *Rules) Agent(userAgent string) string {
	userAgent = userAgent[:min(len(userAgent), agentLimit)]
	r.mu.RLock()
	name, known := r.known[userAgent]
	r.mu.RUnlock()
	if known {
		return name
	}
	name = r.findAgent(userAgent)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= keepAgents {
		clear(r.known)
	}
	r.known[strings.Clone(userAgent)] = name
	return name
}

func (r *Rules) findAgent(userAgent string) string {
	lower := strings.ToLower(userAgent)
	for _, a := range r.Agents {
		if slices.Contains(a.Equals, userAgent) ||
			slices.ContainsFunc(a.Begins, func(text string) bool { return strings.HasPrefix(lower, text) }) ||
			slices.ContainsFunc(a.Contains, func(text string) bool { return strings.Contains(lower, text) }) {
			return a.Name
		}
	}
	return ""
}

// Place gives the name of whose network it is; empty when it is in no list. A
// network counts as in a list also when only a part of it is: no more of the
// address is known.
func (r *Rules) Place(n posthaste.Network) string { return r.networks.find(n) }

// Located reports whether a network in that place tells where somebody is.
func (r *Rules) Located(place string) bool {
	return !slices.ContainsFunc(r.Places, func(p Place) bool { return p.Name == place && p.Relays })
}

// Judge classes a hit of a mail that has so many links.
func (r *Rules) Judge(h posthaste.Hit, links int) posthaste.Verdict {
	for _, rule := range r.List {
		if rule.When.holds(h, links) {
			return posthaste.Verdict{Class: rule.Class, Rule: rule.Name, Rules: r.Number}
		}
	}
	return posthaste.Verdict{Class: posthaste.ByUnknown, Rules: r.Number}
}

func (w When) holds(h posthaste.Hit, links int) bool {
	return (len(w.Kinds) == 0 || slices.Contains(w.Kinds, h.Kind)) &&
		(len(w.Agents) == 0 || slices.Contains(w.Agents, h.Agent)) &&
		(len(w.Places) == 0 || slices.Contains(w.Places, h.Place)) &&
		h.Burst.In2s >= w.In2s && h.Burst.In10s >= w.In10s &&
		atLeast(h.Burst.In2s, links, w.ShareIn2s) && atLeast(h.Burst.In10s, links, w.ShareIn10s)
}

// atLeast reports whether n is a share of all; of an unknown number nothing is.
func atLeast(n, all int, share float64) bool {
	return share == 0 || all > 0 && float64(n) >= share*float64(all)
}
