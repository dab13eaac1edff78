// Package bounce judges what a next hop said: which replies are about the
// address, which about us, the message or the moment (Classify), and what
// becomes of the delivery (Decide). It follows RFC 3463 and RFC 5248 for
// enhanced status codes, RFC 7505 for null MX and RFC 5321 section 4.5.4.1 for
// retries, and what large providers write instead. It is pure: no I/O, no
// state, no clock. It does not parse delivery reports; a parser of those may
// ask Classify with the fields it found.
package bounce

import (
	"strings"

	"posthaste"
)

// Class is what a reply is about.
type Class string

// The classes.
const (
	// Hard: the address does not exist, now or ever. It is suppressed.
	Hard Class = "hard"
	// Soft: the mailbox or its server cannot take mail at present.
	Soft Class = "soft"
	// Throttle: we are too fast for this destination, or must come again (greylisting).
	Throttle Class = "throttle"
	// Blocked: reputation or policy, of the sender or of the text. Not about the address.
	Blocked Class = "blocked"
	// SenderConfig: authentication, DNS or TLS of the sender is wrong. Every mail will fail.
	SenderConfig Class = "sender_config"
	// Message: its size or form is not taken.
	Message Class = "message"
	// UnsupportedAddress: the way to the address cannot carry it (RFC 6531).
	UnsupportedAddress Class = "unsupported_address"
	// NotBounce: nothing was refused.
	NotBounce Class = "not_bounce"
	// Unknown: refused, and the reply does not say why.
	Unknown Class = "unknown"
)

// Classify says what a reply is about. The text counts before the enhanced
// code, that before the basic code, since servers put the wrong code on a clear
// text more often than the other way round.
//
// Hard is never concluded from a 4xx (RFC 5321 section 4.2.1: the same command
// may succeed later), from an answer to anything before RCPT, nor from a code
// alone when the answer came after DATA: by then the recipient was accepted.
// A Code of 0 with an Enhanced code is a delivery report without a basic code.
func Classify(r posthaste.Reply) Class {
	severity := severityOf(r)
	switch severity {
	case 0:
		return Soft // nothing was said: a fault of the network
	case 2, 3:
		return NotBounce
	}
	_, status, _ := strings.Cut(r.Enhanced, ".")
	var class Class
	fromText := !plainCodes[status]
	if fromText {
		class = byText(strings.ToLower(r.Text), r.Enhanced, r.Stage)
	}
	if class == "" {
		class, fromText = byEnhanced(status, severity), false
	}
	if class == "" {
		class = byCode(r, severity)
	}
	if class != Hard {
		return class
	}
	switch {
	case severity == 4:
		return Soft
	case r.Stage == posthaste.AtConnect:
		return Blocked
	case r.Stage == posthaste.AtMail:
		return SenderConfig // what is unknown there is the sender
	case (r.Stage == posthaste.AtData || r.Stage == posthaste.AtDot) && !fromText:
		return Unknown
	}
	return Hard
}

// severityOf is the first digit: of the basic code, or else of the enhanced one.
func severityOf(r posthaste.Reply) int {
	if r.Code != 0 {
		return r.Code / 100
	}
	if r.Enhanced != "" {
		return int(r.Enhanced[0] - '0')
	}
	return 0
}

// byText gives the class of the first rule that fits, or "".
func byText(text, enhanced string, stage posthaste.Stage) Class {
	for _, rule := range textRules {
		if rule.fits(text, enhanced, stage) {
			return rule.class
		}
	}
	return ""
}

func (t textRule) fits(text, enhanced string, stage posthaste.Stage) bool {
	if t.enhanced != "" && !strings.HasSuffix(enhanced, t.enhanced) {
		return false
	}
	if t.stage != "" && t.stage != stage {
		return false
	}
	for _, pattern := range t.anyOf {
		if strings.Contains(text, pattern) {
			return true
		}
	}
	return false
}

// byEnhanced looks up subject and detail, "1.1", then the subject alone.
func byEnhanced(status string, severity int) Class {
	if severity == 4 {
		if class := transientCodes[status]; class != "" {
			return class
		}
	}
	if class := codes[status]; class != "" {
		return class
	}
	subject, _, _ := strings.Cut(status, ".")
	return subjects[subject]
}

// byCode is the last resort: the basic code (RFC 5321 section 4.2.3).
func byCode(r posthaste.Reply, severity int) Class {
	switch {
	case r.Code == 421: // RFC 5321: the service is closing; providers say it to slow us down
		return Throttle
	case r.Code == 450 && r.Stage == posthaste.AtRcpt: // mailbox busy: what greylisting says
		return Throttle
	case severity == 4:
		return Soft
	case r.Code == 530, r.Code == 534, r.Code == 535, r.Code == 538: // RFC 4954 section 6
		return SenderConfig
	case r.Code == 552: // exceeded storage allocation: of the mailbox at RCPT, else the message is too big
		if r.Stage == posthaste.AtRcpt {
			return Soft
		}
		return Message
	case r.Code == 556: // RFC 7504: the domain takes no mail
		return Hard
	case r.Stage == posthaste.AtConnect: // RFC 5321 section 3.1: 554 instead of a greeting
		return Blocked
	}
	return Unknown
}
