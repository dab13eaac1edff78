package smtpclient

import (
	"posthaste"
	"posthaste/mailer/relay"
)

// pipelined writes the whole envelope at once and reads its answers after, one
// round trip instead of three (RFC 2920 section 3.1). DATA is the last of a
// group, so no byte of the message goes before it is asked for.
func (t *talk) pipelined(steps []step, message []byte) relay.Answer {
	t.wire.allow(t.timeouts.Command)
	w := t.client.Text.W
	for _, step := range steps {
		if _, err := w.WriteString(step.line + "\r\n"); err != nil {
			return t.lost(step.stage, false, err, t.timeouts.Command)
		}
	}
	err := w.Flush()
	t.envelope.HasBegun()
	if err != nil {
		return t.lost(posthaste.AtMail, false, err, t.timeouts.Command)
	}
	var refused *relay.Answer // the first refusal; what follows from it says nothing more
	asked := false            // for the message
	for _, step := range steps {
		code, text, err := readAnswer(t.client.Text.R)
		switch {
		case err != nil && refused != nil:
			refused.Lost = true
			return *refused
		case err != nil:
			return t.lost(step.stage, false, err, t.timeouts.Command)
		case code >= 400 && refused == nil:
			refused = &relay.Answer{Reply: t.read(step.stage, code, text), Lost: code == 421}
		case code < 400 && refused == nil && !step.wanted(code):
			return t.lost(step.stage, false, errOrder, t.timeouts.Command)
		}
		asked = code == 354
	}
	if refused == nil {
		return t.message(message)
	}
	return t.clear(*refused, asked)
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
