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

// Send runs MAIL, RCPT, DATA and the message for each item. See relay.Connection.
func (c *conn) Send(ctx context.Context, s relay.Source) {
	t := &talk{conn: c, ctx: ctx, source: s}
	if c.closed || ctx.Err() != nil {
		_ = c.Close()
		if item := s.Next(); item != nil {
			t.answered(item, relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtMail, Text: "stopped by us"}, Lost: true})
		}
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	defer stop()
	t.run()
	if t.gone {
		c.closed = true
		_ = c.wire.Close()
	}
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
func (c *conn) unfit(e *relay.Item) (posthaste.Reply, bool) {
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
	case !c.eightBit && (!e.Wired || !ascii(e.To)) && !ascii(e.Message):
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

// talk is the dialogue of the messages of one Send.
type talk struct {
	*conn
	ctx    context.Context
	source relay.Source
	ended  bool // the source gives no more
	gone   bool // the connection is of no further use
	buffer []byte
}

// step is a command of the envelope.
type step struct {
	stage posthaste.Stage
	want  int // the answer's code, or its first digit
}

var steps = [...]step{{posthaste.AtMail, 2}, {posthaste.AtRcpt, 2}, {posthaste.AtData, 354}}

func (s step) wanted(code int) bool { return code == s.want || code/100 == s.want }

// run hands over message after message. The next hop that offers PIPELINING is
// told the next envelope in the write of a message's final dot.
func (t *talk) run() {
	told := false // the envelope of item is on its way
	for item := t.next(); item != nil && !t.gone; {
		var following *relay.Item
		answer, asked := t.ask(item, told)
		told = false
		if asked {
			if t.pipeline && len(item.Message) < dataBlock {
				following = t.next()
			}
			if following != nil && !t.carries(following) {
				following.HasBegun() // it will never have a MAIL FROM to wait for
				answer = t.message(item, nil)
			} else {
				answer, told = t.message(item, following), following != nil
			}
		}
		t.answered(item, answer)
		if t.gone && following != nil {
			t.answered(following, t.lost(following, posthaste.AtMail, false, errGone, t.timeouts.Command))
			return
		}
		if following == nil && !t.gone {
			following = t.next()
		}
		item = following
	}
}

func (t *talk) next() *relay.Item {
	if t.ended {
		return nil
	}
	item := t.source.Next()
	t.ended = item == nil
	return item
}

func (t *talk) answered(item *relay.Item, a relay.Answer) {
	item.HasBegun()
	if t.ctx.Err() != nil {
		a.Lost = true // what was answered before ctx ended still holds
	}
	t.gone = t.gone || a.Lost
	t.source.Answered(a)
}

// carries reports whether this connection can carry an item at all.
func (t *talk) carries(item *relay.Item) bool {
	_, unfit := t.unfit(item)
	return !unfit
}

// ask says the envelope, unless that is told already, and reads its answers.
// It reports whether the next hop asks for the message; if not, the answer is final.
func (t *talk) ask(item *relay.Item, told bool) (answer relay.Answer, asked bool) {
	if refused, unfit := t.unfit(item); unfit {
		return relay.Answer{Reply: refused}, false
	}
	if t.pipeline {
		return t.askAtOnce(item, told)
	}
	for i, step := range steps {
		code, text, err := t.command(t.line(item, step.stage))
		if i == 0 {
			item.HasBegun()
		}
		switch {
		case err != nil:
			return t.lost(item, step.stage, false, err, t.timeouts.Command), false
		case code >= 400:
			return t.refused(item, step.stage, code, text), false
		case !step.wanted(code):
			return t.lost(item, step.stage, false, errOrder, t.timeouts.Command), false
		}
	}
	return relay.Answer{}, true
}

// line is the command of a stage, with the extensions that the message needs.
func (t *talk) line(item *relay.Item, stage posthaste.Stage) string {
	switch stage {
	case posthaste.AtMail:
		line := "MAIL FROM:<" + item.From + ">"
		beyond := !ascii(item.From) || !ascii(item.To)
		if t.eightBit && (beyond || !item.Wired) && !ascii(item.Message) {
			line += " BODY=8BITMIME"
		}
		if beyond {
			line += " SMTPUTF8"
		}
		return line
	case posthaste.AtRcpt:
		return "RCPT TO:<" + item.To + ">"
	}
	return "DATA"
}

// refused ends a message before its first byte. When a transaction is open,
// RSET makes way for the next message.
func (t *talk) refused(item *relay.Item, stage posthaste.Stage, code int, text string) relay.Answer {
	answer := relay.Answer{Reply: t.read(item, stage, code, text), Lost: code == 421}
	if stage != posthaste.AtMail && !answer.Lost {
		code, _, err := t.command("RSET")
		answer.Lost = err != nil || code/100 != 2
	}
	return answer
}

// message sends the message and its final dot, with the envelope of the one
// that follows, if any, and reads the answer to the dot.
func (t *talk) message(item, following *relay.Item) relay.Answer {
	if !t.source.Permit() {
		return relay.Answer{Reply: posthaste.Reply{Stage: posthaste.AtData, Text: "stopped by us"}, Lost: true}
	}
	data := item.Message
	if !item.Wired {
		t.buffer = appendWire(t.buffer[:0], data)
		data = t.buffer
	}
	data = append(data, ".\r\n"...)
	end := len(data)
	if following != nil {
		for _, step := range steps {
			data = append(append(data, t.line(following, step.stage)...), "\r\n"...)
		}
	}
	written, err := t.write(data)
	if following != nil {
		following.HasBegun()
	}
	// From the dot on it may have been taken, whatever happened behind it.
	if written < end {
		return t.cutShort(item, err)
	}
	t.wire.allow(t.timeouts.Dot)
	code, text, err := readAnswer(t.client.Text.R)
	if err == nil && code/100 == 3 {
		err = errOrder
	}
	if err != nil {
		return t.lost(item, posthaste.AtDot, true, err, t.timeouts.Dot)
	}
	return relay.Answer{Reply: t.read(item, posthaste.AtDot, code, text), Lost: code == 421}
}

// write writes data block by block, and tells how much of it may have gone.
func (t *talk) write(data []byte) (written int, err error) {
	w := t.client.Text.W
	for rest := data; len(rest) > 0 && err == nil; {
		block := rest[:min(dataBlock, len(rest))]
		t.wire.allow(t.timeouts.Data)
		var n int
		n, err = w.Write(block)
		written, rest = written+n, rest[n:]
	}
	if err == nil {
		err = w.Flush()
	}
	return written - w.Buffered(), err
}

// cutShort ends a message of which the dot was not sent. That is AtData, so
// that silence at AtDot always means Unknown. A next hop that hangs up amid a
// message may have said why.
func (t *talk) cutShort(item *relay.Item, err error) relay.Answer {
	answer := t.lost(item, posthaste.AtData, false, err, t.timeouts.Data)
	if strings.HasPrefix(answer.Reply.Text, "no answer") || t.ctx.Err() != nil {
		return answer
	}
	t.wire.allow(min(quitTimeout, t.timeouts.Command))
	code, text, err := readAnswer(t.client.Text.R)
	if err == nil && code >= 400 {
		answer.Reply = t.read(item, posthaste.AtDot, code, text)
	}
	return answer
}

// lost is the answer when nothing, or nothing of sense, was said.
func (t *talk) lost(item *relay.Item, stage posthaste.Stage, unknown bool, err error, limit time.Duration) relay.Answer {
	text := relay.Mask(fault(t.ctx.Err(), err, limit), item.To, item.From)
	return relay.Answer{Reply: posthaste.Reply{Stage: stage, Text: text}, Unknown: unknown, Lost: true}
}

func (t *talk) read(item *relay.Item, stage posthaste.Stage, code int, text string) posthaste.Reply {
	return relay.ReadReply(stage, code, text, item.To, item.From)
}
