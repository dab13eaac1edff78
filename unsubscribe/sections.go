package unsubscribe

import (
	"maps"
	"slices"
	"strings"
	"time"

	"posthaste"
	"posthaste/templates/pages"
)

// section makes a table of what an export lists. The columns are those that
// pages.DataTexts names.
func section[T any](text pages.SectionText, list []T, row func(T) []string) pages.Section {
	rows := make([][]string, len(list))
	for i, item := range list {
		rows[i] = row(item)
	}
	return text.With(rows)
}

// sections make an export readable.
func sections(lang string, out posthaste.Export) []pages.Section {
	texts := pages.DataTexts(lang)
	word := func(key string) string { return pages.Word(lang, key) }
	return []pages.Section{
		texts["profile"].With(profile(out.Person, word)),
		section(texts["consents"], out.Consents, func(c posthaste.ExportConsent) []string {
			return []string{day(c.At), both(word(string(c.Purpose)), c.Name), word(string(c.Decision)), c.Wording, word(string(c.Channel)), both(c.Source, c.Policy), c.Network}
		}),
		section(texts["sign_ups"], out.SignUps, func(u posthaste.ExportSignUp) []string {
			return []string{day(u.RequestedAt), both(u.Form, u.Name), strings.Join(u.Wordings, "\n"), dayOrNone(u.ConfirmedAt), both(u.Network, u.ConfirmedNetwork)}
		}),
		section(texts["suppressions"], out.Suppressions, func(x posthaste.ExportSuppression) []string {
			scope := x.Scope
			if scope == "all" {
				scope = word("all_topics")
			}
			return []string{day(x.At), scope, word(string(x.Reason)), both(x.Evidence, x.Actor)}
		}),
		section(texts["mails"], out.Mailings, func(m posthaste.ExportMailing) []string {
			return []string{day(m.At), both(m.Subject, m.Campaign), m.Topic, word(string(m.State)), m.Answer}
		}),
		section(texts["notices"], out.Notices, func(n posthaste.ExportNotice) []string {
			return []string{day(n.At), n.Type, word(string(n.State)), answers(n)}
		}),
		section(texts["measurements"], out.Hits, func(h posthaste.ExportHit) []string {
			return []string{day(h.At), word(string(h.Kind)), h.Campaign, h.Link, h.Network}
		}),
		section(texts["decisions"], out.Decisions, func(d posthaste.ExportDecision) []string {
			return []string{day(d.At), word(d.Decision), d.Rule, d.Input, d.Reversal}
		}),
		section(texts["requests"], out.Requests, func(q posthaste.ExportRequest) []string {
			return []string{day(q.At), word(string(q.Kind)), word(string(q.Channel)), both(word("request_"+string(q.State)), dayOrNone(q.EndedAt))}
		}),
		section(texts["log"], out.Log, func(l posthaste.ExportLogEntry) []string {
			return []string{day(l.At), l.Action, l.Actor, both(l.Reason, both(l.Network, l.Region))}
		}),
		section(texts["recipients_of_data"], out.Receivers, func(r string) []string {
			who, rest, _ := strings.Cut(r, ": ")
			what, why, _ := strings.Cut(rest, "; ")
			return []string{who, what, why}
		}),
	}
}

func profile(p posthaste.ExportPerson, word func(string) string) [][]string {
	rows := [][]string{{word("email"), p.Email}, {word("name"), p.Name}, {word("locale"), p.Locale}, {word("time_zone"), p.TimeZone},
		{word("created_at"), day(p.CreatedAt)}, {word("updated_at"), day(p.UpdatedAt)}}
	for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
		rows = append(rows, []string{name, p.Attributes[name]})
	}
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// answers are what servers said to the attempts of a notice.
func answers(n posthaste.ExportNotice) string {
	var all []string
	for _, a := range n.Attempts {
		if a.Answer != "" {
			all = append(all, a.Answer)
		}
	}
	return strings.Join(all, "\n")
}

func day(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

func dayOrNone(at *time.Time) string {
	if at == nil {
		return ""
	}
	return day(*at)
}

// both joins two texts, of which either may be empty.
func both(a, b string) string { return strings.Trim(a+" · "+b, " ·") }
