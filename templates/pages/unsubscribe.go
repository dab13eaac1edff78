package pages

import "io"

// Unsubscribe is the page behind the unsubscribe link of a mailing.
type Unsubscribe struct {
	Lang        string // BCP 47; English when there are no texts in it
	Topic       string // its name; may be empty when it is no longer known
	Sender      string // may be empty
	Done        bool   // the opt-out is committed: say so and ask nothing that matters
	Undo        string // once Done: the token that takes it back, or empty
	Reasons     bool   // once Done: offer to say why
	Thanked     bool   // the reason was kept; Done is taken for granted
	Undone      bool   // it was taken back; nothing else counts
	Action      string // path that the forms are sent to
	Preferences string // path of the preference centre, or empty
}

type unsubscribeTexts struct {
	Title       string            `json:"title"`
	Lead        string            `json:"lead"`
	Button      string            `json:"button"`
	Link        string            `json:"link"`
	Done        string            `json:"done"`
	DoneLead    string            `json:"done_lead"`
	DoneLink    string            `json:"done_link"`
	Undo        string            `json:"undo"`
	Undone      string            `json:"undone"`
	UndoneLead  string            `json:"undone_lead"`
	Why         string            `json:"why"`
	WhySend     string            `json:"why_send"`
	WhyThanks   string            `json:"why_thanks"`
	WhyOfReason map[string]string `json:"why_of_reason"`
}

// reasons are the values of the field "reason", in the order of the form.
var reasons = []string{"too_often", "not_interesting", "never_asked", "other"}

type unsubscribeView struct {
	frame
	P       Unsubscribe
	T       unsubscribeTexts
	Heading string
	Lead    sentence
	Button  sentence // empty once it is done
	Link    string   // text of the link to the preference centre
	Why     []reason
}

type reason struct{ Value, Label string }

// WriteUnsubscribe writes one sentence and one button, sent as POST with
// confirm=yes; or, when p.Done, that it is done, with a button sent as undo=TOKEN
// and a form sent as reason=too_often, not_interesting, never_asked or other, or
// without a reason. Only write errors are returned, by the others too.
func WriteUnsubscribe(w io.Writer, p Unsubscribe) error {
	s := load()
	t := s.texts(p.Lang)
	say := t.values(p.Sender)
	say["topic"] = or(p.Topic, t.ThisTopic)
	v := unsubscribeView{P: p, T: t.Unsubscribe}
	switch {
	case p.Undone:
		v.Heading, v.Lead, v.Link = v.T.Undone, say.say(v.T.UndoneLead), v.T.DoneLink
		v.P.Undo = ""
	case p.Done || p.Thanked:
		v.Heading, v.Lead, v.Link = v.T.Done, say.say(v.T.DoneLead), v.T.DoneLink
		if p.Reasons && !p.Thanked {
			v.Why = v.T.reasons()
		}
	default:
		v.Heading, v.Lead, v.Link = v.T.Title, say.say(v.T.Lead), v.T.Link
		v.Button = say.say(v.T.Button)
		v.P.Undo = ""
	}
	v.frame = t.frame(or(v.Button.String(), v.Heading), p.Sender)
	return s.write(w, "unsubscribe", v)
}

func (t unsubscribeTexts) reasons() []reason {
	all := make([]reason, len(reasons))
	for i, value := range reasons {
		all[i] = reason{value, t.WhyOfReason[value]}
	}
	return all
}
