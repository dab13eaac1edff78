package templates

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// A notice is about the recipient's own account, and nothing else may ride on
// it: no offer (CAN-SPAM judges a mail by its primary purpose; Google asks that
// promotions stay out of receipts), no beacon, no campaign parameter.

// offers finds what only an offer says, in the languages that recipients' pages
// speak. A word that a receipt may need, such as "discount", is none of it.
var offers = regexp.MustCompile(`(?i)(?:` + strings.Join([]string{
	`\d\s?%\s?(?:off|rabatt|de r[ée]duction|de descuento)`, `special offers?`, `exclusive (?:offers?|deals?)`, `limited[ -]time`, `buy now`, `shop now`, `order now`,
	`don'?t miss`, `sale ends`, `black friday`, `cyber monday`, `(?:promo|coupon|voucher|discount) codes?`, `while stocks last`, `upgrade now`, `save up to`,
	`jetzt (?:kaufen|bestellen|shoppen|sparen)`, `nur f[üu]r kurze zeit`, `sonderangebote?`, `gutscheincodes?`, `rabattcodes?`, `solange der vorrat reicht`,
	`achetez maintenant`, `offres? sp[ée]ciales?`, `offres? exclusives?`, `codes? promo`, `profitez[- ]en`,
	`compra ahora`, `ofertas? especial(?:es)?`, `ofertas? exclusivas?`, `c[óo]digos? promocional(?:es)?`, `por tiempo limitado`,
}, "|") + `)`)

// checkOffers refuses offers in what an author wrote.
func (c *compiler) checkOffers(field, source string) {
	at := inSource(field, source)
	for _, found := range offers.FindAllStringIndex(source, maxFaults) {
		c.refuseAt(spot{at, found[0]}, "%s sounds like an offer; a notice carries no promotion: send it as a campaign, to those who chose it", quoted(source[found[0]:found[1]]))
	}
}

// campaignParameters are the names of URL parameters that tell of a campaign or
// of a person to statistics elsewhere.
var campaignParameters = []string{"utm_", "mc_cid", "mc_eid", "gclid", "fbclid", "msclkid", "mkt_tok"}

// checkNoCampaign refuses a notice's link that bears one.
func (c *compiler) checkNoCampaign(u *url.URL, at spot) {
	if !c.notice || u == nil {
		return
	}
	if name := campaignParameter(u); name != "" {
		c.refuseAt(at, "the link bears the campaign parameter %s; links of notices are not tracked", name)
	}
}

func campaignParameter(u *url.URL) string {
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(strings.TrimPrefix(pair, "amp;"), "=")
		for _, p := range campaignParameters {
			if strings.HasPrefix(strings.ToLower(name), p) {
				return name
			}
		}
	}
	return ""
}

// checkNoBeacon refuses a notice's picture that could tell that it was opened: one that
// nobody can see, and one whose address differs from recipient to recipient.
func (c *compiler) checkNoBeacon(source string, token html.Token, at spot) {
	if !c.notice {
		return
	}
	if len(c.marks.find(source)) > 0 && !strings.HasPrefix(strings.ToLower(source), "cid:") {
		c.refuseAt(at, "the picture's address differs from recipient to recipient, as a beacon's; notices are not tracked")
	}
	for _, a := range token.Attr {
		if (a.Key == "width" || a.Key == "height") && (a.Val == "0" || a.Val == "1") {
			c.refuseAt(at, "a picture of %s pixels is a beacon; notices are not tracked", fmt.Sprintf("%s %s", a.Key, a.Val))
			return
		}
	}
}
