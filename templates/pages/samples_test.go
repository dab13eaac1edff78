package pages_test

import "posthaste/templates/pages"

// sample is a page in one of its states, by the name of its golden file.
type sample struct {
	name string
	page any
}

const (
	shop   = "Harbour & Lane Books"
	masked = "i…@example.com"
)

// samples are every page in every state, with texts in a language.
func samples(lang string) []sample {
	words := pages.Wordings(lang)
	topics := []pages.Choice{
		{Name: "topic-1", Label: words.Topic("The Reading Room"), Help: "Four books, once a month.", Checked: true},
		{Name: "topic-2", Label: words.Topic("Evenings at the shop")},
	}
	notices := []pages.Choice{
		{Name: "notice-1", Label: words.Notice("Monthly statement"), Checked: true},
		{Name: "notice-2", Label: words.Notice("New device")},
	}
	measurement := []pages.Choice{
		{Name: "opens", Label: words.Opens},
		{Name: "clicks", Label: words.Clicks, Checked: true},
	}
	var all []sample
	for _, of := range [][]sample{
		unsubscribing(lang), preferring(lang, topics, notices, measurement), signingUp(lang, topics, measurement), confirming(lang), knowing(lang), correcting(lang),
		{
			{"problem", pages.Problem{Lang: lang, Status: 404, Title: "This link is not valid", Text: "It may have been cut in two. Try to copy all of it from the mail.", RequestID: "01JD8Q"}},
			{"problem_bare", pages.Problem{Lang: lang, Title: "Try again in a minute"}},
		},
	} {
		all = append(all, of...)
	}
	return all
}

func unsubscribing(lang string) []sample {
	p := pages.Unsubscribe{Lang: lang, Topic: "The Reading Room", Sender: shop, Action: "/u/abc", Preferences: "/p/abc"}
	done, undone := p, p
	done.Done, undone.Undone = true, true
	asking, thanking := done, done
	asking.Undo, asking.Reasons = "u-1", true
	thanking.Undo, thanking.Reasons, thanking.Thanked = "u-1", true, true
	return []sample{
		{"unsubscribe", p},
		{"unsubscribe_alone", pages.Unsubscribe{Lang: lang, Action: "/u/abc"}},
		{"unsubscribed", done},
		{"unsubscribed_asking", asking},
		{"unsubscribed_thanking", thanking},
		{"unsubscribed_undone", undone},
	}
}

func preferring(lang string, topics, notices, measurement []pages.Choice) []sample {
	p := pages.Preferences{Lang: lang, Sender: shop, MaskedAddress: masked, Action: "/p/abc", Topics: topics, Measurement: measurement}
	whole, saved, stopped, sent := p, p, p, p
	whole.Notices, whole.Languages, whole.Data = notices, pages.Languages(), true
	saved.Saved = true
	stopped.StopAll, stopped.Saved = true, true
	sent.Data, sent.LinkSent, sent.StopAll = true, true, true
	return []sample{
		{"preferences", whole},
		{"preferences_saved", saved},
		{"preferences_stopped", stopped},
		{"preferences_sent", sent},
		{"preferences_empty", pages.Preferences{Lang: lang, Action: "/p/abc"}},
	}
}

func signingUp(lang string, topics, measurement []pages.Choice) []sample {
	p := pages.SignUp{Lang: lang, Sender: shop, Title: "Books by mail", Intro: "Once a month, from behind the counter.\nNo more than that.",
		Action: "/s/books", PolicyURL: "https://example.com/privacy", Topics: unticked(topics), Measurement: unticked(measurement)}
	faulty, elsewhere := p, p
	faulty.Email, faulty.Name, faulty.Measurement = "ines@", "Inês", measurement
	faulty.Faults = []pages.Fault{
		{Field: "email", Text: pages.FaultText(lang, "email_invalid")},
		{Field: "name", Text: pages.FaultText(lang, "name_invalid")},
		{Field: "topics", Text: pages.FaultText(lang, "nothing_chosen")},
		{Text: "The form was open for too long."},
	}
	elsewhere.Action = "https://mail.example.com/s/books"
	return []sample{
		{"sign_up", p},
		{"sign_up_bare", pages.SignUp{Lang: lang, Action: "/s/books"}},
		{"sign_up_faulty", faulty},
		{"sign_up_embed", embed(elsewhere)},
		{"sign_up_sent", pages.SignUpSent{Lang: lang, Sender: shop}},
	}
}

func unticked(choices []pages.Choice) []pages.Choice {
	out := make([]pages.Choice, len(choices))
	for i, c := range choices {
		c.Checked = false
		out[i] = c
	}
	return out
}

func confirming(lang string) []sample {
	words := pages.Wordings(lang)
	p := pages.Confirm{Lang: lang, Sender: shop, Items: []string{words.Topic("The Reading Room"), words.Opens}, Action: "/confirm/abc"}
	done := p
	done.Done, done.Preferences = true, "/p/abc"
	return []sample{
		{"confirm", p},
		{"confirm_done", done},
		{"confirm_gone", pages.Confirm{Lang: lang, Sender: shop, Gone: true, Form: "/s/books"}},
		{"confirm_gone_alone", pages.Confirm{Lang: lang, Gone: true}},
	}
}

func knowing(lang string) []sample {
	p := pages.YourData{Lang: lang, Sender: shop, Masked: masked, Kind: pages.Access, Sections: sections(lang), DownloadAction: "/data/abc", EraseAction: "/data/abc"}
	erasure := p
	erasure.Kind, erasure.Sections = pages.Erasure, p.Sections[:2]
	return []sample{
		{"data", p},
		{"data_erasure", erasure},
		{"data_to_show", pages.YourData{Lang: lang, Sender: shop, Masked: masked, Kind: pages.Access, ShowAction: "/data/abc", EraseAction: "/data/abc"}},
		{"data_erased", pages.YourData{Lang: lang, Sender: shop, Erased: true, Receipt: []string{"1 entry", "3 consents", "A fingerprint of the address stays."}}},
		{"data_gone", pages.YourData{Lang: lang, Sender: shop, Gone: true}},
	}
}

func correcting(lang string) []sample {
	p := pages.Correct{Lang: lang, Sender: shop, Masked: masked, Before: "i…@old.example", Action: "/a/abc"}
	done, taken, gone := p, p, p
	done.Done, taken.Taken, gone.Gone = true, true, true
	return []sample{
		{"correct", p},
		{"correct_bare", pages.Correct{Lang: lang, Action: "/a/abc"}},
		{"correct_done", done},
		{"correct_taken", taken},
		{"correct_gone", gone},
	}
}

func sections(lang string) []pages.Section {
	texts, words := pages.DataTexts(lang), pages.Wordings(lang)
	word := func(key string) string { return pages.Word(lang, key) }
	const at = "2026-03-01 09:30 UTC"
	fact := func(key, value string) string { return word(key) + word("colon") + " " + value }
	return []pages.Section{
		texts["profile"].With([][]string{{word("email"), "ines@example.com"}, {word("name"), "Inês"}, {word("created_at"), at}, {word("id"), "4711"}}),
		texts["consents"].With([][]string{
			{at, word("topic"), word("given"), words.Topic("The Reading Room"), word("form"), fact("source", "https://example.com/a/form/with/a/long/address") + "\n" + fact("network", "192.0.2.0/24")},
			{at, word("opens"), word("withdrawn"), words.Opens, word("preferences"), fact("network", "2001:db8:1::/48")},
		}),
		texts["suppressions"].With(nil),
		texts["mails"].With([][]string{{at, "Four books for long evenings", "The Reading Room", word("accepted"), fact("attempts", "1") + "\n" + fact("server_answer", "250 2.0.0 OK")}}),
		texts["log"].With([][]string{{at, "export", word("desk"), fact("why", "ticket 4711")}}),
	}
}
