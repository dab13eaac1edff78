package smtpclient

import (
	"posthaste"
	"posthaste/mailer/relay"
)

// askAtOnce writes the whole envelope at once, unless it is told already, and
// reads its answers after: one round trip instead of three (RFC 2920 section
// 3.1). DATA is the last of a group, so no byte of the message goes before it
// is asked for.
func (t *talk) askAtOnce(item *relay.Item, told bool) (answer relay.Answer, asked bool) {
	if !told {
		if err := t.tell(item); err != nil {
			return t.lost(item, posthaste.AtMail, false, err, t.timeouts.Command), false
		}
	}
	t.wire.allow(t.timeouts.Command)
	var refused *relay.Answer // the first refusal; what follows from it says nothing more
	for _, step := range steps {
		code, text, err := skimAnswer(t.client.Text.R)
		switch {
		case err != nil && refused != nil:
			refused.Lost = true
			return *refused, false
		case err != nil:
			return t.lost(item, step.stage, false, err, t.timeouts.Command), false
		case code >= 400 && refused == nil:
			refused = &relay.Answer{Reply: t.read(item, step.stage, code, text), Lost: code == 421}
		case code < 400 && refused == nil && !step.wanted(code):
			return t.lost(item, step.stage, false, errOrder, t.timeouts.Command), false
		}
		asked = code == 354
	}
	if refused == nil {
		return answer, true
	}
	return t.clear(*refused, asked), false
}

// tell writes an envelope.
func (t *talk) tell(item *relay.Item) (err error) {
	defer item.HasBegun()
	t.wire.allow(t.timeouts.Command)
	w := t.client.Text.W
	for _, step := range steps {
		if _, err := w.WriteString(t.line(item, step.stage) + "\r\n"); err != nil {
			return err
		}
	}
	return w.Flush()
}

// clear makes way for the next message after a refusal. A server that asked for
// the message all the same gets an empty one, which goes to nobody (RFC 2920
// section 3.1).
func (t *talk) clear(refused relay.Answer, asked bool) relay.Answer {
	if refused.Lost {
		return refused
	}
	if asked {
		if _, _, err := t.command("."); err != nil {
			refused.Lost = true
			return refused
		}
	}
	if refused.Reply.Stage == posthaste.AtMail {
		return refused
	}
	code, _, err := t.command("RSET")
	refused.Lost = err != nil || code/100 != 2
	return refused
}
