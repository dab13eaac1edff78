package pages

import (
	"maps"
	"slices"
)

// SectionText has the words of one section of YourData.
type SectionText struct {
	Title   string   `json:"title"`
	Lead    string   `json:"lead"`
	Empty   string   `json:"empty"`
	Columns []string `json:"columns"`
}

// With makes the section, of rows that are as long as Columns.
func (t SectionText) With(rows [][]string) Section {
	return Section{Title: t.Title, Lead: t.Lead, Empty: t.Empty, Columns: t.Columns, Rows: rows}
}

// DataTexts gives the words of the sections, by key, with these columns:
//
//	profile             what, entry
//	consents            date, purpose, decision, wording, channel, details
//	suppressions        date, what is stopped, reason, evidence
//	mails               date, subject, topic, state, details
//	notices             date, notice, state, attempts, details
//	measurements        date, open or click, mail, link, network
//	sign_ups            date, form, wording, when confirmed, details
//	requests            date, request, channel, state, details
//	log                 date, operation, by whom, details
//	decisions           date, decision, rule, data used, how to reverse it
//	recipients_of_data  who, what, why
//
// Details are facts, one to a line, each with its label: see Word.
func DataTexts(lang string) map[string]SectionText {
	texts := maps.Clone(load().texts(lang).Sections)
	for key, t := range texts {
		t.Columns = slices.Clone(t.Columns)
		texts[key] = t
	}
	return texts
}

// Word says in a language what the ledgers call by a key: a purpose, decision,
// channel, reason, state, kind of hit or request, or the label of a field; and
// with "colon" what stands between a label and its value.
// A key that is not among the texts stands for itself.
func Word(lang, key string) string { return or(load().texts(lang).Words[key], key) }
