package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/testkit"
)

// beProgram makes the test binary run the program instead of the tests, so that
// a test can kill a real process.
const beProgram = "BE_POSTHASTE"

func TestMain(m *testing.M) {
	if testkit.BeNATS() {
		return
	}
	if os.Getenv(beProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// mode is one of the two ways in which the program stores and queues.
type mode struct {
	name string
	env  func(tb testing.TB) []string
}

var modes = []mode{
	{"sqlite and embedded NATS", func(testing.TB) []string { return nil }},
	{"postgres and NATS on a port", func(tb testing.TB) []string {
		return []string{"POSTHASTE_DATABASE_URL=" + testkit.Postgres(tb), "POSTHASTE_NATS_URL=" + testkit.NATS(tb)}
	}},
}

func inBothModes(t *testing.T, test func(t *testing.T, env []string)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			env := append(m.env(t), "POSTHASTE_DATA_DIR="+t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
				"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_POSTAL_ADDRESS=1 Sample Street, Exampletown",
				"POSTHASTE_BOUNCE_DOMAIN=bounces.example.com", "POSTHASTE_LIST_DOMAIN=lists.example.com")
			test(t, env)
		})
	}
}

// program is the running program, in this process or in one of its own.
type program struct {
	tb        testing.TB
	key       string
	operators string
	public    string
	monitor   string
	inbound   string       // host:port, if it has the role
	stop      func() error // gracefully
	kill      func()       // -9; only of a process
	pid       int          // only of a process
}

// command runs a command to its end and gives what it printed.
func command(tb testing.TB, env []string, args ...string) string {
	tb.Helper()
	var out bytes.Buffer
	if err := run(tb.Context(), args, env, &out); err != nil {
		tb.Fatalf("posthaste %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// start runs the program in this process, by the same run as main.
func start(tb testing.TB, env []string, args ...string) *program {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"serve"}, args...), env, writer)
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	var stopped bool
	p := &program{tb: tb, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("the program does not stop")
		}
	}}
	tb.Cleanup(func() {
		if err := p.stop(); err != nil {
			tb.Error("stop:", err)
		}
	})
	p.await(reader, env, args)
	p.key = strings.TrimSpace(command(tb, env, "key", "add", "test-"+fmt.Sprint(time.Now().UnixNano())))
	return p
}

// spawn runs the program in a process of its own, which can be killed.
func spawn(tb testing.TB, env []string, args ...string) *program {
	tb.Helper()
	return spawnCommand(tb, env, exec.Command(os.Args[0], append([]string{"serve"}, args...)...), args...)
}

// spawnCommand is spawn for a process that runs the program with args.
func spawnCommand(tb testing.TB, env []string, cmd *exec.Cmd, args ...string) *program {
	tb.Helper()
	cmd.Env = append(append(os.Environ(), env...), beProgram+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	var ended bool
	p := &program{tb: tb, pid: cmd.Process.Pid}
	p.kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	p.stop = func() error {
		if ended {
			return nil
		}
		ended = true
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		return cmd.Wait()
	}
	tb.Cleanup(p.kill)
	p.await(out, env, args)
	p.key = strings.TrimSpace(command(tb, env, "key", "add", fmt.Sprintf("test-%d", p.pid)))
	return p
}

// await reads the addresses that the program prints once it listens.
func (p *program) await(out io.Reader, env, args []string) {
	p.tb.Helper()
	lines := bufio.NewScanner(out)
	wanted := map[string]*string{"monitor": &p.monitor, "operators": &p.operators, "recipients": &p.public}
	roles := strings.Join(args, " ")
	if strings.Contains(roles, "--roles") && !strings.Contains(roles, "web") {
		delete(wanted, "operators")
	}
	if strings.Contains(roles, "--roles") && !strings.Contains(roles, "public") {
		delete(wanted, "recipients")
	}
	if strings.Contains(roles, "inbound") {
		wanted["notices"] = &p.inbound
	}
	if strings.Contains(strings.Join(env, " "), "POSTHASTE_MONITOR_LISTEN=off") {
		delete(wanted, "monitor")
	}
	for len(wanted) > 0 && lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && wanted[fields[0]] != nil {
			*wanted[fields[0]] = fields[1]
			delete(wanted, fields[0])
		}
	}
	if len(wanted) > 0 {
		p.tb.Fatalf("the program ended before it said where it listens: %v (%v)", lines.Err(), p.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func splitHostPort(tb testing.TB, url string) (string, int) {
	tb.Helper()
	host, text, err := net.SplitHostPort(strings.TrimPrefix(url, "smtp://"))
	must(tb, err)
	port, err := strconv.Atoi(text)
	must(tb, err)
	return host, port
}

// call makes an API request and wants the status; into gets the answer, if not nil.
func (p *program) call(method, path, body string, status int, into any) {
	p.tb.Helper()
	kind := "application/json"
	if strings.HasPrefix(path, "/recipients/import") {
		kind = "text/csv"
	}
	request, err := http.NewRequestWithContext(p.tb.Context(), method, p.operators+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		p.tb.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.key)
	request.Header.Set("Content-Type", kind)
	answer := p.do(request, status)
	if into != nil {
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			p.tb.Fatalf("%s %s answered %s: %v", method, path, answer, err)
		}
	}
}

func (p *program) do(request *http.Request, status int) string {
	p.tb.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: time.Minute}
	answer, err := client.Do(request)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.tb.Fatal(err)
	}
	if answer.StatusCode != status {
		p.tb.Fatalf("%s %s answered %d, want %d: %s", request.Method, request.URL.Path, answer.StatusCode, status, text)
	}
	return string(text) + answer.Header.Get("Location")
}

// get fetches a URL as a person's browser would.
func (p *program) get(url string, status int) string {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0")
	return p.do(request, status)
}

// oneClick unsubscribes as a mailbox provider does (RFC 8058 §3.2).
func (p *program) oneClick(url string, status int) {
	p.tb.Helper()
	request, err := http.NewRequestWithContext(p.tb.Context(), http.MethodPost, url, strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil {
		p.tb.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.do(request, status)
}

// campaignAnswer is what the tests read of a campaign.
type campaignAnswer struct {
	ID     int64
	State  posthaste.CampaignState
	Counts posthaste.Counts
	Hits   posthaste.Hits
}

func (p *program) campaign(id int64) campaignAnswer {
	p.tb.Helper()
	var c campaignAnswer
	p.call("GET", fmt.Sprintf("/campaigns/%d", id), "", 200, &c)
	if !c.Counts.AddsUp() {
		p.tb.Fatalf("the ledger does not add up: %+v", c.Counts)
	}
	return c
}

// until asks for the campaign until it is as wanted.
func (p *program) until(id int64, what string, wanted func(campaignAnswer) bool) campaignAnswer {
	p.tb.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c := p.campaign(id)
		if wanted(c) {
			return c
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("waited too long for %s: %+v", what, c)
		}
		<-tick.C
	}
}

func (p *program) untilSent(id int64) campaignAnswer {
	p.tb.Helper()
	return p.until(id, "the end", func(c campaignAnswer) bool { return c.State == posthaste.Sent })
}

// importCSV imports a file into the topic.
func (p *program) importCSV(topic, csv string) posthaste.ImportReport {
	p.tb.Helper()
	var report posthaste.ImportReport
	query := url.Values{"topic": {topic}, "source": {"https://example.com/signup"}, "wording": {"Yes, send me news."}}
	p.call("POST", "/recipients/import?"+query.Encode(), csv, 200, &report)
	return report
}

// addTopic adds the topic that the tests use.
func (p *program) addTopic() {
	p.tb.Helper()
	p.call("POST", "/topics", `{"key": "weekly", "name": "Weekly"}`, 201, nil)
}

// draft adds a campaign of that topic; more is further JSON fields, each with a comma before it.
func (p *program) draft(body, more string) int64 {
	p.tb.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.tb.Fatal(err)
	}
	var c campaignAnswer
	p.call("POST", "/campaigns", `{"name": "First", "topic": "weekly", "from": "Example <news@example.com>", "subject": "News for {{ recipient.name | default: \"you\" }}",
		"body": `+string(text)+more+`}`, 201, &c)
	return c.ID
}

func (p *program) step(id int64, step string) {
	p.tb.Helper()
	p.call("POST", fmt.Sprintf("/campaigns/%d/%s", id, step), "{}", 200, nil)
}

// manyRecipients is a file of n plain recipients.
func manyRecipients(n int) string {
	var b strings.Builder
	b.WriteString("email,name,locale,time_zone,city\n")
	for i := range n {
		fmt.Fprintf(&b, "reader%06d@example.com,Reader %d,en,Europe/Berlin,Bern\n", i, i)
	}
	return b.String()
}

func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
