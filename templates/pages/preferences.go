package pages

import "io"

// Preferences is the preference centre of one recipient and one sender.
type Preferences struct {
	Lang          string // BCP 47; English when there are no texts in it
	Sender        string
	MaskedAddress string // shown as it is: mask it before
	Action        string // path that all forms are sent to
	Topics        []Choice
	Notices       []Choice // each sends shown=NAME too, so that one that was not shown is not taken for unticked
	Measurement   []Choice
	Languages     []Language // to choose from; empty: the language cannot be changed here
	Data          bool       // offer the links to one's own data
	StopAll       bool       // all mail is stopped
	Saved         bool       // the last POST was carried out
	LinkSent      bool       // the mail with a link to one's own data was asked for
}

type preferencesTexts struct {
	Title           string `json:"title"`
	Lead            string `json:"lead"`
	Topics          string `json:"topics"`
	Notices         string `json:"notices"`
	NoticesLead     string `json:"notices_lead"`
	Measurement     string `json:"measurement"`
	MeasurementLead string `json:"measurement_lead"`
	Language        string `json:"language"`
	Save            string `json:"save"`
	Saved           string `json:"saved"`
	Stop            string `json:"stop"`
	StopLead        string `json:"stop_lead"`
	StopButton      string `json:"stop_button"`
	AllStopped      string `json:"all_stopped"`
	Data            string `json:"data"`
	DataLead        string `json:"data_lead"`
	DataSend        string `json:"data_send"`
	EraseSend       string `json:"erase_send"`
	LinkSent        string `json:"link_sent"`
}

type preferencesView struct {
	frame
	P        Preferences
	T        preferencesTexts
	Lead     sentence
	News     []sentence // how things stand after the last POST
	Groups   []group
	StopLead sentence // empty when all mail is stopped
	DataLead sentence // empty when it is not offered
}

// Form reports whether there is anything to save.
func (v preferencesView) Form() bool { return len(v.Groups)+len(v.P.Languages) > 0 }

// WritePreferences writes the preference centre: a form with the topics, the
// notices, the measurements, the language as lang=TAG, beside the one that the
// page is in as shown_in=TAG, and a button sent as
// save=yes; and forms of their own, whose buttons are sent as stop=all, data=send
// and erase=send. The language that stands selected is the one of the page, so
// one that is sent back unchanged says nothing about a finer one, as de-AT.
func WritePreferences(w io.Writer, p Preferences) error {
	s := load()
	t := s.texts(p.Lang)
	v := preferencesView{frame: t.frame(t.Preferences.Title, p.Sender), P: p, T: t.Preferences}
	say := t.valuesOf(p.Sender, p.MaskedAddress)
	if p.MaskedAddress != "" {
		v.Lead = say.say(v.T.Lead)
	}
	if p.LinkSent {
		v.News = append(v.News, say.say(v.T.LinkSent))
	}
	switch {
	case p.StopAll:
		v.News = append(v.News, say.say(v.T.AllStopped))
	case p.Saved:
		v.News = append(v.News, say.say(v.T.Saved))
	}
	if !p.StopAll {
		v.StopLead = say.say(v.T.StopLead)
	}
	if p.Data {
		v.DataLead = say.say(v.T.DataLead)
	}
	topics := newGroup("topics", v.T.Topics, "", p.Topics)
	notices := newGroup("notices", v.T.Notices, v.T.NoticesLead, p.Notices)
	notices.Shown = true
	measurement := newGroup("measurement", v.T.Measurement, v.T.MeasurementLead, p.Measurement)
	v.Groups = filled(topics, notices, measurement)
	return s.write(w, "preferences", v)
}
