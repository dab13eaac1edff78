package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"posthaste"
)

// sampleCount is the number of sample recipients, those with faults included.
const sampleCount = 1000

func sampleEmail(n int) string { return fmt.Sprintf("reader%04d@example.com", n) }

// hostileNames are what sign-up forms see. They must arrive as they are, and do nothing.
var hostileNames = []string{
	`<script>alert(1)</script>`, `{{ links.unsubscribe }}`, `"><img src=x onerror=alert(1)>`, `Robert'); DROP TABLE recipients;--`,
	"Zoë 👩‍🚀 Łukasz", "مرحبا", "=HYPERLINK(\"http://example.test\")", strings.Repeat("very ", 40) + "long",
}

var (
	firstNames = []string{"Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Ken", "Frances", "Tony"}
	lastNames  = []string{"Lindt", "Moreau", "Okafor", "Sato", "Silva", "Novak", "Berg", "Costa", "Iyer", "Kowalski", "Haddad"}
	cities     = []string{"Bern", "Lyon", "Lagos", "Kyoto", "Porto", "Brno", "Oslo", ""}
	locales    = []string{"en", "de", "fr", "es"}
	zones      = []string{"Europe/Zurich", "Europe/Paris", "Africa/Lagos", "Asia/Tokyo"}
)

// sampleCSV is a file as people upload them: mostly good, with some hostile
// names and a few lines that must be rejected.
func sampleCSV() string {
	var b strings.Builder
	b.WriteString("email;name;locale;time zone;city\n")
	for n := range sampleCount {
		email, name, locale := sampleEmail(n), firstNames[n%len(firstNames)]+" "+lastNames[n%len(lastNames)], locales[n%len(locales)]
		switch {
		case n%100 == 50:
			name = hostileNames[n/100%len(hostileNames)]
		case n == 498:
			email = "no address at all"
		case n == 499:
			name = "Bob\r\nBcc: everyone@example.com"
		case n == 501:
			locale = "not-a-language-tag-at-all"
		}
		fmt.Fprintf(&b, "%s;\"%s\";%s;%s;%s\n", email, strings.ReplaceAll(name, `"`, `""`), locale, zones[n%len(zones)], cities[n%len(cities)])
	}
	return b.String()
}

// sampleNotice is a type of account notice, and data for one.
func sampleNotice() (posthaste.NoticeType, json.RawMessage) {
	return posthaste.NoticeType{Key: "receipt", Name: "Receipts", Reason: "you bought something from us", Kind: posthaste.Necessary,
		From: "The Weekly Post <account@example.com>", Subject: "Your receipt {{ data.number }}", Format: posthaste.Markdown,
		Body: "# Thank you, {{ recipient.name }}\n\n{% for item in data.items %}\n- {{ item.name }}: {{ item.price }}\n{% endfor %}\n\nTotal: **{{ data.total }}**",
		Schema: json.RawMessage(`{"type": "object", "required": ["number", "items", "total"], "properties": {"number": {"type": "string"}, "total": {"type": "string"},
			"items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "price": {"type": "string"}}}}}}`),
		Validity: 24 * time.Hour, Actor: "demo"}, json.RawMessage(`{"number": "A-7", "items": [{"name": "Earl Grey", "price": "4.50"}, {"name": "Scones", "price": "3.20"}], "total": "7.70"}`)
}

// sampleCampaign is a newsletter that shows what templates can do.
func sampleCampaign(topic posthaste.Topic) posthaste.Campaign {
	return posthaste.Campaign{
		Name: "The Weekly Post, number 1", TopicID: topic.ID, From: "The Weekly Post <post@news.example.com>",
		Subject:   `{{ recipient.name | default: "Hello" | truncate: 40 }}, your first Weekly Post is here`,
		Preheader: "Three short stories, and how to leave whenever you like.",
		Format:    posthaste.Markdown, Layout: "magazine",
		Tracking: posthaste.Tracking{Opens: posthaste.TrackIndividual, Clicks: posthaste.TrackIndividual},
		Body: `# Good morning{% if recipient.name != blank %}, {{ recipient.name | truncate: 60 }}{% endif %}

This is the first number of **{{ topic.name }}**: a letter that comes once a week, and only to people who asked for it.

{% if recipient.attributes.city != blank %}
> A special greeting to **{{ recipient.attributes.city }}** today. We hope that the weather is kind.
{% else %}
> Wherever you read this: welcome.
{% endif %}

## Three things to read

1. [Why a newsletter needs your yes](https://example.com/consent?from=weekly&number=1), and what happens to it afterwards.
2. [Letters that arrive](https://example.com/arrive): a short history of the post.
3. [What we measure](https://example.com/measure). Nothing, unless you allow it.

## What it costs you to leave

| If you want to        | you do                                  |
|-----------------------|-----------------------------------------|
| stop this letter      | one click, in your mail program or below |
| stop being measured   | one tick in your [preferences]({{ links.preferences }}) |
| hear nothing any more | one button on the same page              |

No login, no questions, no hard feelings.

---

*Until next week,*
the people of {{ sender.name }}
`,
	}
}
