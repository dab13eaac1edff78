package pages

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Language is one in which there are texts.
type Language struct {
	Tag  string // BCP 47
	Name string // in the language itself
}

// Languages lists those in which there are texts, by tag.
func Languages() []Language {
	var all []Language
	for _, t := range load().languages {
		all = append(all, Language{t.Lang, t.Name})
	}
	slices.SortFunc(all, func(a, b Language) int { return strings.Compare(a.Tag, b.Tag) })
	return all
}

// Match gives the tag of the language to show: the first preferred one in which
// there are texts, else the best of an Accept-Language header (RFC 9110
// §12.5.4), else English. What cannot be read of the header is passed over.
func Match(accept string, preferred ...string) string {
	s := load()
	for _, lang := range slices.Concat(preferred, accepted(accept)) {
		if t, ok := s.lookup(lang); ok {
			return t.Lang
		}
	}
	return fallback
}

// fallback is the language that is always there.
const fallback = "en"

// accepted lists the languages of an Accept-Language header, best first.
func accepted(header string) []string {
	type weighed struct {
		lang   string
		weight float64
	}
	var all []weighed
	for entry := range strings.SplitSeq(header, ",") {
		lang, parameter, has := strings.Cut(entry, ";")
		w := weighed{strings.TrimSpace(lang), 1}
		if has {
			key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			weight, err := strconv.ParseFloat(value, 64)
			if err != nil || !strings.EqualFold(key, "q") {
				continue
			}
			w.weight = weight
		}
		if w.weight > 0 {
			all = append(all, w)
		}
	}
	slices.SortStableFunc(all, func(a, b weighed) int { return cmp.Compare(b.weight, a.weight) })
	languages := make([]string, len(all))
	for i, w := range all {
		languages[i] = w.lang
	}
	return languages
}

// lookup gives the texts of the language, or of the nearest one that contains
// it (RFC 4647 §3.4: "pt-BR", then "pt").
func (s *site) lookup(lang string) (Texts, bool) {
	tag := strings.ToLower(lang)
	for tag != "" {
		if t, ok := s.languages[tag]; ok {
			return t, true
		}
		cut := strings.LastIndexByte(tag, '-')
		tag = tag[:max(cut, 0)]
	}
	return Texts{}, false
}

// texts gives those of the language, or of the nearest, or English ones.
func (s *site) texts(lang string) Texts {
	if t, ok := s.lookup(lang); ok {
		return t
	}
	return s.languages[fallback]
}
