package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"posthaste/internal/testkit"
	"posthaste/internal/webhook"
)

// TestSampleBackEnds runs what docs/notices.md shows to developers, as they would.
func TestSampleBackEnds(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(*testing.T) *exec.Cmd{"go": goSample, "python": pythonSample} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testSample(t, command(t))
		})
	}
}

func goSample(t *testing.T) *exec.Cmd {
	program := filepath.Join(t.TempDir(), "shop")
	if out, err := exec.Command("go", "build", "-o", program, "posthaste/docs/examples/shop-go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exec.Command(program)
}

func pythonSample(t *testing.T) *exec.Cmd {
	python, err := exec.LookPath("python3")
	if err != nil {
		testkit.Missing(t, "python3: there is none in PATH")
	}
	return exec.Command(python, "../../docs/examples/shop-python/shop.py")
}

func testSample(t *testing.T, command *exec.Cmd) {
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true, OnRcpt: func(to string) error {
		if strings.HasPrefix(to, "gone@") {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	}})
	known := httptest.NewTLSServer(http.NotFoundHandler()) // has a certificate for 127.0.0.1, and a client that trusts it
	t.Cleanup(known.Close)
	certificate, key := writePair(t, known)
	p := start(t, []string{"POSTHASTE_DATA_DIR=" + t.TempDir(), "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_SENDER_NAME=Example Ltd", "POSTHASTE_SMTP_URL=" + sink.URL(), "POSTHASTE_WEBHOOK_CA=" + certificate, "POSTHASTE_WEBHOOK_NETWORKS=127.0.0.0/8"})
	p.addReceipt()
	var shop struct{ Key string }
	p.call("POST", "/keys", `{"name": "shop", "scopes": ["notices:send", "notices:read"]}`, 201, &shop)
	address := freeAddress(t)
	var hook, rotated struct{ Secret string }
	p.call("POST", "/webhooks", `{"url": "https://`+address+`/", "events": ["notice.accepted", "notice.bounced"]}`, 201, &hook)
	p.call("POST", "/webhooks/1/rotate", "", 200, &rotated) // every message has two signatures now
	run := func(wantFault bool, listening func(), env ...string) string {
		t.Helper()
		cmd := exec.Command(command.Path, command.Args[1:]...)
		cmd.Env = append(os.Environ(), append([]string{"SHOP_API_URL=" + p.operators, "SHOP_API_KEY=" + shop.Key, "WEBHOOK_LISTEN=" + address,
			"WEBHOOK_SECRET=" + rotated.Secret, "WEBHOOK_CERT=" + certificate, "WEBHOOK_KEY=" + key, "RECIPIENT=ada@example.com"}, env...)...)
		return runSample(t, cmd, wantFault, listening)
	}

	out := run(false, nil, "SHOP_API_URL="+unsteady(t, p.operators), "WEBHOOK_SECRET="+hook.Secret)
	if !strings.Contains(out, "notice.accepted: notice 1, attempt 1") || strings.Count(out, "trying again: ") != 2 {
		t.Errorf("it printed\n%s", out)
	}
	if received := sink.Messages(); len(received) != 1 || !strings.Contains(string(received[0].Data), "Tea, 100 g") || !strings.Contains(string(received[0].Data), "receipt.txt") {
		t.Errorf("the sink got %d, of which the first is\n%s", len(received), received[0].Data)
	}
	out = run(false, func() { testForgeries(t, known.Client(), "https://"+address, rotated.Secret) }, "WAIT_SECONDS=3")
	if sink.Count() != 1 || !strings.Contains(out, "the receipt is notice 1\n") {
		t.Errorf("the sink got %d after the same again, which printed\n%s", sink.Count(), out)
	}
	out = run(true, nil, "RECIPIENT=gone@example.com", "ORDER=A-1002", "WEBHOOK_SECRET="+hook.Secret+","+rotated.Secret)
	if !strings.Contains(out, "notice.bounced: notice 2, attempt 1") || !strings.Contains(out, "the receipt is bounced: no such user") {
		t.Errorf("it printed\n%s", out)
	}
}

// addReceipt registers the type of docs/examples; its own example must fit it.
func (p *program) addReceipt() {
	p.tb.Helper()
	text, err := os.ReadFile("../../docs/examples/receipt.json")
	must(p.tb, err)
	var sample struct {
		Schema struct{ Examples []json.RawMessage }
	}
	must(p.tb, json.Unmarshal(text, &sample))
	p.call("POST", "/notice-types", string(text), 201, nil)
	var preview struct{ Text string }
	p.call("POST", "/notice-types/receipt/preview", `{"to": {"email": "ada@example.com", "name": "Ada"}, "data": `+string(sample.Schema.Examples[0])+`}`, 200, &preview)
	if !strings.Contains(preview.Text, "- 2 × Tea, 100 g: 9.80 EUR\n- 1 × Cup: 12.50 EUR\n") {
		p.tb.Errorf("the example became\n%s", preview.Text)
	}
}

// runSample gives what a sample printed; listening is called once it takes webhooks.
func runSample(t *testing.T, cmd *exec.Cmd, wantFault bool, listening func()) string {
	t.Helper()
	var printed strings.Builder
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout // one pipe for both
	must(t, cmd.Start())
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "webhooks are taken on ") && listening != nil {
			listening()
		}
	}
	if err := cmd.Wait(); (err != nil) != wantFault || wantFault && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("the sample ended with %v and printed\n%s", err, &printed)
	}
	return printed.String()
}

// testForgeries posts what a sample must refuse, and what it must take.
func testForgeries(t *testing.T, client *http.Client, url, text string) {
	t.Helper()
	secret, err := webhook.ParseSecret(text)
	must(t, err)
	const id, body = "msg_1", `{"type": "campaign.sent", "data": {"campaign": 7}}`
	now := time.Now()
	for _, c := range []struct {
		name      string
		at        time.Time
		signature string
		want      int
	}{
		{"another's secret", now, webhook.Sign(webhook.NewSecret(), id, now, []byte(body)), 401},
		{"another body", now, webhook.Sign(secret, id, now, []byte(body+" ")), 401},
		{"too old", now.Add(-6 * time.Minute), webhook.Sign(secret, id, now.Add(-6*time.Minute), []byte(body)), 401},
		{"too new", now.Add(6 * time.Minute), webhook.Sign(secret, id, now.Add(6*time.Minute), []byte(body)), 401},
		{"none", now, "", 401},
		{"the second of two", now, "v1,AAAA " + webhook.Sign(secret, id, now, []byte(body)), 204},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		must(t, err)
		request.Header.Set(webhook.IDHeader, id)
		request.Header.Set(webhook.TimestampHeader, fmt.Sprint(c.at.Unix()))
		request.Header.Set(webhook.SignatureHeader, c.signature)
		answer, err := client.Do(request)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, answer.StatusCode, c.want)
		}
	}
}

// unsteady stands before the API: it loses the first answer, and is busy at the second request.
func unsteady(t *testing.T, api string) string {
	target, err := url.Parse(api)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) {
		case 1:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// writePair writes down the certificate of a server and its key.
func writePair(t *testing.T, server *httptest.Server) (certificate, key string) {
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "hook.pem"), filepath.Join(folder, "hook.key")
	der, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	must(t, err)
	writeFile(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return certificate, key
}

// freeAddress is one to listen on later. Its port is below those that the system
// gives out by itself, so that nobody gets it meanwhile.
func freeAddress(t *testing.T) string {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if listener, err := net.Listen("tcp", address); err == nil {
			must(t, listener.Close())
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}
