package pages

import "io"

// Correct is the page behind the link that makes a mailbox somebody's address.
type Correct struct {
	Lang   string // BCP 47; English when there are no texts in it
	Sender string
	Masked string // the new address, shown as it is: mask it before
	Before string // the address that it replaces, likewise
	Action string // path that the form is sent to
	Done   bool   // it is committed
	Taken  bool   // the new address is somebody else's: nothing was changed
	Gone   bool   // the link is too old; nothing else counts
}

type correctTexts struct {
	Title     string `json:"title"`
	Lead      string `json:"lead"`
	Button    string `json:"button"`
	Ignore    string `json:"ignore"`
	Done      string `json:"done"`
	DoneLead  string `json:"done_lead"`
	Taken     string `json:"taken"`
	TakenLead string `json:"taken_lead"`
	Gone      string `json:"gone"`
	GoneLead  string `json:"gone_lead"`
}

type correctView struct {
	frame
	P       Correct
	T       correctTexts
	Heading string
	Lead    sentence
}

// Ask reports that the page has its button.
func (v correctView) Ask() bool { return !v.P.Gone && !v.P.Taken && !v.P.Done }

// WriteCorrect writes both addresses and a button, sent as POST with correct=yes;
// or that it is done, or cannot be, or that the link is too old.
func WriteCorrect(w io.Writer, p Correct) error {
	s := load()
	t := s.texts(p.Lang)
	say := t.valuesOf(p.Sender, p.Masked)
	say["before"] = or(p.Before, t.AddressBefore)
	v := correctView{P: p, T: t.Correct}
	switch {
	case p.Gone:
		v.Heading, v.Lead = v.T.Gone, say.say(v.T.GoneLead)
	case p.Taken:
		v.Heading, v.Lead = v.T.Taken, say.say(v.T.TakenLead)
	case p.Done:
		v.Heading, v.Lead = v.T.Done, say.say(v.T.DoneLead)
	default:
		v.Heading, v.Lead = v.T.Title, say.say(v.T.Lead)
	}
	v.frame = t.frame(v.Heading, p.Sender)
	return s.write(w, "correct", v)
}
