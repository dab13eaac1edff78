package pages

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Texts are the words of these pages in one language: one file in texts/,
// named for the language's BCP 47 tag. To add a language, add a file.
// {topic}, {sender} and {address} stand for the page's own.
type Texts struct {
	Lang string `json:"lang"` // as the file is named
	Dir  string `json:"dir"`  // ltr or rtl

	We        string `json:"we"`         // for a sender without a name
	ThisTopic string `json:"this_topic"` // for a topic without a name

	Unsubscribe       string `json:"unsubscribe"`
	UnsubscribeLead   string `json:"unsubscribe_lead"`
	UnsubscribeButton string `json:"unsubscribe_button"`
	UnsubscribeLink   string `json:"unsubscribe_link"`
	Unsubscribed      string `json:"unsubscribed"`
	UnsubscribedLead  string `json:"unsubscribed_lead"`
	UnsubscribedLink  string `json:"unsubscribed_link"`

	Preferences     string `json:"preferences"`
	PreferencesLead string `json:"preferences_lead"`
	Topics          string `json:"topics"`
	Notices         string `json:"notices"`
	NoticesLead     string `json:"notices_lead"`
	Measurement     string `json:"measurement"`
	MeasurementLead string `json:"measurement_lead"`
	Save            string `json:"save"`
	Saved           string `json:"saved"`
	Stop            string `json:"stop"`
	StopLead        string `json:"stop_lead"`
	StopButton      string `json:"stop_button"`
	AllStopped      string `json:"all_stopped"`

	Error     string `json:"error"`
	Reference string `json:"reference"`
}

func readTexts(files fs.FS) (map[string]Texts, error) {
	names, err := fs.Glob(files, "texts/*.json")
	if err != nil {
		return nil, err
	}
	languages := make(map[string]Texts, len(names))
	for _, name := range names {
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var t Texts
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		languages[strings.ToLower(strings.TrimSuffix(path.Base(name), ".json"))] = t
	}
	return languages, nil
}

// texts gives those of the language, or of the nearest one that contains it
// (RFC 4647 §3.4: "pt-BR", then "pt"), or English.
func (s *site) texts(lang string) Texts {
	tag := strings.ToLower(lang)
	for tag != "" {
		if t, ok := s.languages[tag]; ok {
			return t
		}
		cut := strings.LastIndexByte(tag, '-')
		tag = tag[:max(cut, 0)]
	}
	return s.languages["en"]
}
