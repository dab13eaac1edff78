package pages

// Wording has the exact sentences that stand beside the boxes. They are what a
// recipient agrees to, so they go into the consent ledger as they are. Each
// purpose is a sentence of its own.
type Wording struct {
	Opens  string // whether and when mails are opened
	Clicks string // which links are followed, and when
	texts  wordingTexts
}

type wordingTexts struct {
	Topic  string `json:"topic"`
	Notice string `json:"notice"`
	Opens  string `json:"opens"`
	Clicks string `json:"clicks"`
}

// Wordings gives the sentences in a language, or English ones.
func Wordings(lang string) Wording {
	t := load().texts(lang).Wording
	return Wording{Opens: t.Opens, Clicks: t.Clicks, texts: t}
}

// Topic is the sentence for mailings of the topic of that name.
func (w Wording) Topic(name string) string {
	return values{"topic": name}.say(w.texts.Topic).String()
}

// Notice is the sentence for notices of the optional type of that name.
func (w Wording) Notice(name string) string {
	return values{"notice": name}.say(w.texts.Notice).String()
}
