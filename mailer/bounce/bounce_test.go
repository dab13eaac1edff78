package bounce_test

import (
	"fmt"
	"testing"

	"posthaste"
	"posthaste/mailer/bounce"
	"posthaste/mailer/relay"
)

// replies look like those of large providers and common servers; addresses and
// ids are made up. They go through relay.ReadReply, as those of the wire do.
var replies = []struct {
	name  string
	stage posthaste.Stage
	code  int
	text  string
	want  bounce.Class
}{
	// Gmail.
	{"gmail no such user", posthaste.AtRcpt, 550, "5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking the recipient's email address for typos or\n5.1.1 unnecessary spaces. For more information, go to\n5.1.1  https://support.google.com/mail/?p=NoSuchUser a1-20020a1 - gsmtp", bounce.Hard},
	{"gmail disabled", posthaste.AtRcpt, 550, "5.2.1 The email account that you tried to reach is disabled. For more information, go to https://support.google.com/mail/?p=DisabledUser a1 - gsmtp", bounce.Hard},
	{"gmail inactive", posthaste.AtRcpt, 550, "5.2.1 The email account that you tried to reach is inactive. https://support.google.com/mail/?p=DisabledUser a1 - gsmtp", bounce.Hard},
	{"gmail over quota for now", posthaste.AtRcpt, 452, "4.2.2 The recipient's inbox is out of storage space. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaTemp a1 - gsmtp", bounce.Soft},
	{"gmail over quota for good", posthaste.AtRcpt, 552, "5.2.2 The recipient's inbox is out of storage space and inactive. https://support.google.com/mail/?p=OverQuotaPerm a1 - gsmtp", bounce.Soft},
	{"gmail user receives too fast", posthaste.AtRcpt, 450, "4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. https://support.google.com/mail/?p=ReceivingRate a1 - gsmtp", bounce.Throttle},
	{"gmail user receives too fast, for good", posthaste.AtRcpt, 550, "5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. a1 - gsmtp", bounce.Throttle},
	{"gmail rate", posthaste.AtDot, 421, "4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. a1 - gsmtp", bounce.Throttle},
	{"gmail PTR, transient", posthaste.AtDot, 421, "4.7.23 The IP address sending this message does not have a PTR record, or the corresponding forward DNS entry does not match the sending IP. a1 - gsmtp", bounce.SenderConfig},
	{"gmail PTR", posthaste.AtDot, 550, "5.7.25 The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not match the sending IP. a1 - gsmtp", bounce.SenderConfig},
	{"gmail SPF, transient", posthaste.AtDot, 421, "4.7.27 Your email has been rate limited because SPF authentication didn't pass for this message. a1 - gsmtp", bounce.SenderConfig},
	{"gmail SPF", posthaste.AtDot, 550, "5.7.27 Your email has been blocked because SPF does not pass for this domain. a1 - gsmtp", bounce.SenderConfig},
	{"gmail TLS, transient", posthaste.AtDot, 421, "4.7.29 This message was not sent over a TLS connection. a1 - gsmtp", bounce.SenderConfig},
	{"gmail TLS", posthaste.AtDot, 550, "5.7.29 Your email has been rejected because it was not sent over a TLS connection. a1 - gsmtp", bounce.SenderConfig},
	{"gmail DKIM", posthaste.AtDot, 550, "5.7.30 Your email has been blocked because DKIM authentication did not pass. a1 - gsmtp", bounce.SenderConfig},
	{"gmail DMARC, transient", posthaste.AtDot, 421, "4.7.31 The sending domain has no DMARC record or it specifies no policy. a1 - gsmtp", bounce.SenderConfig},
	{"gmail alignment", posthaste.AtDot, 421, "4.7.32 The From: header in this message isn't aligned with either the authenticated SPF or DKIM organizational domain. a1 - gsmtp", bounce.SenderConfig},
	{"gmail unauthenticated", posthaste.AtDot, 550, "5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy. a1 - gsmtp", bounce.SenderConfig},
	{"gmail spam", posthaste.AtDot, 550, "5.7.1 Gmail has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked. a1 - gsmtp", bounce.Blocked},
	{"gmail headers", posthaste.AtDot, 552, "5.3.4 Your message header size exceeds the maximum allowed. a1 - gsmtp", bounce.Message},
	{"gmail attachment", posthaste.AtDot, 552, "5.7.0 This message was blocked because its content presents a potential security issue. a1 - gsmtp", bounce.Blocked},
	{"gmail not compliant", posthaste.AtDot, 550, "5.7.1 This message is not RFC 5322 compliant, the issue is: duplicate From headers. a1 - gsmtp", bounce.Message},

	// Yahoo and AOL.
	{"yahoo no account", posthaste.AtDot, 554, "delivery error: dd This user doesn't have a yahoo.com account (fox@yahoo.example) [-5] - mta1001.mail.test", bounce.Hard},
	{"yahoo disabled", posthaste.AtDot, 554, "delivery error: dd Sorry, your message to fox@yahoo.example cannot be delivered. This mailbox is disabled (554.30). - mta1001.mail.test", bounce.Hard},
	{"yahoo 552 not found", posthaste.AtRcpt, 552, "1 Requested mail action aborted, mailbox not found", bounce.Hard},
	{"yahoo TSS04", posthaste.AtConnect, 421, "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", bounce.Throttle},
	{"yahoo BL21", posthaste.AtConnect, 553, "5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list; see http://postmaster.yahoo.com/550-bl23.html", bounce.Blocked},
	{"yahoo policy", posthaste.AtDot, 554, "5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes", bounce.Blocked},
	{"yahoo over quota", posthaste.AtRcpt, 552, "Recipient over quota", bounce.Soft},

	// Microsoft, consumer and 365.
	{"outlook unavailable", posthaste.AtRcpt, 550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [AM0EUR01FT001.eop-test]", bounce.Hard},
	{"outlook S3140", posthaste.AtMail, 550, "5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).", bounce.Blocked},
	{"outlook DY-001", posthaste.AtConnect, 550, "DY-001 (SNT004-MC1F1) Unfortunately, messages from 192.0.2.1 weren't sent.", bounce.Blocked},
	{"outlook RP-001", posthaste.AtConnect, 421, "RP-001 (BAY004-MC1F1) Unfortunately, some messages from 192.0.2.1 weren't sent. The mail server IP connecting to Outlook.com server has exceeded the rate limit allowed.", bounce.Throttle},
	{"outlook 4.7.650", posthaste.AtMail, 451, "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For e-mail delivery information see https://aka.ms/postmaster (S775)", bounce.Throttle},
	{"outlook 4.7.500", posthaste.AtMail, 451, "4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", bounce.Throttle},
	{"outlook 5.7.515", posthaste.AtDot, 550, "5.7.515 Access denied, sending domain example.com does not meet the required authentication level.", bounce.SenderConfig},
	{"365 DMARC", posthaste.AtDot, 550, "5.7.509 Access denied, sending domain example.com does not pass DMARC verification and has a DMARC policy of reject.", bounce.SenderConfig},
	{"365 DBEB", posthaste.AtRcpt, 550, "5.4.1 Recipient address rejected: Access denied. [DB5EUR03FT001.eop-test]", bounce.Hard},
	{"365 not found", posthaste.AtDot, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient fox@corp.example not found by SMTP address lookup", bounce.Hard},
	{"365 no domain", posthaste.AtDot, 550, "5.4.310 DNS domain corp.example does not exist [Message=InfoDomainNonexistent]", bounce.Hard},
	{"365 quota", posthaste.AtDot, 554, "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded", bounce.Soft},
	{"365 transport rule", posthaste.AtDot, 550, "5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy", bounce.Blocked},
	{"365 closed group", posthaste.AtDot, 550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed", bounce.SenderConfig},
	{"365 banned ip", posthaste.AtMail, 550, "5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list visit https://sender.office.com/", bounce.Blocked},
	{"365 too many hops", posthaste.AtDot, 554, "5.4.14 Hop count exceeded - possible mail loop ATTR34", bounce.Soft},
	{"exchange relay", posthaste.AtRcpt, 550, "5.7.1 Unable to relay", bounce.SenderConfig},
	{"exchange too big", posthaste.AtDot, 552, "5.3.4 Message size exceeds fixed maximum message size", bounce.Message},

	// Apple.
	{"icloud unknown", posthaste.AtRcpt, 550, "5.1.1 <fox@icloud.example>: user does not exist", bounce.Hard},
	{"icloud quota", posthaste.AtRcpt, 552, "5.2.2 <fox@icloud.example>: user is over quota", bounce.Soft},
	{"icloud policy", posthaste.AtDot, 554, "5.7.1 [HM08] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137", bounce.Blocked},
	{"icloud spamhaus", posthaste.AtConnect, 550, "5.7.1 Mail from IP 192.0.2.1 was rejected due to listing in Spamhaus PBL.", bounce.Blocked},

	// Other providers.
	{"gmx unavailable", posthaste.AtRcpt, 550, "Requested action not taken: mailbox unavailable\nFor explanation visit https://postmaster.gmx.example/en/error-messages", bounce.Hard},
	{"gmx listed", posthaste.AtConnect, 554, "gmx.example (mxgmx001) Nemesis ESMTP Service not available\nNo SMTP service\nIP address is block listed.", bounce.Blocked},
	{"gmx policy", posthaste.AtDot, 554, "Transaction failed\nReject due to policy restrictions.", bounce.Blocked},
	{"t-online", posthaste.AtConnect, 554, "IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tobr@rx.provider.example to clarify.)", bounce.Blocked},
	{"comcast unknown", posthaste.AtRcpt, 550, "5.1.1 Not our Customer", bounce.Hard},
	{"comcast throttled", posthaste.AtConnect, 421, "4.1.0 192.0.2.1 Throttled - try again later. Please see http://postmaster.provider.example/", bounce.Throttle},
	{"comcast PTR", posthaste.AtConnect, 554, "resimta-po-01v.provider.example provider 192.0.2.1 found in no PTR record", bounce.SenderConfig},
	{"orange unknown", posthaste.AtRcpt, 550, "5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]", bounce.Hard},
	{"orange slow down", posthaste.AtMail, 421, "Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_108 [108]", bounce.Throttle},
	{"orange rejected", posthaste.AtDot, 550, "5.2.0 Mail rejete. Mail rejected. OFR_506 [506]", bounce.Blocked},
	{"free inactive", posthaste.AtRcpt, 550, "5.2.1 This mailbox has been blocked due to inactivity", bounce.Hard},
	{"mail.ru unknown", posthaste.AtRcpt, 550, "Message was not accepted -- invalid mailbox. Local mailbox fox@mail.example is unavailable: user not found", bounce.Hard},
	{"mail.ru spam", posthaste.AtDot, 550, "spam message rejected. Please visit http://help.mail.example/notspam-support/id?c=abc", bounce.Blocked},
	{"yandex unknown", posthaste.AtRcpt, 550, "5.7.1 No such user!", bounce.Hard},
	{"yandex spam", posthaste.AtDot, 554, "5.7.1 [2] Message rejected under suspicion of SPAM; https://ya.example/1abc", bounce.Blocked},
	{"yandex greylist", posthaste.AtDot, 451, "4.7.1 Sorry, the service is currently unavailable. Please come back later. 1700000000-abc", bounce.Throttle},
	{"qq unknown", posthaste.AtRcpt, 550, "Mailbox not found. http://service.mail.example/cgi-bin/help?subtype=1&&no=1000728", bounce.Hard},
	{"qq frequency", posthaste.AtConnect, 550, "Ip frequency limited [abc IP: 192.0.2.1]", bounce.Throttle},
	{"163 unknown", posthaste.AtRcpt, 550, "User not found: fox@163.example", bounce.Hard},
	{"163 spam", posthaste.AtDot, 554, "DT:SPM 163 smtp1,abc", bounce.Blocked},
	{"163 SPF", posthaste.AtDot, 550, "MI:SPF mx1,abc", bounce.SenderConfig},
	{"mimecast unknown", posthaste.AtRcpt, 550, "Invalid Recipient - https://community.mimecast.example/docs/DOC-1369#550 [abc.uk1]", bounce.Hard},
	{"mimecast greylist", posthaste.AtRcpt, 451, "Internal resource temporarily unavailable - https://community.mimecast.example/docs/DOC-1369#451", bounce.Throttle},
	{"proofpoint blocked", posthaste.AtConnect, 554, "Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", bounce.Blocked},
	{"barracuda wraps", posthaste.AtDot, 550, "permanent failure for one or more recipients (fox@corp.example:550 5.1.1 User unknown)", bounce.Hard},

	// Servers.
	{"postfix unknown", posthaste.AtRcpt, 550, "5.1.1 <fox@example.com>: Recipient address rejected: User unknown in virtual mailbox table", bounce.Hard},
	{"postfix soft_bounce", posthaste.AtRcpt, 450, "4.1.1 <fox@example.com>: Recipient address rejected: User unknown in local recipient table", bounce.Soft},
	{"postgrey", posthaste.AtRcpt, 450, "4.2.0 <fox@example.com>: Recipient address rejected: Greylisted, see http://postgrey.example/", bounce.Throttle},
	{"postfix relay", posthaste.AtRcpt, 554, "5.7.1 <fox@example.com>: Relay access denied", bounce.SenderConfig},
	{"postfix RBL", posthaste.AtRcpt, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", bounce.Blocked},
	{"postfix full disk", posthaste.AtMail, 452, "4.3.1 Insufficient system storage", bounce.Soft},
	{"postfix sender domain", posthaste.AtRcpt, 450, "4.1.8 <b+t@bounces.example.com>: Sender address rejected: Domain not found", bounce.SenderConfig},
	{"postfix hostname", posthaste.AtRcpt, 450, "4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", bounce.SenderConfig},
	{"sendmail unknown", posthaste.AtRcpt, 550, "5.1.1 <fox@example.com>... User unknown", bounce.Hard},
	{"exim unrouteable", posthaste.AtRcpt, 550, "Unrouteable address", bounce.Hard},
	{"exim verify", posthaste.AtRcpt, 550, "Verification failed for <b+t@bounces.example.com>\nUnrouteable address\nSender verify failed", bounce.SenderConfig},
	{"cpanel unknown", posthaste.AtRcpt, 550, "No Such User Here", bounce.Hard},
	{"qmail, code last", posthaste.AtRcpt, 553, "sorry, no mailbox here by that name. (#5.7.1)", bounce.Hard},
	{"qmail rcpthosts", posthaste.AtRcpt, 553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", bounce.SenderConfig},
	{"chkuser", posthaste.AtRcpt, 511, "sorry, no mailbox here by that name (#5.1.1 - chkuser)", bounce.Hard},
	{"dovecot quota", posthaste.AtDot, 552, "5.2.2 <fox@example.com> Quota exceeded (mailbox for user is full)", bounce.Soft},
	{"null MX", posthaste.AtRcpt, 556, "5.1.10 Recipient address has null MX", bounce.Hard},
	{"RRVS", posthaste.AtRcpt, 550, "5.7.17 Mailbox owner has changed", bounce.Hard},
	{"EAI", posthaste.AtRcpt, 553, "5.6.7 the recipient's address needs SMTPUTF8", bounce.UnsupportedAddress},
	{"EAI in words", posthaste.AtRcpt, 550, "Internationalized address not supported", bounce.UnsupportedAddress},

	// Bare codes.
	{"421", posthaste.AtMail, 421, "closing", bounce.Throttle},
	{"450 at RCPT", posthaste.AtRcpt, 450, "later", bounce.Throttle},
	{"451", posthaste.AtDot, 451, "local error", bounce.Soft},
	{"550 says nothing", posthaste.AtRcpt, 550, "no", bounce.Unknown},
	{"552 at RCPT", posthaste.AtRcpt, 552, "no", bounce.Soft},
	{"552 at the dot", posthaste.AtDot, 552, "no", bounce.Message},
	{"554 for a greeting", posthaste.AtConnect, 554, "no", bounce.Blocked},
	{"535", posthaste.AtConnect, 535, "no", bounce.SenderConfig},
	{"550 4.2.2", posthaste.AtRcpt, 550, "4.2.2 no", bounce.Soft},
	{"5.4.4 alone", posthaste.AtRcpt, 550, "5.4.4 unable to route", bounce.Soft},
	{"5.4.4 and no host", posthaste.AtRcpt, 550, "5.4.4 Host or domain name not found", bounce.Hard},
	{"expired", posthaste.AtRcpt, 550, "5.4.7 Delivery time expired", bounce.Soft},
	{"250", posthaste.AtDot, 250, "2.0.0 ok", bounce.NotBounce},
	{"silence", posthaste.AtRcpt, 0, "the next hop closed the connection", bounce.Soft},
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range replies {
		reply := relay.ReadReply(tt.stage, tt.code, tt.text, "fox@example.com")
		if got := bounce.Classify(reply); got != tt.want {
			t.Errorf("%s: Classify(%+v) = %s, want %s", tt.name, reply, got, tt.want)
		}
	}
}

// Never "5xx is hard": by code alone, only those that name the address are.
func TestOnlyAddressCodesAreHard(t *testing.T) {
	t.Parallel()
	hard := map[string]bool{
		"5.1.1": true, "5.1.2": true, "5.1.3": true, "5.1.6": true, "5.1.10": true,
		"5.2.1": true, "5.7.17": true, "5.7.18": true, "5.4.310": true,
	}
	for subject := range 8 {
		for detail := range 800 {
			code := fmt.Sprintf("5.%d.%d", subject, detail)
			got := bounce.Classify(posthaste.Reply{Stage: posthaste.AtRcpt, Code: 550, Enhanced: code, Text: "refused"})
			if (got == bounce.Hard) != hard[code] {
				t.Errorf("550 %s refused: %s", code, got)
			}
		}
	}
}

// Where Hard must not be concluded whatever the words are.
func TestHardNeedsTheRightPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   posthaste.Reply
		want bounce.Class
	}{
		{"5.1.1 at the dot without words", posthaste.Reply{Stage: posthaste.AtDot, Code: 550, Enhanced: "5.1.1", Text: "failed"}, bounce.Unknown},
		{"5.1.1 to DATA without words", posthaste.Reply{Stage: posthaste.AtData, Code: 550, Enhanced: "5.1.1", Text: "failed"}, bounce.Unknown},
		{"5.1.1 at the dot with words", posthaste.Reply{Stage: posthaste.AtDot, Code: 550, Enhanced: "5.1.1", Text: "User unknown"}, bounce.Hard},
		{"the sender is unknown", posthaste.Reply{Stage: posthaste.AtMail, Code: 550, Enhanced: "5.1.1", Text: "User unknown"}, bounce.SenderConfig},
		{"a greeting", posthaste.Reply{Stage: posthaste.AtConnect, Code: 550, Enhanced: "5.1.1", Text: "User unknown"}, bounce.Blocked},
		{"4xx", posthaste.Reply{Stage: posthaste.AtRcpt, Code: 450, Enhanced: "5.1.1", Text: "User unknown"}, bounce.Soft},
		{"a report's 5.1.1", posthaste.Reply{Enhanced: "5.1.1"}, bounce.Hard},
		{"a report's 4.4.7", posthaste.Reply{Enhanced: "4.4.7"}, bounce.Soft},
	} {
		if got := bounce.Classify(tt.in); got != tt.want {
			t.Errorf("%s: Classify(%+v) = %s, want %s", tt.name, tt.in, got, tt.want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, tt := range replies {
		f.Add(string(tt.stage), tt.code, "", tt.text)
	}
	f.Add("rcpt", 550, "5", "x")
	f.Fuzz(func(t *testing.T, stage string, code int, enhanced, text string) {
		reply := posthaste.Reply{Stage: posthaste.Stage(stage), Code: code, Enhanced: enhanced, Text: text}
		class := bounce.Classify(reply)
		if class == "" {
			t.Errorf("no class for %+v", reply)
		}
		if class == bounce.Hard && (code >= 200 && code < 500 || stage == string(posthaste.AtConnect) || stage == string(posthaste.AtMail)) {
			t.Errorf("hard for %+v", reply)
		}
	})
}
