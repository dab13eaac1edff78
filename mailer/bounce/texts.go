package bounce

import "posthaste"

// textRule fits a reply whose lower-case text contains one of anyOf and whose
// enhanced code and stage, where given, are these. The first that fits counts:
// rules that spare the address stand before those that condemn it.
type textRule struct {
	class    Class
	why      string
	enhanced string // ".4.1": end of the enhanced code; empty: any
	stage    posthaste.Stage
	anyOf    []string
}

// textRules are collected from the providers' public lists of errors and from
// the sources of the common servers; why names them.
var textRules = []textRule{
	{class: UnsupportedAddress, why: "RFC 6531", anyOf: []string{
		"smtputf8", "non-ascii address", "internationalized address",
	}},
	{class: Throttle, why: "greylisting: Postgrey, milter-greylist, SQLgrey, Exim recipes, Mimecast", anyOf: greylisting},
	{class: Throttle, why: "Gmail 4.7.28, 4.2.1 and 5.2.1; Yahoo TSS04; Microsoft RP-00x, S775; Comcast; Orange OFR_1xx; QQ", anyOf: []string{
		"rate limit", "rate-limit", "ratelimit", "unusual rate", "at a rate that", "too quickly", "too many messages",
		"too many connections", "too many concurrent", "too many sessions", "too many recipients", "too many emails",
		"throttl", "[tss04]", "[tss05]", "temporarily deferred", "unexpected volume", "exceeded the rate", "rp-001", "rp-002", "rp-003",
		"frequency limited", "sending limit", "connection limit", "too fast", "server busy", "server too busy", "ofr_108", "ofr005_1",
	}},
	{class: SenderConfig, why: "SPF, DKIM, DMARC: RFC 7372 texts, Gmail, Microsoft 5.7.515, Yahoo, mail.ru, NetEase MI:", anyOf: []string{
		"dmarc", "dkim", "spf check", "spf fail", "failed spf", "sender policy framework", "spf record", "does not pass authentication", "[spf]",
		"unauthenticated email", "unauthenticated mail", "not authenticated", "authentication checks", "authentication required",
		"required authentication level", "mi:spf", "mi:dma", "sender id",
	}},
	{class: SenderConfig, why: "reverse DNS and HELO: Gmail 5.7.25, Postfix reject_unknown_*, Comcast, AOL", anyOf: []string{
		"ptr record", "reverse dns", "reverse hostname", "rdns", "cannot find your hostname", "reverse lookup", "helo command rejected",
		"invalid helo", "ehlo domain", "forward-confirmed", "dnsptr",
	}},
	{class: SenderConfig, why: "TLS and AUTH: RFC 3207, RFC 4954, Gmail 5.7.29", anyOf: []string{
		"must issue a starttls", "starttls first", "encryption required", "encryption needed", "sent over a secure", "via tls", "without tls",
		"please authenticate", "authentication credentials invalid", "authentication failed", "bad credentials", "password not accepted",
	}},
	{class: SenderConfig, why: "relaying: Postfix, Exim, Exchange 5.7.54, qmail rcpthosts", anyOf: []string{
		"relay access denied", "relaying denied", "unable to relay", "relay not permitted", "not permitted to relay",
		"rcpthosts", "we do not relay", "relaying not allowed",
	}},
	{class: SenderConfig, why: "the sender's address: Postfix reject_unknown_sender_domain, Exim callouts, Amazon SES", anyOf: []string{
		"sender address rejected", "sender verify failed", "sender domain", "domain of sender", "invalid sender", "sender rejected",
		"email address is not verified", "mail from domain", "unknown sender", "sender unknown", "verification failed for",
	}},
	{class: Hard, why: "a mailbox closed by its provider, worded as blocked: free.fr, Yahoo dd, AOL", anyOf: closedMailbox},
	{class: Blocked, why: "DNS lists and reputation: Spamhaus, Barracuda, Microsoft S31xx, Yahoo BLxx, GMX, Proofpoint, Comcast", anyOf: []string{
		"spamhaus", "spamcop", "barracuda", "blacklist", "black list", "blocklist", "block list", "block-list", "blocked", "dnsbl", " rbl", "sorbs",
		"banned send", "on our block", "reputation", "listed by", "listed in", "listing in", "bl21", "bl23", "bl000", "access denied, banned",
		"uceprotect", "invaluement", "senderscore", "sc-001", "sc-002", "dy-001", "ipcheck.proofpoint", "ou-001", "ou-002",
	}},
	{class: Blocked, why: "spam and policy filters: Gmail 5.7.1, Apple HM08 and CS01, Yandex, mail.ru, NetEase, Exchange transport rules", anyOf: []string{
		"spam", "unsolicited", "[hm08]", "[cs01]", "dt:spm", "content rejected", "message content", "local policy", "policy reasons",
		"policy restrictions", "policy violation", "organization policy", "administrative prohibition", "transport.rules", "low reputation",
		"suspicious", "virus", "malware", "phish", "a problem occurred. (ask your postmaster", "ofr_506", "content filter",
		"sendernotauthenticatedforgroup", "not allowed to send", "only accepts mail from", "restricted",
	}},
	{class: Soft, why: "full mailbox: RFC 3463 x.2.2; Gmail OverQuota, Apple, Exchange QuotaExceeded, Cyrus, Dovecot, cPanel", anyOf: []string{
		"mailbox full", "mailbox is full", "mail box full", "mailbox quota", "over quota", "overquota", "quota exceeded", "quotaexceeded",
		"exceeded quota", "exceeded storage", "exceeds quota", "out of storage", "over the allowed quota", "mailbox has exceeded",
		"quota full", "full mailbox", "inbox is full", "storage limit", "over the maximum storage", "mailbox size limit", "has exceeded his/her disk space",
	}},
	{class: Message, why: "size and form: RFC 1870, Gmail 5.3.4, Exchange 5.3.4", anyOf: []string{
		"message too large", "message is too large", "message too big", "message size exceeds", "exceeds size", "size limit", "maximum message size",
		"exceeded our message size", "message header size", "headers too large", "too many headers", "line too long", "lines longer than",
		"not rfc 5322 compliant", "not rfc 2822 compliant", "bare lf", "bare newline", "illegal attachment",
	}},
	{class: Soft, why: "expired or looping on the way: RFC 3463 x.4.6, x.4.7", anyOf: []string{
		"too many hops", "mail loop", "routing loop", "delivery time expired", "message expired", "retry timeout exceeded",
	}},
	{class: Hard, why: "no such host: Exchange 5.4.4 and 5.4.310, Sendmail 5.1.2", anyOf: []string{
		"host or domain name not found", "domain does not exist", "nonexistentdomain", "domainnonexistent", "non-existent domain", "host not found",
		"domain not found", "no such domain", "unrouteable mail domain", "null mx", "does not accept mail (nullmx)", "does not accept email",
	}},
	{class: Hard, why: "Exchange Online with directory-based edge blocking", enhanced: ".4.1", anyOf: []string{
		"recipient address rejected: access denied",
	}},
	{class: Hard, why: "no such mailbox", anyOf: unknownMailbox},
	{class: Hard, why: "Microsoft consumer 5.5.0; GMX; RFC 5321's own words for 550 at RCPT", stage: posthaste.AtRcpt, anyOf: []string{
		"mailbox unavailable", "mailbox not available",
	}},
}

// greylisting are the words of those who want the same message again later.
var greylisting = []string{
	"greylist", "graylist", "grey list", "gray list", "grey-list", "greylisted", "deferred for", "try again in",
	"please come back later", "internal resource temporarily unavailable", "first time sender",
}

// closedMailbox are the words for a mailbox that its provider has shut.
var closedMailbox = []string{
	"blocked due to inactivity", "mailbox is disabled", "mailbox disabled", "account is disabled", "account disabled", "account has been disabled",
	"account is inactive", "account inactive", "mailbox is inactive", "mailbox inactive", "inactive user", "account has been suspended",
	"account suspended", "user is suspended", "account that you tried to reach is disabled", "account that you tried to reach is inactive", "p=disableduser",
	"no longer in use", "no longer active", "address is no longer", "mailbox is no longer", "account is no longer", "user is no longer",
	"account expired", "account closed", "mailbox closed", "account has been closed",
	"deactivated",
}

// unknownMailbox are the words for a mailbox that never was: Sendmail, Postfix,
// Exim, qmail and chkuser, Exchange, Gmail, Yahoo, Apple, GMX, mail.ru, Yandex,
// QQ, NetEase, Orange, Comcast, Mimecast, Proofpoint, cPanel.
var unknownMailbox = []string{
	"user unknown", "unknown user", "no such user", "user not found", "user doesn't exist", "user does not exist", "user doesn't have",
	"unknown recipient", "recipient unknown", "recipient not found", "recipientnotfound", "recipnotfound", "no such recipient",
	"recipient does not exist", "recipient doesn't exist", "invalid recipient", "recipient invalid", "recipient is not local",
	"no such mailbox", "mailbox not found", "mailbox does not exist", "mailbox doesn't exist", "unknown mailbox", "mailbox unknown", "invalid mailbox",
	"no mailbox", "no such address", "address does not exist", "address doesn't exist", "address unknown", "unknown address", "address not found", "unknown local",
	"account that you tried to reach does not exist", "account does not exist", "account not found", "no such account", "unknown account",
	"not a valid mailbox", "not a valid recipient", "not our customer", "unrouteable address", "is not a known user", "p=nosuchuser",
	"user unknown in", "does not like recipient", "there is no one at", "destinataire invalide", "adresse inconnue", "benutzer unbekannt",
	"not listed in domino directory", "doesn't have a yahoo", "bad destination mailbox", "email address could not be found", "no user with that name",
}
