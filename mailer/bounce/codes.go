package bounce

// codes are enhanced codes without their class digit. Those not listed fall
// back on their subject.
var codes = map[string]Class{
	// RFC 3463 section 3.2, addressing.
	"1.1":  Hard,         // bad destination mailbox
	"1.2":  Hard,         // bad destination system
	"1.3":  Hard,         // bad syntax of the destination
	"1.6":  Hard,         // mailbox has moved, no forwarding
	"1.7":  SenderConfig, // bad syntax of the sender
	"1.8":  SenderConfig, // bad system of the sender
	"1.10": Hard,         // RFC 7505: the domain has a null MX

	// Section 3.3, mailbox.
	"2.1": Hard,    // mailbox disabled; texts of rate and inbound limits are looked at first
	"2.2": Soft,    // mailbox full
	"2.3": Message, // longer than the mailbox takes
	"2.4": Soft,    // expansion of a mailing list

	// Section 3.4, mail system.
	"3.1": Soft,    // system full
	"3.2": Soft,    // system takes no mail now
	"3.3": Message, // the message needs a feature that is not there
	"3.4": Message, // too big for the system; at Gmail also its headers
	"3.5": Soft,    // system incorrectly configured: theirs

	// Section 3.5, routing. 5.4.4 and 5.4.1 can be Hard, by their text only.
	"4.5": Throttle, // congestion
	"4.6": Soft,     // loop
	"4.7": Soft,     // expired

	// Section 3.6, protocol. 5.5.0 says nothing: its text decides.
	"5.3": Throttle, // too many recipients at once
	"5.6": SenderConfig,

	// Section 3.7, content; RFC 6531 for 6.7 to 6.9.
	"6.7": UnsupportedAddress, // non-ASCII address not permitted
	"6.8": UnsupportedAddress, // the reply itself would need UTF-8
	"6.9": Message,            // header cannot be downgraded

	// Section 3.8, RFC 5248 and the registry; the Gmail meanings of 7.25 to 7.32
	// stand in its list of SMTP errors and differ from the registry's.
	"7.4":  SenderConfig, // security features not supported: wants TLS or AUTH
	"7.5":  SenderConfig, // cryptographic failure
	"7.7":  Message,      // integrity of the message
	"7.8":  SenderConfig, // RFC 4954: credentials
	"7.9":  SenderConfig, // RFC 4954: mechanism too weak; at Yahoo a failed DMARC policy
	"7.11": SenderConfig, // RFC 4954: encryption required
	"7.13": SenderConfig, // RFC 5248: our account is disabled
	"7.17": Hard,         // RFC 7293: the mailbox has changed its owner
	"7.18": Hard,         // RFC 7293: the domain has
	"7.20": SenderConfig, // RFC 7372: no passing DKIM signature
	"7.21": SenderConfig, // RFC 7372: no acceptable one
	"7.22": SenderConfig, // RFC 7372: none of the author's
	"7.23": SenderConfig, // RFC 7372: SPF failed
	"7.24": SenderConfig, // RFC 7372: SPF error
	"7.25": SenderConfig, // RFC 7372 and Gmail: reverse DNS
	"7.26": SenderConfig, // RFC 7372 and Gmail: several checks failed
	"7.27": SenderConfig, // RFC 7505: null MX of the sender; Gmail: SPF
	"7.28": Throttle,     // mail flood; Gmail: unusual rate
	"7.29": SenderConfig, // Gmail: not sent over TLS
	"7.30": SenderConfig, // Gmail: DKIM
	"7.31": SenderConfig, // Gmail: DMARC
	"7.32": SenderConfig, // Gmail: From not aligned

	// Exchange Online, "NDR error codes".
	"4.310": Hard,         // DNS domain does not exist
	"7.57":  SenderConfig, // client was not authenticated
	"7.64":  SenderConfig, // TenantAttribution; relay access denied
	"7.500": Throttle,     // server busy
	"7.509": SenderConfig, // the sender's DMARC policy is reject
	"7.515": SenderConfig, // bulk sender without SPF, DKIM and DMARC
	"7.650": Throttle,     // rate limited for reputation
	"7.652": Throttle,     // as 7.650, for connections
	"7.705": Throttle,     // tenant has exceeded its threshold
}

// plainCodes are believed before any text: their texts speak of rates and
// blocks, but what is wrong is the sender's authentication.
var plainCodes = map[string]bool{
	"7.20": true, "7.21": true, "7.22": true, "7.23": true, "7.24": true, "7.25": true, "7.26": true,
	"7.27": true, "7.29": true, "7.30": true, "7.31": true, "7.32": true, "7.509": true, "7.515": true,
}

// transientCodes are those that mean something else in a 4xx.
var transientCodes = map[string]Class{
	"1.8": SenderConfig, // the sender's domain does not resolve
	"2.0": Throttle,     // Postfix policy servers say it for greylisting
	"2.1": Throttle,     // Gmail: this user receives too fast
	"3.2": Throttle,     // RFC 3463: not taking mail now, as in "too busy"
	"7.0": Throttle,     // Gmail, Yahoo: slow down
	"7.1": Throttle,     // greylisting, at most servers that have it
}

// subjects hold for every detail that codes does not list.
var subjects = map[string]Class{
	"1": "",      // address: unclear without its detail
	"2": "",      // mailbox: too
	"3": Soft,    // their system
	"4": Soft,    // network and routing
	"5": "",      // protocol: the text or the basic code may tell
	"6": Message, // content
	"7": Blocked, // security and policy
}
