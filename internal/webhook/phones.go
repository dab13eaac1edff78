package webhook

import (
	"strings"
	"unicode"
)

const (
	// digitsLeast and digitsMost are the digits of an international phone number (E.164 has 15 at most).
	digitsLeast = 7
	digitsMost  = 15
)

// phoneWords are what callers name phone numbers by, in the languages of Europe.
// When in doubt a word is here: an entry left out does less harm than one told.
var phoneWords = wordSet(`
	phone telephone cellphone mobilephone homephone workphone userphone contactphone phonenumber phoneno phonenr phonenum
	mobile mobilenumber mobileno mobilenr cell cellular cellnumber tel telno telnr telnum telnumber telephonenumber
	msisdn gsm landline fax telefax faxnumber faxno whatsapp whatsappnumber smsnumber
	handy handynummer handynr mobil mobilnummer mobiltelefon telefon telefonnummer telefonnr rufnummer festnetz faxnummer
	portable téléphone telefono teléfono telefone telefoon telefoonnummer telefonszám móvil movil celular cellulare telemóvel
	komórka matkapuhelin puhelin`)

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}

// WithoutPhones gives a copy of metadata without the entries that hold a phone
// number, going by the name ("phone", "mobile_no", "billingTel") or by the value
// ("+49 30 1234567", "0049301234567", "tel:…"). A number without a country code
// under a name that says nothing is not known for one, nor is one within a text.
func WithoutPhones(metadata map[string]string) map[string]string {
	kept := make(map[string]string, len(metadata))
	for name, value := range metadata {
		if !namesPhone(name) && !isPhone(name) && !isPhone(value) {
			kept[name] = value
		}
	}
	return kept
}

// namesPhone reports whether a name is one for phone numbers: as a whole, or by
// one of its words, or by two words that belong together ("WhatsApp").
func namesPhone(name string) bool {
	words := wordsOf(name)
	if isPhoneWord(strings.Join(words, "")) {
		return true
	}
	for i, word := range words {
		if isPhoneWord(word) || i > 0 && isPhoneWord(words[i-1]+word) {
			return true
		}
	}
	return false
}

func isPhoneWord(word string) bool {
	return phoneWords[word] || phoneWords[strings.TrimSuffix(word, "s")]
}

// wordsOf splits a name, in lower case, at all that is no letter and before a
// capital that begins a word: "homePhone2", "SMSMobile".
func wordsOf(name string) []string {
	letters := []rune(name)
	var spaced strings.Builder
	for i, r := range letters {
		if !unicode.IsLetter(r) {
			spaced.WriteByte(' ')
			continue
		}
		if i > 0 && unicode.IsUpper(r) {
			beginsLower := i+1 < len(letters) && unicode.IsLower(letters[i+1])
			if unicode.IsLower(letters[i-1]) || unicode.IsUpper(letters[i-1]) && beginsLower {
				spaced.WriteByte(' ')
			}
		}
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(spaced.String())
}

// isPhone reports whether a text is a phone number with its country code, in any
// of the ways that people and address books write one.
func isPhone(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	text, international := strings.CutPrefix(text, "tel:")
	if international {
		text, _, _ = strings.Cut(text, ";") // parameters (RFC 3966, 3)
	}
	digits, zeros := 0, 0 // zeros: how many lead
	for _, r := range text {
		switch {
		case unicode.IsDigit(r):
			if r == '0' && zeros == digits {
				zeros++
			}
			digits++
		case (r == '+' || r == '＋') && digits == 0:
			international = true
		case unicode.IsSpace(r), unicode.In(r, unicode.Pd, unicode.Cf), strings.ContainsRune("()./", r): // Cf: invisible marks
		default:
			return false
		}
	}
	most := digitsMost
	if zeros >= 2 { // 00 stands for the +
		international, most = true, digitsMost+2
	}
	return international && digits >= digitsLeast && digits <= most
}
