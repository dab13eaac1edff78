package pages

import (
	"slices"
	"strconv"
	"strings"
)

// Choice is one checkbox. It is sent as Name=yes when ticked, else not at all.
type Choice struct {
	Name    string // form field
	Label   string // of a consent: the sentence that Wording gives
	Help    string // one sentence more, or empty
	Checked bool
}

// group is a set of boxes under one heading.
type group struct {
	ID      string
	Legend  string
	Lead    string
	Fault   string // empty: nothing is wrong with it
	Shown   bool   // each sends shown=NAME too
	Choices []box
}

// box is a choice with the id that ties its label and help to it.
type box struct {
	Choice
	ID      string
	Invalid bool
}

func newGroup(id, legend, lead string, choices []Choice) group {
	g := group{ID: id, Legend: legend, Lead: lead}
	for i, c := range choices {
		g.Choices = append(g.Choices, box{Choice: c, ID: id + "-" + strconv.Itoa(i+1)})
	}
	return g
}

// refuse says what is wrong with the group, and gives the id of its first box;
// none when the group is not shown.
func (g *group) refuse(fault string) string {
	g.Fault = fault
	for i := range g.Choices {
		g.Choices[i].Invalid = true
	}
	if len(g.Choices) == 0 {
		return ""
	}
	return g.Choices[0].ID
}

// DescribedBy names what tells more about the group.
func (g group) DescribedBy() string {
	var ids []string
	if g.Lead != "" {
		ids = append(ids, g.ID+"-lead")
	}
	if g.Fault != "" {
		ids = append(ids, g.ID+"-fault")
	}
	return strings.Join(ids, " ")
}

// filled leaves out the groups without a box.
func filled(groups ...group) []group {
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.Choices) == 0 })
}
