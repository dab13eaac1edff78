package main

import (
	"bufio"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posthaste/internal/testkit"
)

// connected is one call of connect(2) to another machine, or to a port of this one.
var connected = regexp.MustCompile(`connect\(\d+, \{sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"`)

// TestConnectsToNobodyElse watches every connection that a process opens while
// it does all that it can do: it talks to its database, its broker, the next hop
// and the webhooks that were configured, and to nobody else. No third party is
// told anything, whatever a library would like to.
func TestConnectsToNobodyElse(t *testing.T) {
	t.Parallel()
	if err := exec.Command("strace", "-f", "-o", os.DevNull, "true").Run(); err != nil {
		testkit.Missing(t, "strace: "+err.Error())
	}
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		receiver := newReceiver(t)
		env = append(append(env, receiver.trust(t)...), "POSTHASTE_SMTP_URL="+sink.URL())
		allowed := map[string]string{hostPort(t, sink.URL()): "next hop", hostPort(t, receiver.URL): "webhook"}
		if broker := setting(env, "POSTHASTE_NATS_URL"); broker != "" {
			allowed[hostPort(t, broker)] = "broker"
		}
		trace := filepath.Join(t.TempDir(), "trace")
		p := spawnUnder(t, env, "strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect", "-o", trace)
		p.addTopic()
		p.call("POST", "/forms", `{"key": "news", "title": "Our news", "topics": ["weekly"], "measurement": true, "policy_version": "1", "policy_url": "https://policy.example/privacy"}`, 201, nil)
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		p.call("POST", "/webhooks", `{"url": "`+receiver.URL+`/hook", "events": ["notice.accepted", "campaign.sent"]}`, 201, nil)
		p.importCSV("weekly", manyRecipients(50))
		p.call("POST", "/recipients/reader000001@example.com/consents", `{"purpose": "clicks", "decision": "given", "source": "form", "wording": "w"}`, 200, nil)
		id := p.draft("Hello. [Read](https://link.example/read) ![](https://image.example/i.png)", `, "tracking": {"opens": "individual", "clicks": "individual"}`)
		p.step(id, "schedule")
		p.untilSent(id)
		p.notify(`{"type": "receipt", "to": {"email": "ada@example.com"}, "data": ` + order + `}`)
		waitFor(t, "the webhook and the notice", func() bool { return len(receiver.all()) >= 2 && len(sink.Messages()) >= 51 })
		for _, m := range sink.Messages() {
			if in := readMessage(t, m.Data); m.To == "reader000001@example.com" {
				p.get(in.find("/c/")[0], 302) // which is answered, and not followed
				p.oneClick(in.unsubscribeURL(t), 200)
			}
		}
		must(t, p.stop())
		found := connections(t, trace)
		for to, what := range allowed {
			if found[to] == 0 {
				t.Errorf("no connection to the %s was seen, so that this proves nothing: %v", what, found)
			}
			delete(found, to)
		}
		if len(found) > 0 {
			t.Errorf("connections to others: %v", found)
		}
	})
}

func hostPort(tb testing.TB, address string) string {
	tb.Helper()
	u, err := url.Parse(address)
	must(tb, err)
	return u.Host
}

// connections reads how often a traced process connected to where.
func connections(tb testing.TB, trace string) map[string]int {
	tb.Helper()
	file, err := os.Open(trace)
	must(tb, err)
	defer file.Close()
	found := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		m := connected.FindStringSubmatch(lines.Text())
		if m == nil || m[1] == "0" { // port 0: asking the system which address it would use
			continue
		}
		found[net.JoinHostPort(strings.TrimPrefix(m[2], "::ffff:"), m[1])]++
	}
	must(tb, lines.Err())
	return found
}

// spawnUnder runs the program in a process of its own under another one.
func spawnUnder(tb testing.TB, env []string, command ...string) *program {
	tb.Helper()
	return spawnCommand(tb, env, exec.Command(command[0], append(command[1:], os.Args[0], "serve")...)) //nolint:gosec // it is this test
}
