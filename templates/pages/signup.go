package pages

import "io"

// SignUp is a sign-up form.
type SignUp struct {
	Lang        string // BCP 47; English when there are no texts in it. Sent back as lang
	Sender      string
	Title       string // empty: a plain one
	Intro       string // shown as plain text, with its line breaks; may be empty
	Action      string // where the form is sent: a path, or for WriteEmbed an absolute address
	Email, Name string // as they were entered
	Topics      []Choice
	Measurement []Choice
	PolicyURL   string // of the privacy policy, or empty
	Version     int64  // of the form, sent back as version: what is agreed to is what was shown
	Faults      []Fault
}

// Fault is what is wrong with what was entered.
type Fault struct {
	Field string // email, name, topics or measurement; another stands above the form only
	Text  string // FaultText has some
}

type signUpTexts struct {
	Title       string            `json:"title"`
	Email       string            `json:"email"`
	Name        string            `json:"name"`
	Topics      string            `json:"topics"`
	Button      string            `json:"button"`
	Confirm     string            `json:"confirm"`
	Policy      string            `json:"policy"`
	Faulty      string            `json:"faulty"`
	FaultyTitle string            `json:"faulty_title"`
	FaultTexts  map[string]string `json:"fault_texts"`
	Sent        string            `json:"sent"`
	SentLead    string            `json:"sent_lead"`
	SentHelp    string            `json:"sent_help"`
}

// FaultText is what to say of a fault: email_missing, email_invalid,
// name_invalid or nothing_chosen. Another key is its own text.
func FaultText(lang, key string) string {
	return or(load().texts(lang).SignUp.FaultTexts[key], key)
}

type signUpView struct {
	frame
	P           SignUp
	T           signUpTexts
	Heading     string
	Faults      []faultLink
	Email, Name field
	Groups      []group
}

// field is one line of text to be entered.
type field struct {
	Label, Value, Fault string
}

// faultLink leads from the summary to the field.
type faultLink struct {
	Text, ID string
}

// WriteSignUp writes the form, sent as POST with email, name, lang and each
// ticked choice. A choice that is not Checked is not ticked. Faults stand above
// the form and again beside the fields that they name.
func WriteSignUp(w io.Writer, p SignUp) error {
	s := load()
	t := s.texts(p.Lang)
	v := newSignUpView(t, p)
	if len(p.Faults) > 0 {
		v.Title = values{"title": v.Title}.say(v.T.FaultyTitle).String()
	}
	return s.write(w, "sign-up", v)
}

func newSignUpView(t Texts, p SignUp) signUpView {
	v := signUpView{P: p, T: t.SignUp, Heading: or(p.Title, t.SignUp.Title)}
	v.frame = t.frame(v.Heading, p.Sender)
	v.Email = field{Label: v.T.Email, Value: p.Email}
	v.Name = field{Label: v.T.Name, Value: p.Name}
	topics := newGroup("topics", v.T.Topics, "", p.Topics)
	measurement := newGroup("measurement", t.Preferences.Measurement, t.Preferences.MeasurementLead, p.Measurement)
	for _, f := range p.Faults {
		link := faultLink{Text: f.Text}
		switch f.Field {
		case "email":
			v.Email.Fault, link.ID = f.Text, "email"
		case "name":
			v.Name.Fault, link.ID = f.Text, "name"
		case "topics":
			link.ID = topics.refuse(f.Text)
		case "measurement":
			link.ID = measurement.refuse(f.Text)
		}
		v.Faults = append(v.Faults, link)
	}
	v.Groups = filled(topics, measurement)
	return v
}

// SignUpSent is the page after a sign-up. It says the same whatever the
// address is, so that nobody learns whether it is known.
type SignUpSent struct {
	Lang   string // BCP 47; English when there are no texts in it
	Sender string
}

type signUpSentView struct {
	frame
	T    signUpTexts
	Lead sentence
}

// WriteSignUpSent writes that a mail is on its way.
func WriteSignUpSent(w io.Writer, p SignUpSent) error {
	s := load()
	t := s.texts(p.Lang)
	lead := t.valuesToConfirm(p.Sender).say(t.SignUp.SentLead)
	return s.write(w, "sign-up-sent", signUpSentView{t.frame(t.SignUp.Sent, p.Sender), t.SignUp, lead})
}
