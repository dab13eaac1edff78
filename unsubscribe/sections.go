package unsubscribe

import (
	"maps"
	"slices"
	"strconv"
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

// sections make an export readable. They leave nothing out that is in it: who
// reads the page knows as much as who takes the file.
func sections(lang string, out posthaste.Export) []pages.Section {
	texts := pages.DataTexts(lang)
	word := func(key string) string { return pages.Word(lang, key) }
	facts := func(labelsAndValues ...string) string { return facts(word, labelsAndValues...) }
	return []pages.Section{
		texts["profile"].With(profile(out, word)),
		section(texts["consents"], out.Consents, func(c posthaste.ExportConsent) []string {
			return []string{day(c.At), both(word(string(c.Purpose)), c.Name), word(string(c.Decision)), c.Wording, word(string(c.Channel)),
				facts("source", c.Source, "policy", c.Policy, "language", c.Language, "network", c.Network, "recorded_by", c.Actor)}
		}),
		section(texts["sign_ups"], out.SignUps, func(u posthaste.ExportSignUp) []string {
			return []string{day(u.RequestedAt), u.Form, strings.Join(u.Wordings, "\n"), dayOrNone(u.ConfirmedAt),
				facts("name", u.Name, "language", u.Language, "network", u.Network, "confirmed_network", u.ConfirmedNetwork, "message_id", u.MessageID)}
		}),
		section(texts["suppressions"], out.Suppressions, func(x posthaste.ExportSuppression) []string {
			scope := x.Scope
			if scope == "all" {
				scope = word("all_topics")
			}
			return []string{day(x.At), scope, word(string(x.Reason)), lines(x.Evidence, facts("recorded_by", x.Actor))}
		}),
		section(texts["mails"], out.Mailings, func(m posthaste.ExportMailing) []string {
			return []string{day(m.At), m.Subject, m.Topic, word(string(m.State)), facts("campaign", m.Campaign, "attempts", strconv.Itoa(m.Attempts), "server_answer", m.Answer, "measured", strings.Join(words(m.Measured, word), ", "))}
		}),
		section(texts["notices"], out.Notices, func(n posthaste.ExportNotice) []string {
			return []string{day(n.At), n.Type, word(string(n.State)), attempts(n.Attempts, word),
				lines(facts("name", n.Name, "language", n.Locale, "asked_for_by", n.Actor, "external_id", n.ExternalID), noted(n.Metadata, word), filledIn(n.Data, word))}
		}),
		section(texts["measurements"], out.Hits, func(h posthaste.ExportHit) []string {
			return []string{day(h.At), word(string(h.Kind)), h.Campaign, h.Link, facts("network", h.Network, "region", h.Region, "taken_for", word(string(h.Class)), "rule", h.Rule,
				"program", h.Agent, "network_of", h.Place, "links_within_2s", count(h.In2s), "links_within_10s", count(h.In10s))}
		}),
		section(texts["decisions"], out.Decisions, func(d posthaste.ExportDecision) []string {
			return []string{day(d.At), word(d.Decision), d.Rule, d.Input, d.Reversal}
		}),
		section(texts["requests"], out.Requests, func(q posthaste.ExportRequest) []string {
			return []string{day(q.At), word(string(q.Kind)), word(string(q.Channel)), both(word("request_"+string(q.State)), dayOrNone(q.EndedAt)),
				facts("due_at", day(q.DueAt), "email", q.NewAddress, "recorded_by", q.Actor, "why", q.Reason)}
		}),
		section(texts["log"], out.Log, func(l posthaste.ExportLogEntry) []string {
			return []string{day(l.At), l.Action, l.Actor, facts("why", l.Reason, "network", l.Network, "region", l.Region)}
		}),
		section(texts["recipients_of_data"], out.Receivers, func(r string) []string {
			who, rest, _ := strings.Cut(r, ": ")
			what, why, _ := strings.Cut(rest, "; ")
			return []string{who, what, why}
		}),
	}
}

func profile(out posthaste.Export, word func(string) string) [][]string {
	p := out.Person
	rows := [][]string{{word("email"), p.Email}, {word("name"), p.Name}, {word("locale"), p.Locale}, {word("time_zone"), p.TimeZone},
		{word("created_at"), day(p.CreatedAt)}, {word("updated_at"), day(p.UpdatedAt)}, {word("id"), strconv.FormatInt(p.ID, 10)}, {word("made_at"), day(out.MadeAt)}}
	for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
		rows = append(rows, []string{name, p.Attributes[name]})
	}
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
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
