package smtpclient

import (
	"context"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"posthaste"
	"posthaste/mailer/relay"
)

// quitTimeout bounds the goodbye, which nobody waits for gladly.
const quitTimeout = 5 * time.Second

// conn is one connection, ready for a message. It is used by one goroutine at a time.
type conn struct {
	client   *smtp.Client
	wire     *wire
	timeouts Timeouts
	utf8     bool // SMTPUTF8 is offered
	eightBit bool // 8BITMIME is offered
	pipeline bool // PIPELINING is offered
	closed   bool
}

func newConn(client *smtp.Client, w *wire, t Timeouts) *conn {
	c := &conn{client: client, wire: w, timeouts: t}
	c.utf8, _ = client.Extension("SMTPUTF8")
	c.eightBit, _ = client.Extension("8BITMIME")
	c.pipeline, _ = client.Extension("PIPELINING")
	return c
}

// Send runs MAIL, RCPT, DATA and the message. See relay.Connection.
func (c *conn) Send(ctx context.Context, e relay.Envelope, message []byte) relay.Answer {
	if c.closed || ctx.Err() != nil {
		_ = c.Close()
		return relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtMail, Text: "stopped by us"}, Lost: true}
	}
	if refused, ok := c.unfit(e, message); ok {
		return relay.Answer{Reply: refused}
	}
	talk := &talk{conn: c, ctx: ctx, envelope: e}
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	answer := talk.run(message)
	if !stop() {
		answer.Lost = true // what was answered before ctx ended still holds
	}
	if answer.Lost {
		c.closed = true
		_ = c.wire.Close()
	}
	return answer
}

// Close says QUIT, unless the connection is lost, and closes it.
func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.timeouts.Command = min(quitTimeout, c.timeouts.Command)
	_, _, _ = c.command("QUIT") // whatever it says, the work is done
	_ = c.wire.Close()
	return nil
}

// command writes one line and reads its answer, within Timeouts.Command each.
// The commands are not go-mail's own: those announce extensions whenever they
// are offered, and read answers by net/textproto (see readAnswer).
func (c *conn) command(line string) (code int, text string, err error) {
	c.wire.allow(c.timeouts.Command)
	if err := c.client.Text.PrintfLine("%s", line); err != nil {
		return 0, "", err
	}
	return readAnswer(c.client.Text.R)
}

// unfit finds what this connection cannot carry, without asking the next hop:
// RFC 6531 section 3.2 forbids to send such an address on, and RFC 6152
// section 3 such a body.
func (c *conn) unfit(e relay.Envelope, message []byte) (posthaste.Reply, bool) {
	local := func(stage posthaste.Stage, enhanced, text string) (posthaste.Reply, bool) {
		return posthaste.Reply{Stage: stage, Code: 553, Enhanced: enhanced, Text: text}, true
	}
	switch {
	case malformed(e.From):
		return local(posthaste.AtMail, "5.1.7", "the envelope sender is not well formed")
	case e.To == "" || malformed(e.To):
		return local(posthaste.AtRcpt, "5.1.3", "the recipient's address is not well formed")
	case !c.utf8 && !ascii(e.From):
		return local(posthaste.AtMail, "5.6.7", "the envelope sender needs SMTPUTF8, which the next hop does not offer")
	case !c.utf8 && !ascii(e.To):
		return local(posthaste.AtRcpt, "5.6.7", "the recipient's address needs SMTPUTF8, which the next hop does not offer")
	case !c.eightBit && !ascii(message):
		return local(posthaste.AtData, "5.6.3", "the message has 8-bit bytes and the next hop does not offer 8BITMIME")
	}
	return posthaste.Reply{}, false
}

// malformed finds what would end a command or its path early.
func malformed(address string) bool {
	return strings.ContainsFunc(address, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '<' || r == '>'
	}) || strings.Contains(address, " ") && !strings.HasPrefix(address, `"`)
}

func ascii[T string | []byte](s T) bool {
	for ; len(s) >= 8; s = s[8:] { // a message is long, and this is asked of each
		if (s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7])&0x80 != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// talk is the dialogue of one message.
type talk struct {
	*conn
	ctx      context.Context
	envelope relay.Envelope
}

// step is a command of the envelope.
type step struct {
	stage posthaste.Stage
	want  int // the answer's code, or its first digit
	line  string
}

func (s step) wanted(code int) bool { return code == s.want || code/100 == s.want }

func (t *talk) run(message []byte) relay.Answer {
	steps := [...]step{
		{posthaste.AtMail, 2, t.mail(message)},
		{posthaste.AtRcpt, 2, "RCPT TO:<" + t.envelope.To + ">"},
		{posthaste.AtData, 354, "DATA"},
	}
	if t.pipeline {
		return t.pipelined(steps[:], message)
	}
	for _, step := range steps {
		code, text, err := t.command(step.line)
		if step.stage == posthaste.AtMail {
			t.envelope.HasBegun()
		}
		switch {
		case err != nil:
			return t.lost(step.stage, false, err, t.timeouts.Command)
		case code >= 400:
			return t.refused(step.stage, code, text)
		case !step.wanted(code):
			return t.lost(step.stage, false, errOrder, t.timeouts.Command)
		}
	}
	return t.message(message)
}

// mail is the MAIL command, with the extensions that this message needs.
func (t *talk) mail(message []byte) string {
	line := "MAIL FROM:<" + t.envelope.From + ">"
	if t.eightBit && !ascii(message) {
		line += " BODY=8BITMIME"
	}
	if !ascii(t.envelope.From) || !ascii(t.envelope.To) {
		line += " SMTPUTF8"
	}
	return line
}

// refused ends a message before its first byte. When a transaction is open,
// RSET makes way for the next message.
func (t *talk) refused(stage posthaste.Stage, code int, text string) relay.Answer {
	answer := relay.Answer{Reply: t.read(stage, code, text), Lost: code == 421}
	if stage != posthaste.AtMail && !answer.Lost {
		code, _, err := t.command("RSET")
		answer.Lost = err != nil || code/100 != 2
	}
	return answer
}

// message sends the message and reads the answer to its final dot.
func (t *talk) message(message []byte) relay.Answer {
	w := t.client.Text.W
	if err := writeData(w, message, func() { t.wire.allow(t.timeouts.Data) }); err != nil {
		return t.cutShort(err)
	}
	// From here on the dot may be on its way.
	if _, err := w.WriteString(".\r\n"); err != nil {
		return t.lost(posthaste.AtDot, true, err, t.timeouts.Data)
	}
	if err := w.Flush(); err != nil {
		return t.lost(posthaste.AtDot, true, err, t.timeouts.Data)
	}
	t.wire.allow(t.timeouts.Dot)
	code, text, err := readAnswer(t.client.Text.R)
	if err == nil && code/100 == 3 {
		err = errOrder
	}
	if err != nil {
		return t.lost(posthaste.AtDot, true, err, t.timeouts.Dot)
	}
	return relay.Answer{Reply: t.read(posthaste.AtDot, code, text), Lost: code == 421}
}

// cutShort ends a message of which the dot was not sent. That is AtData, so
// that silence at AtDot always means Unknown. A next hop that hangs up amid a
// message may have said why.
func (t *talk) cutShort(err error) relay.Answer {
	answer := t.lost(posthaste.AtData, false, err, t.timeouts.Data)
	if strings.HasPrefix(answer.Reply.Text, "no answer") || t.ctx.Err() != nil {
		return answer
	}
	t.wire.allow(min(quitTimeout, t.timeouts.Command))
	code, text, err := readAnswer(t.client.Text.R)
	if err == nil && code >= 400 {
		answer.Reply = t.read(posthaste.AtDot, code, text)
	}
	return answer
}

// lost is the answer when nothing, or nothing of sense, was said.
func (t *talk) lost(stage posthaste.Stage, unknown bool, err error, limit time.Duration) relay.Answer {
	text := relay.Mask(fault(t.ctx.Err(), err, limit), t.envelope.To, t.envelope.From)
	return relay.Answer{Reply: posthaste.Reply{Stage: stage, Text: text}, Unknown: unknown, Lost: true}
}

func (t *talk) read(stage posthaste.Stage, code int, text string) posthaste.Reply {
	return relay.ReadReply(stage, code, text, t.envelope.To, t.envelope.From)
}
