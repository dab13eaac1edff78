package templates

import (
	"strings"

	"posthaste/templates/language"
)

// names are the names that a template may use.
type names struct {
	list  []string
	known map[string]bool
	data  func(path []string) bool // of a notice, what stands under "data"; else nil
}

// authorNames are the names known to authors.
func authorNames(attributes []string) names {
	list := []string{
		"recipient.name", "recipient.email", "recipient.locale", "recipient.time_zone",
		"topic.name", "campaign.name", "sender.name", "sender.postal_address",
		"links.unsubscribe", "links.preferences",
	}
	for _, a := range attributes {
		list = append(list, "recipient.attributes."+a)
	}
	return namesOf(list)
}

func namesOf(list []string) names {
	n := names{list: list, known: make(map[string]bool, len(list))}
	for _, name := range list {
		n.known[name] = true
	}
	return n
}

// The names of a layout that are replaced by what the author wrote.
const (
	subjectName   = "subject"
	preheaderName = "preheader"
	contentName   = "content"
)

// dataName is under what a notice's data stand.
const dataName = "data"

// The names that Compile itself writes: the address of the n-th link, and of the pixel.
const (
	clickName = "links.click." // and n
	pixelName = "links.pixel"
)

// layout adds the names that only a layout knows.
func (n names) layout() names {
	return n.with(subjectName, preheaderName, contentName, "links.unsubscribe", "links.preferences", "notice.reason", "notice.name")
}

// with adds names.
func (n names) with(more ...string) names {
	all := namesOf(append(more, n.list...))
	all.data = n.data
	return all
}

func (n names) options(field string, context language.Context) language.Options {
	return language.Options{
		Name: field, Context: context, Names: n.list, TrustedURLs: trusted,
		Known: func(path []string) bool {
			if n.data != nil && len(path) > 1 && path[0] == dataName {
				return n.data(path[1:])
			}
			return n.known[dotted(path)]
		},
	}
}

// dotted joins a path; only the third part, an attribute's name, may itself hold a dot.
func dotted(path []string) string {
	for i, part := range path {
		if i != 2 && strings.Contains(part, ".") {
			return ""
		}
	}
	if len(path) > 3 {
		return ""
	}
	return strings.Join(path, ".")
}

// trusted are the URLs that we make.
func trusted(path []string) bool { return path[0] == "links" }
