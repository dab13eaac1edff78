package templates

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// A notice is about the recipient's own account, and nothing else may ride on
// it: no offer (CAN-SPAM judges a mail by its primary purpose; Google asks that
// promotions stay out of receipts), no beacon, no campaign parameter.

// offers finds what only an offer says, in the languages that recipients' pages
// speak. A word that a receipt may need, such as "discount", is none of it, nor
// is what a notice says of itself: "this link is valid for a limited time".
var offers = regexp.MustCompile(`(?i)(?:\d\s?%\s?(?:off|rabatt|de\s+r[ée]duction|de\s+descuento)\b|\b(?:` + strings.ReplaceAll(strings.Join([]string{
	`special offers?`, `exclusive (?:offers?|deals?)`, `limited[\s-]time (?:offers?|deals?|sale|only)`, `buy now`, `shop now`,
	`don['’]?t miss (?:out|this|these|our)`, `sale ends`, `black friday`, `cyber monday`, `(?:promo|coupon|voucher|discount) codes?`, `while stocks last`, `upgrade now`,
	`save up to (?:\d+\s?%|[€$£]\s?\d)`,
	`jetzt (?:kaufen|bestellen|shoppen|sparen)`, `nur f[üu]r kurze zeit (?:erh[äa]ltlich|reduziert|im angebot)`, `sonderangebote?`, `gutscheincodes?`, `rabattcodes?`, `solange der vorrat reicht`,
	`achetez maintenant`, `offres? sp[ée]ciales?`, `offres? exclusives?`, `codes? promo`, `profitez[\s-]en`,
	`compra ahora`, `ofertas? especial(?:es)?`, `ofertas? exclusivas?`, `c[óo]digos? promocional(?:es)?`, `(?:ofertas?|descuentos?|promoci[óo]n) por tiempo limitado`,
}, "|"), " ", `\s+`) + `)|(?:^|\n\s*\n\s*|[^\pL\s]\s*|\b(?:to|and|please)\s+)(order\s+now)\b)`)

// checkOffers refuses offers in what an author wrote.
func (c *compiler) checkOffers(field, source string) {
	at := inSource(field, source)
	for _, found := range offers.FindAllStringSubmatchIndex(source, maxFaults) {
		from, to := found[0], found[1]
		if found[2] >= 0 { // without what stands before it
			from, to = found[2], found[3]
		}
		c.refuseAt(spot{at, from}, "%s sounds like an offer; a notice carries no promotion: send it as a campaign, to those who chose it", quoted(source[from:to]))
	}
}

// campaignParameters finds parameters of URLs that tell of a campaign or of a
// person to statistics elsewhere.
var campaignParameters = regexp.MustCompile(`(?i)[?&#;](utm_\w*|(?:mc_cid|mc_eid|gclid|fbclid|msclkid|mkt_tok)\b)`)

// checkNoCampaign refuses a notice's link that bears one.
func (c *compiler) checkNoCampaign(link string, at spot) {
	if !c.notice {
		return
	}
	for _, found := range campaignParameters.FindAllStringSubmatch(link, maxFaults) {
		c.refuseAt(at, "the link bears the campaign parameter %s; links of notices are not tracked", found[1])
	}
}

// checkPlain refuses plain text with such links, which mail clients show as links too.
func (c *compiler) checkPlain(field, source string) {
	at := inSource(field, source)
	for _, found := range campaignParameters.FindAllStringSubmatchIndex(source, maxFaults) {
		c.checkNoCampaign(source[found[0]:found[1]], spot{at, found[2]})
	}
}

// tinyStyle finds what makes a picture by its style so small that nobody sees it.
var tinyStyle = regexp.MustCompile(`(?i)(?:^|[;\s])(?:max-)?((?:width|height)\s*:\s*[01](?:px)?)\s*(?:[;!]|$)`)

// checkNoBeacon refuses a notice's picture that could tell that it was opened: one that
// nobody can see, and one whose address differs from recipient to recipient.
func (c *compiler) checkNoBeacon(source string, attributes []html.Attribute, at spot) {
	if !c.notice {
		return
	}
	if len(c.marks.find(source)) > 0 && !strings.HasPrefix(strings.ToLower(source), "cid:") {
		c.refuseAt(at, "the picture's address differs from recipient to recipient, as a beacon's; notices are not tracked")
	}
	for _, a := range attributes {
		size := ""
		switch value := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(a.Val)), "px"); {
		case (a.Key == "width" || a.Key == "height") && (value == "0" || value == "1"):
			size = a.Key + " " + value
		case a.Key == "style":
			if found := tinyStyle.FindStringSubmatch(a.Val); found != nil {
				size = found[1]
			}
		}
		if size != "" {
			c.refuseAt(at, "a picture of %s pixels is a beacon; notices are not tracked", size)
			return
		}
	}
}
