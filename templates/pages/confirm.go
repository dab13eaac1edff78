package pages

import "io"

// Confirm is the page behind the link of the mail that a sign-up causes.
type Confirm struct {
	Lang        string // BCP 47; English when there are no texts in it
	Sender      string
	Items       []string // the wordings that are confirmed
	Action      string   // path that the form is sent to
	Done        bool     // it is committed
	Gone        bool     // the link is too old; nothing else counts
	Preferences string   // once Done: path of the preference centre, or empty
	Form        string   // once Gone: path of the sign-up form, or empty
}

type confirmTexts struct {
	Title    string `json:"title"`
	Lead     string `json:"lead"`
	Button   string `json:"button"`
	Ignore   string `json:"ignore"`
	Done     string `json:"done"`
	DoneLead string `json:"done_lead"`
	DoneLink string `json:"done_link"`
	Gone     string `json:"gone"`
	GoneLead string `json:"gone_lead"`
	GoneLink string `json:"gone_link"`
}

type confirmView struct {
	frame
	P       Confirm
	T       confirmTexts
	Heading string
	Lead    sentence
}

// WriteConfirm writes what is to be confirmed and a button, sent as POST with
// confirm=yes; or that it is confirmed, or that the link is too old.
func WriteConfirm(w io.Writer, p Confirm) error {
	s := load()
	t := s.texts(p.Lang)
	say := t.valuesToConfirm(p.Sender)
	v := confirmView{P: p, T: t.Confirm}
	switch {
	case p.Gone:
		v.Heading, v.Lead = v.T.Gone, say.say(v.T.GoneLead)
	case p.Done:
		v.Heading, v.Lead = v.T.Done, say.say(v.T.DoneLead)
	default:
		v.Heading, v.Lead = v.T.Title, say.say(v.T.Lead)
	}
	v.frame = t.frame(v.Heading, p.Sender)
	return s.write(w, "confirm", v)
}
