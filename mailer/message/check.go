package message

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"posthaste"
	"posthaste/internal/address"
)

const (
	maxSubject = 1000 // characters
	maxURL     = 900  // octets: the field must fit a line of 998
	maxID      = 255  // octets of List-Id (RFC 2919 section 3), used for Message-ID and Feedback-ID too
)

// faults lists what keeps the mailing from being sent. No header value may hold
// a control character: a line end would start a header of the author's choice.
func (m Mailing) faults() []posthaste.Field {
	var fields []posthaste.Field
	check := func(name, reason string) {
		if reason != "" {
			fields = append(fields, posthaste.Field{Name: name, Reason: reason})
		}
	}
	check("from", senderFault(m.From))
	if m.ReplyTo != (address.Mailbox{}) {
		check("reply_to", senderFault(m.ReplyTo))
	}
	check("to", mailboxFault(m.To))
	check("subject", subjectFault(m.Subject))
	check("html", bodyFault(m.HTML))
	check("text", bodyFault(m.Text))
	check("message_id", messageIDFault(m.MessageID))
	if m.Date.IsZero() || m.Date.UTC().Year() > 9999 {
		check("date", "is missing or cannot be written")
	}
	check("list_id", listIDFault(m.ListID))
	check("list_name", lineFault(m.ListName, address.MaxName))
	check("unsubscribe", urlFault(m.Unsubscribe))
	check("feedback_id", feedbackFault(m.FeedbackID))
	return fields
}

// senderFault also keeps out addresses that not every relay could be given.
func senderFault(m address.Mailbox) string {
	if reason := mailboxFault(m); reason != "" {
		return reason
	}
	if m.NeedsSMTPUTF8() {
		return "has letters beyond ASCII before the @, which few mail servers take from a sender"
	}
	return ""
}

// mailboxFault reads the address again, since it may not come from Parse.
func mailboxFault(m address.Mailbox) string {
	a, err := address.Parse(m.String())
	if err != nil {
		for _, f := range posthaste.FieldsOf(err) {
			return f.Reason
		}
		return "is not an address"
	}
	if a != m.Address {
		return "is not in its normal form"
	}
	if reason := lineFault(m.Name, address.MaxName); reason != "" {
		return "its name " + reason
	}
	return ""
}

// lineFault says why text is no single line of a header.
func lineFault(text string, most int) string {
	switch {
	case !utf8.ValidString(text):
		return "is not UTF-8"
	case strings.ContainsAny(text, "\r\n"):
		return "has a line break"
	case strings.IndexByte(text, 0) >= 0:
		return "has a NUL"
	case len(text) > most && utf8.RuneCountInString(text) > most:
		return "is too long"
	}
	return ""
}

func subjectFault(subject string) string {
	if strings.TrimSpace(subject) == "" {
		return "is empty"
	}
	return lineFault(subject, maxSubject)
}

func bodyFault(body []byte) string {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return "is empty"
	case !utf8.Valid(body):
		return "is not UTF-8"
	}
	return ""
}

// messageIDFault asks for dot-atom-text on both sides: RFC 5322 section 3.6.4.
func messageIDFault(id string) string {
	left, right, ok := strings.Cut(id, "@")
	if !ok || len(id) > maxID || !dotAtom(left) || !dotAtom(right) {
		return "is not of the form left@right in plain ASCII"
	}
	return ""
}

// listIDFault: RFC 2919 section 2.
func listIDFault(id string) string {
	if len(id) > maxID || !dotAtom(id) || !strings.Contains(id, ".") {
		return "is not of the form label.domain in plain ASCII"
	}
	return ""
}

func dotAtom(text string) bool {
	previous := byte('.')
	for i := range len(text) {
		if c := text[i]; c != '.' && !atext[c] || c == '.' && previous == '.' {
			return false
		}
		previous = text[i]
	}
	return previous != '.'
}

// atext is RFC 5322 section 3.2.3.
var atext = table("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")

// unreserved is RFC 3986 section 2.3.
var unreserved = table("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")

func table(characters string) (t [256]bool) {
	for i := range len(characters) {
		t[characters[i]] = true
	}
	return t
}

// extends reports whether a URL is one that is known to be good, of which the
// rest behind the last slash is another, of unreserved characters.
func extends(good, text string) bool {
	if len(text) <= len(good) || len(text) > maxURL || text[:len(good)] != good {
		return false
	}
	for i := len(good); i < len(text); i++ {
		if !unreserved[text[i]] {
			return false
		}
	}
	return true
}

// feedbackFault: up to three ids and the sender's, of 5 to 15 characters, as
// Google's feedback loop reads them.
func feedbackFault(id string) string {
	if id == "" {
		return ""
	}
	parts := strings.Split(id, ":")
	sender := parts[len(parts)-1]
	switch {
	case len(id) > maxID || strings.Trim(id, idChars+":") != "":
		return "has characters other than letters, digits, dot, hyphen and underscore, or is too long"
	case len(parts) > 4:
		return "has more than four parts"
	case len(sender) < 5 || len(sender) > 15:
		return "has a last part, the sender, that is not of 5 to 15 characters"
	}
	return ""
}

const idChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// urlFault: RFC 8058 section 3.1 wants an HTTPS URI, and one that names the
// recipient: a bare host cannot.
func urlFault(text string) string {
	if len(text) > maxURL || text == "" || strings.ContainsFunc(text, notURI) {
		return "is missing, too long, or has characters that no URL has"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "is not a URL with a host"
	case u.User != nil || strings.Contains(text, "#"):
		return "may have neither a user nor a fragment"
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return "must begin with https://"
	case strings.Trim(u.Path, "/") == "" && u.RawQuery == "":
		return "has no path or query that could name the recipient"
	}
	return ""
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// notURI reports what RFC 3986 section 2 does not have. A comma it has, but
// List-Unsubscribe separates URIs by it and simple readers split there.
func notURI(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\^{|},`+"`", r)
}
