package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"

	"github.com/wneessen/go-mail"

	"posthaste"
	"posthaste/internal/testkit"
)

// TestInboundCertificate: with one, another machine can encrypt and authenticate.
func TestInboundCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	must(t, err)
	writeFile(t, dir+"/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	writeFile(t, dir+"/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	env := []string{"POSTHASTE_DATA_DIR=" + dir, "POSTHASTE_MONITOR_LISTEN=127.0.0.1:0", "POSTHASTE_LISTEN=127.0.0.1:0", "POSTHASTE_PUBLIC_LISTEN=127.0.0.1:0",
		"POSTHASTE_INBOUND_LISTEN=127.0.0.1:0", "POSTHASTE_INBOUND_CERT=" + dir + "/cert.pem", "POSTHASTE_SENDER_NAME=Example Ltd"}
	if err := run(t.Context(), []string{"serve", "--roles", "web,public,inbound"}, env, io.Discard); err == nil || !strings.Contains(err.Error(), "POSTHASTE_INBOUND_KEY") {
		t.Errorf("a certificate without its key: %v", err)
	}
	p := start(t, append(env, "POSTHASTE_INBOUND_KEY="+dir+"/key.pem"), "--roles", "web,public,scheduler,worker,inbound")
	p.call("POST", "/notice-types", `{"key": "app", "name": "Application", "reason": "you use our application", "from": "App <app@example.com>", "format": "as_given"}`, 201, nil)
	letter := mail.NewMsg()
	must(t, letter.From("root@app.example.net"))
	must(t, letter.To("ada@example.com"))
	letter.Subject("Report")
	letter.SetGenHeader("X-Notice-Type", "app")
	letter.SetBodyString(mail.TypeTextPlain, "It is there.")
	host, port := splitHostPort(t, p.inbound)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(&tls.Config{RootCAs: roots, ServerName: "example.com"}),
		mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername("x"), mail.WithPassword(p.key))
	must(t, err)
	must(t, client.DialAndSendWithContext(t.Context(), letter))
	p.untilNotice(1, posthaste.NoticeAccepted)
}

// TestNoticeBySMTP: an application that can only send mail sends a notice, twice
// by mistake, and it goes once; a type with templates of its own refuses.
func TestNoticeBySMTP(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, env []string) {
		sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
		p := start(t, append(env, "POSTHASTE_SMTP_URL="+sink.URL(), "POSTHASTE_INBOUND_LISTEN=127.0.0.1:0"), "--roles", "web,public,scheduler,worker,inbound")
		p.call("POST", "/notice-types", noticeType("receipt", ""), 201, nil)
		p.call("POST", "/notice-types", `{"key": "app", "name": "Application", "reason": "you use our application", "from": "App <app@example.com>", "format": "as_given"}`, 201, nil)
		var key struct{ Key string }
		p.call("POST", "/keys", `{"name": "app", "scopes": ["notices:send"]}`, 201, &key)
		host, port := splitHostPort(t, p.inbound)
		send := func(kind, password string) error {
			letter := mail.NewMsg()
			must(t, letter.From("root@app.example.net"))
			must(t, letter.To("ada@example.com"))
			letter.Subject("Ihr Bericht ist fertig – Grüße")
			letter.SetMessageIDWithValue("report-1@app.example.net")
			letter.SetGenHeader("X-Notice-Type", kind)
			letter.SetGenHeader("X-Notice-External-ID", "report-1")
			letter.SetBodyString(mail.TypeTextPlain, "Er liegt bereit.")
			must(t, letter.AttachReader("bericht.csv", strings.NewReader("a;b\n"), mail.WithFileContentType("text/csv")))
			client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc), mail.WithUsername("app"), mail.WithPassword(password))
			must(t, err)
			return client.DialAndSendWithContext(t.Context(), letter)
		}
		must(t, send("app", key.Key))
		waitFor(t, "the key's last use to be written", func() bool {
			return !strings.Contains(p.getAPI("/keys"), `"name":"app","scopes":["notices:send"],"requests_per_minute":0,"expires_at":null,"revoked_at":null,"last_used_at":null`)
		})
		must(t, send("app", key.Key))
		for what, err := range map[string]error{"a wrong key": send("app", "ph_WRONG"), "a type with templates": send("receipt", key.Key), "no such type": send("none", key.Key)} {
			if err == nil {
				t.Errorf("%s was taken", what)
			}
		}
		var found struct{ Items []shownNotice }
		waitFor(t, "the notice", func() bool {
			p.call("GET", "/notices?external_id=report-1", "", 200, &found)
			return len(found.Items) > 0 && found.Items[0].State.Final()
		})
		if len(found.Items) != 1 || found.Items[0].State != posthaste.NoticeAccepted || found.Items[0].Type != "app" {
			t.Errorf("found %+v", found)
		}
		messages := sink.Messages()
		if len(messages) != 1 {
			t.Fatalf("%d messages", len(messages))
		}
		raw := string(messages[0].Data)
		for _, want := range []string{"From: App <app@example.com>", "=?UTF-8?", "Er liegt bereit.", "bericht.csv", "Auto-Submitted: auto-generated"} {
			if !strings.Contains(raw, want) {
				t.Errorf("no %q in\n%s", want, raw)
			}
		}
		if strings.Contains(raw, "X-Notice") || strings.Contains(raw, "root@app") {
			t.Errorf("the outer message shines through:\n%s", raw)
		}
		p.call("DELETE", "/keys/app", "", 204, nil)
		var refused *textproto.Error
		if err := send("app", key.Key); err == nil || errors.As(err, &refused) && refused.Code/100 != 5 {
			t.Errorf("a revoked key: %v", err)
		}
	})
}
