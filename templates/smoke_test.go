package templates_test
import ("testing";"fmt";"posthaste";"posthaste/templates")
func TestSmoke(t *testing.T){
 body := "# Hello {{ recipient.name | default: \"friend\" }}\n\nSome *text* & [link](https://example.com/a?b=1&c=2) {{ recipient.attributes.city | upcase }}\n{% if recipient.attributes.vip %}\n## VIP\n\n- one\n{% for x in recipient.attributes.tags | split: \",\" %}\n- tag {{ x }}\n{% endfor %}\n- two\n\npara\n{% endif %}\n\n| a | b |\n|---|---|\n{% for x in recipient.attributes.tags | split: \",\" %}\n| {{ x }} | [go]({{ links.preferences }}) |\n{% endfor %}\n\n{% raw %}{{ raw }}{% endraw %} `{{ recipient.name }}`\n\n> quote\n> more\n\n1. x\n2. y\n   - z\n\n---\n\n![Alt](https://example.com/i.png) <https://example.com>\n"
 m, err := templates.Compile(templates.Source{Subject:"Hi {{ recipient.name }}", Preheader:"Pre <b>", Body: body, Format: posthaste.Markdown, Layout:"plain"}, []string{"city","vip","tags"})
 if err != nil { t.Fatal(err) }
 var r templates.Rendered
 err = m.Render(&r, &templates.Values{Recipient: posthaste.Recipient{Name:"Ann <x>", Email:"a@example.com", Attributes: map[string]string{"city":"bern","vip":"1","tags":"p,q"}}, Topic:"T", SenderName:"S", PostalAddress:"Street 1", Unsubscribe:"https://u.test/1", Preferences:"https://u.test/p", Pixel:"https://u.test/px"})
 fmt.Println(err, r.Subject, m.Links()); fmt.Println(string(r.HTML)); fmt.Println(string(r.Text))
}
