package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Texts are the words of these pages and mails in one language: one file in
// texts/, named for the language's BCP 47 tag. To add a language, add a file.
//
// {sender}, {topic}, {notice}, {address}, {before}, {title} and {days} stand for the
// page's own. Us stands for {sender} when it has no name, so each sentence must
// read well with both.
type Texts struct {
	Lang          string `json:"lang"` // as the file is named
	Dir           string `json:"dir"`  // ltr or rtl
	Name          string `json:"name"` // of the language, in itself
	Us            string `json:"us"`
	YourAddress   string `json:"your_address"`   // for an address that is not shown
	AddressBefore string `json:"address_before"` // for one that it replaces
	ThisTopic     string `json:"this_topic"`     // for a topic without a name

	Wording     wordingTexts           `json:"wording"`
	Unsubscribe unsubscribeTexts       `json:"unsubscribe"`
	Preferences preferencesTexts       `json:"preferences"`
	SignUp      signUpTexts            `json:"sign_up"`
	Confirm     confirmTexts           `json:"confirm"`
	Data        dataTexts              `json:"data"`
	Correct     correctTexts           `json:"correct"`
	Sections    map[string]SectionText `json:"sections"`
	Words       map[string]string      `json:"words"`
	Mails       mailsTexts             `json:"mails"`
	Problem     problemTexts           `json:"problem"`
}

// readTexts reads every language. A name that Texts does not know is an error:
// its text would be missing where it belongs.
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
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&t); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		languages[strings.ToLower(strings.TrimSuffix(path.Base(name), ".json"))] = t
	}
	return languages, nil
}

// values are those that most pages have.
func (t Texts) values(sender string) values {
	return values{"sender": or(sender, t.Us)}
}

// valuesOf are those of a page about an address.
func (t Texts) valuesOf(sender, address string) values {
	v := t.values(sender)
	v["address"] = or(address, t.YourAddress)
	v["days"] = strconv.Itoa(DataDays)
	return v
}

// valuesToConfirm are those of a page about a sign-up.
func (t Texts) valuesToConfirm(sender string) values {
	v := t.values(sender)
	v["days"] = strconv.Itoa(ConfirmDays)
	return v
}

// frame begins a page.
func (t Texts) frame(title, sender string) frame {
	return frame{Lang: t.Lang, Dir: t.Dir, Title: clean(title), Sender: clean(sender)}
}
