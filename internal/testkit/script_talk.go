package testkit

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"time"
)

// scriptTalk is one connection of a Script.
type scriptTalk struct {
	*Script
	conn net.Conn
	r    *bufio.Reader
	open Received
}

// run talks until somebody hangs up.
func (t *scriptTalk) run() {
	t.r = bufio.NewReader(t.conn)
	if !t.answer(Greeting, "220 script.test ESMTP") {
		return
	}
	for {
		line, err := t.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		t.note(line)
		if !t.command(line) {
			return
		}
	}
}

// note keeps a command for Commands; of AUTH only its mechanism.
func (t *scriptTalk) note(line string) {
	if fields := strings.Fields(line); len(fields) > 2 && strings.EqualFold(fields[0], "AUTH") {
		line = fields[0] + " " + fields[1]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.commands = append(t.commands, line)
}

// command answers one line and reports whether the talk goes on.
func (t *scriptTalk) command(line string) bool {
	switch verb := strings.ToUpper(strings.Fields(line + " -")[0]); verb {
	case "EHLO", "HELO":
		return t.answer(EHLO, t.hello(verb)...)
	case "STARTTLS":
		return t.startTLS()
	case "AUTH":
		return t.auth(line)
	case "MAIL":
		t.open = Received{From: path([]byte(line)), UTF8: strings.Contains(line, " SMTPUTF8")}
		return t.answer(MAIL, "250 2.1.0 ok")
	case "RCPT":
		t.open.To = path([]byte(line))
		return t.answer(RCPT, "250 2.1.5 ok")
	case "DATA":
		return t.data()
	case "RSET":
		return t.answer(RSET, "250 2.0.0 ok")
	case "NOOP":
		return t.write("250 2.0.0 ok\r\n")
	case "QUIT":
		t.answer(QUIT, "221 2.0.0 bye")
		return false
	default:
		return t.write("500 5.5.2 what\r\n")
	}
}

func (t *scriptTalk) hello(verb string) []string {
	if verb == "HELO" || len(t.offers) == 0 {
		return []string{"250 script.test"}
	}
	lines := []string{"250-script.test"}
	for i, keyword := range t.offers {
		dash := "-"
		if i == len(t.offers)-1 {
			dash = " "
		}
		lines = append(lines, "250"+dash+keyword)
	}
	return lines
}

func (t *scriptTalk) startTLS() bool {
	if !t.offered("STARTTLS") {
		return t.write("502 5.5.1 not offered\r\n")
	}
	if b, ok := t.behaviour(STARTTLS); ok {
		return t.do(b)
	}
	if !t.write("220 2.0.0 go ahead\r\n") {
		return false
	}
	if b, ok := t.behaviour(Handshake); ok {
		return t.do(b)
	}
	secured, err := t.upgrade(t.conn)
	if err != nil {
		return false
	}
	t.conn, t.r = secured, bufio.NewReader(secured)
	return true
}

// auth takes any user and password, by PLAIN with an initial response or by LOGIN.
func (t *scriptTalk) auth(line string) bool {
	if !t.offered("AUTH") {
		return t.write("502 5.5.1 not offered\r\n")
	}
	if fields := strings.Fields(line); len(fields) == 2 {
		for _, prompt := range []string{"334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n"} {
			if !t.write(prompt) {
				return false
			}
			if _, err := t.r.ReadString('\n'); err != nil {
				return false
			}
		}
	}
	return t.answer(AUTH, "235 2.7.0 welcome")
}

// data takes a message. A behaviour at DATA that says 354 goes on to the body.
func (t *scriptTalk) data() bool {
	b, ok := t.behaviour(DATA)
	if !ok {
		b = Say("354 go ahead")
	}
	if !t.do(b) {
		return false
	}
	if !strings.HasPrefix(b.raw, "354") {
		return true
	}
	if b, ok := t.behaviour(Body); ok {
		if _, err := t.r.Peek(1); err != nil || !t.do(b) {
			return false
		}
	}
	var message bytes.Buffer
	for {
		line, err := t.r.ReadBytes('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		message.Write(line)
	}
	got := t.open
	got.Data, got.At = message.Bytes(), time.Now()
	t.mu.Lock()
	t.messages = append(t.messages, got)
	t.mu.Unlock()
	return t.answer(Dot, "250 2.0.0 taken")
}

// answer does what the script says for the phase, or writes the usual lines.
func (t *scriptTalk) answer(p Phase, usual ...string) bool {
	if b, ok := t.behaviour(p); ok {
		return t.do(b)
	}
	return t.write(join(usual))
}

func (t *scriptTalk) do(b Behaviour) bool {
	if b.raw != "" && !t.write(b.raw) {
		return false
	}
	switch b.then {
	case hangUp:
		return false
	case stall:
		_, _ = io.Copy(io.Discard, t.r)
		return false
	case freeze:
		<-t.done
		return false
	}
	return true
}

func (t *scriptTalk) write(text string) bool {
	_, err := io.WriteString(t.conn, text)
	return err == nil
}
