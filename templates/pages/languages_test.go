package pages_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/templates/pages"
)

func TestLanguages(t *testing.T) {
	t.Parallel()
	want := []pages.Language{{Tag: "de", Name: "Deutsch"}, {Tag: "en", Name: "English"}, {Tag: "es", Name: "Español"}, {Tag: "fr", Name: "Français"}}
	if diff := cmp.Diff(want, pages.Languages()); diff != "" {
		t.Errorf("languages (-want +got):\n%s", diff)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		accept    string
		preferred []string
		want      string
	}{
		{"nothing is known", "", nil, "en"},
		{"the first preferred that there is", "es", []string{"", "xx", "fr", "de"}, "fr"},
		{"a region of it", "", []string{"de-AT"}, "de"},
		{"a script and a region of it, whatever the case", "", []string{"DE-Latn-CH"}, "de"},
		{"the header when none is preferred", "es-MX,es;q=0.9,en;q=0.8", []string{"", "xx"}, "es"},
		{"the best of the header", "en;q=0.2, fr;q=0.9, de;q=0.5", nil, "fr"},
		{"the first of equals", "fr, de", nil, "fr"},
		{"the next when there is none of the best", "pt-BR, ca;q=0.9, es;q=0.5", nil, "es"},
		{"not what is not accepted", "de;q=0, fr;q=0.1", nil, "fr"},
		{"nothing that is accepted", "de;q=0, fr;q=0.0, es;q=-1", nil, "en"},
		{"any", "*", nil, "en"},
		{"any but one that is better", "*;q=0.5, de", nil, "de"},
		{"spaces and case", " FR-ca ; Q=0.7 ,, en;q=0.1", nil, "fr"},
		{"what cannot be read is passed over", "de;q=x, <script>;q=1, de;v=1, -, es;q=0.1", nil, "es"},
		{"not a number", "fr;q=NaN, de;q=0.1", nil, "de"},
	} {
		if got := pages.Match(tt.accept, tt.preferred...); got != tt.want {
			t.Errorf("%s: Match(%q, %q) = %q, want %q", tt.name, tt.accept, tt.preferred, got, tt.want)
		}
	}
}

func TestMatchLeavesThePreferredAlone(t *testing.T) {
	t.Parallel()
	preferred := []string{"xx", "de"}
	pages.Match("fr", preferred[:1]...)
	if preferred[1] != "de" {
		t.Errorf("the caller's list is %q", preferred)
	}
}

// TestTextsAreComplete holds every language to the same texts and placeholders.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("texts/*.json")
	if err != nil || len(names) != len(pages.Languages()) {
		t.Fatalf("%d texts: %v", len(names), err)
	}
	english := readTexts(t, "texts/en.json")
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			got := readTexts(t, name)
			if want := strings.TrimSuffix(filepath.Base(name), ".json"); got["lang"] != want {
				t.Errorf("its language is %q", got["lang"])
			}
			if got["dir"] != "ltr" && got["dir"] != "rtl" {
				t.Errorf("dir is %q", got["dir"])
			}
			for key, text := range english {
				if strings.TrimSpace(got[key]) == "" {
					t.Errorf("%s is empty", key)
				}
				if diff := cmp.Diff(placeholders(text), placeholders(got[key])); diff != "" {
					t.Errorf("%s has other placeholders than in English (-want +got):\n%s", key, diff)
				}
				if strings.Trim(got[key], " \t\n") != got[key] || strings.ContainsAny(got[key], "\r\n\t<>") {
					t.Errorf("%s: %q", key, got[key])
				}
			}
			for key := range got {
				if _, known := english[key]; !known {
					t.Errorf("%s is not there in English", key)
				}
			}
		})
	}
}

// TestTextsFillTexts holds the English ones to the struct: nothing that the
// pages show is missing from the file.
func TestTextsFillTexts(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("texts/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts pages.Texts
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		} else if v.Len() == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	walk("Texts", reflect.ValueOf(texts))
}

// TestDialects holds the French file to the spaces of its typography, which do
// not break, and the German and Spanish ones to their quotes.
func TestDialects(t *testing.T) {
	t.Parallel()
	for file, wrong := range map[string]string{
		"texts/fr.json": `[^\x{a0}][;?!»]|[^\x{a0}s]:|«[^\x{a0}]|'|\(e\)`, // "https:"
		"texts/de.json": `[^\d]"|'|“[^“„]*„[^“]*$|ß[A-Z]`,
		"texts/es.json": `[“”„']|[?!]\w`,
	} {
		re := regexp.MustCompile(wrong)
		for key, text := range readTexts(t, file) {
			if at := re.FindStringIndex(text); at != nil {
				t.Errorf("%s: %s: %q has %q", file, key, text, text[at[0]:at[1]])
			}
		}
	}
}

// readTexts gives every text of a file by its path: "mails.confirm.lead".
func readTexts(t *testing.T, name string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var file any
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	texts := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
		case []any:
			for i, value := range v {
				walk(path+"."+strconv.Itoa(i), value)
			}
		case string:
			texts[path] = v
		default:
			t.Errorf("%s: %s is %v", name, path, v)
		}
	}
	walk("", file)
	return texts
}

func placeholders(text string) []string {
	found := regexp.MustCompile(`\{[^}]*\}?`).FindAllString(text, -1)
	slices.Sort(found)
	return found
}

// TestWordings holds each purpose to a sentence of its own, in every language.
func TestWordings(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, language := range pages.Languages() {
		w := pages.Wordings(language.Tag + "-XX")
		for purpose, wording := range map[string]string{"topic": w.Topic("The Weekly & More"), "notice": w.Notice("New device"), "opens": w.Opens, "clicks": w.Clicks} {
			if !strings.HasSuffix(wording, ".") || strings.Count(wording, ".") != 1 || strings.Contains(wording, "{") {
				t.Errorf("%s: %s: %q is not one sentence", language.Tag, purpose, wording)
			}
			if other := seen[wording]; other != "" {
				t.Errorf("%s: %s says what %s says: %q", language.Tag, purpose, other, wording)
			}
			seen[wording] = language.Tag + " " + purpose
		}
		if !strings.Contains(w.Topic("The Weekly & More"), "The Weekly & More") || !strings.Contains(w.Notice("New device"), "New device") {
			t.Errorf("%s: the wordings do not name what they are about", language.Tag)
		}
	}
	if got := pages.Wordings("xx").Topic("\u202e{notice}\r\n"); got != "I would like to receive “{notice}  ” by email." {
		t.Errorf("Topic of a hostile name: %q", got)
	}
}

func TestFaultText(t *testing.T) {
	t.Parallel()
	for _, language := range pages.Languages() {
		seen := map[string]bool{}
		for _, key := range []string{"email_missing", "email_invalid", "name_invalid", "nothing_chosen"} {
			text := pages.FaultText(language.Tag, key)
			if text == key || seen[text] {
				t.Errorf("%s: %s is %q", language.Tag, key, text)
			}
			seen[text] = true
		}
	}
	if got := pages.FaultText("de", "x"); got != "x" {
		t.Errorf("of an unknown key: %q", got)
	}
}

// TestEveryWordOfTheLedgers holds the texts to what the domain has to say.
func TestEveryWordOfTheLedgers(t *testing.T) {
	t.Parallel()
	keys := []string{"email", "name", "locale", "time_zone", "created_at", "updated_at", "colon", "made_at", "id", "source", "policy", "language", "network", "confirmed_network",
		"region", "recorded_by", "asked_for_by", "message_id", "campaign", "attempts", "server_answer", "external_id", "metadata", "filled_in", "due_at", "why", "measured", "taken_for", "rule", "program", "network_of",
		"links_within_2s", "links_within_10s", "all_topics", string(posthaste.AccessRequest), string(posthaste.ErasureRequest), string(posthaste.CorrectionRequest),
		string(posthaste.ForTopic), string(posthaste.ForOpens), string(posthaste.ForClicks), string(posthaste.ForNotice),
		string(posthaste.Given), string(posthaste.Withdrawn), string(posthaste.Open), string(posthaste.Click),
		string(posthaste.ByImport), string(posthaste.ByAPI), string(posthaste.ByOneClick), string(posthaste.ByPage), string(posthaste.ByPreferences),
		string(posthaste.ByForm), string(posthaste.ByDesk), string(posthaste.ByUndo), string(posthaste.Erased),
		string(posthaste.OptedOut), string(posthaste.HardBounce), string(posthaste.Complaint), string(posthaste.Manual)}
	for _, state := range posthaste.DeliveryStates {
		keys = append(keys, string(state))
	}
	for _, state := range posthaste.NoticeStates {
		keys = append(keys, string(state))
	}
	for _, class := range posthaste.HitClasses {
		keys = append(keys, string(class))
	}
	for _, state := range posthaste.RequestStates {
		keys = append(keys, "request_"+string(state))
	}
	for _, language := range pages.Languages() {
		for _, key := range keys {
			if got := pages.Word(language.Tag, key); got == key {
				t.Errorf("%s: there is no word for %s", language.Tag, key)
			}
		}
	}
	if got := pages.Word("de", "campaign.sent"); got != "campaign.sent" {
		t.Errorf("of an unknown key: %q", got)
	}
}

func TestDataTexts(t *testing.T) {
	t.Parallel()
	columns := map[string]int{"profile": 2, "consents": 6, "suppressions": 4, "mails": 5, "notices": 5, "measurements": 5, "sign_ups": 5,
		"requests": 5, "log": 4, "decisions": 5, "recipients_of_data": 3}
	for _, language := range pages.Languages() {
		texts := pages.DataTexts(language.Tag)
		got := map[string]int{}
		for key, section := range texts {
			got[key] = len(section.Columns)
		}
		if diff := cmp.Diff(columns, got); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", language.Tag, diff)
		}
		texts["log"].Columns[0] = "changed"
		delete(texts, "mails")
		if again := pages.DataTexts(language.Tag); again["log"].Columns[0] == "changed" || again["mails"].Title == "" {
			t.Errorf("%s: a caller's change reaches the others", language.Tag)
		}
	}
}
