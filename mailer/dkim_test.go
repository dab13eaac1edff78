package mailer_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"

	"posthaste"
	"posthaste/internal/testkit"
	"posthaste/mailer"
	"posthaste/mailer/dkim"
)

const (
	rsaFile     = "dkim/testdata/rsa.pem"
	ed25519File = "dkim/testdata/ed25519.pem"
)

// signing gives the house a composer with DKIM keys.
func (h *house) signing(setting string) *mailer.Composer {
	h.tb.Helper()
	signer, err := dkim.Load(setting)
	must(h.tb, err)
	return mailer.NewComposer(h.store, nil, h.keys, mailer.Sender{Name: "Example Ltd", PostalAddress: "1 Sample Street", Signer: signer,
		PublicURL: "https://mail.example.com", BounceDomain: "bounces.example.com", ListDomain: "lists.example.com"})
}

// publicRecord is the TXT record for the RSA key of the tests.
func publicRecord(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(rsaFile)
	must(tb, err)
	block, _ := pem.Decode(text)
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	must(tb, err)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	must(tb, err)
	return "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(public)
}

// verified gives what go-msgauth says of a message's one signature.
func verified(tb testing.TB, message []byte) *msgauth.Verification {
	tb.Helper()
	record := publicRecord(tb)
	found, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != "r1._domainkey.example.com" {
			return nil, errors.New("no record")
		}
		return []string{record}, nil
	}})
	must(tb, err)
	if len(found) != 1 {
		tb.Fatalf("%d signatures", len(found))
	}
	return found[0]
}

// TestSignedOnTheWire verifies what a server was sent.
func TestSignedOnTheWire(t *testing.T) {
	t.Parallel()
	const n = 40
	h := build(t, n)
	h.composer = h.signing("r1@example.com=" + rsaFile)
	sink := testkit.NewSink(t, testkit.SinkOptions{KeepBodies: true})
	h.run(dialerPatient(t, sink.URL()), 2)
	if counts := h.until("the end", settled); counts.Accepted != n {
		t.Fatalf("counts %+v", counts)
	}
	for _, m := range sink.Messages() {
		v := verified(t, m.Data)
		if v.Err != nil || v.Domain != "example.com" {
			t.Fatalf("%v, signed by %s:\n%s", v.Err, v.Domain, m.Data)
		}
		for _, name := range []string{"list-unsubscribe", "list-unsubscribe-post"} { // RFC 8058 section 4
			if !slices.Contains(v.HeaderKeys, name) {
				t.Errorf("%s is not signed", name)
			}
		}
		for _, change := range [][2]string{{"mail.example.com/u/", "mail.example.net/u/"}, {"=One-Click", "=One-Clic"}, {"Subject: Hello", "Subject: Hullo"}} {
			changed := strings.Replace(string(m.Data), change[0], change[1], 1)
			if v := verified(t, []byte(changed)); changed == string(m.Data) || v.Err == nil {
				t.Errorf("not noticed: %s", change[1])
			}
		}
	}
}

// TestSignedAlikeAgain composes one delivery in two processes: a retry sends the same bytes.
func TestSignedAlikeAgain(t *testing.T) {
	t.Parallel()
	h := build(t, 1)
	var letters []string
	for range 2 {
		mailing, err := h.signing("r1@example.com="+rsaFile+",e1@example.com="+ed25519File).Mailing(t.Context(), h.campaign.ID)
		must(t, err)
		mail := posthaste.Mail{Number: 1, Recipient: posthaste.Recipient{ID: 1, Email: email(1)}}
		letter, err := mailing.Compose(new(mailer.Space), mail, time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC))
		must(t, err)
		letters = append(letters, string(letter.Message))
	}
	if d := cmp.Diff(letters[0], letters[1]); d != "" || strings.Count(letters[0], "DKIM-Signature: ") != 2 {
		t.Errorf("%s in %s", d, letters[0])
	}
}

// TestFromNeedsAKey checks campaigns whose From domain has a key or not.
func TestFromNeedsAKey(t *testing.T) {
	t.Parallel()
	h := build(t, 1)
	const key = "r1@example.com=" + rsaFile
	for _, test := range []struct{ name, setting, from, want string }{
		{"no keys at all", "", "news@example.net", ""},
		{"its own key", key, "News <news@EXAMPLE.com>", ""},
		{"its parent's key", key, "news@news.example.com", ""},
		{"another domain's key", key, "news@example.net", "is at example.net, for which POSTHASTE_DKIM_KEYS has no DKIM key"},
		{"a subdomain's key", "r1@news.example.com=" + rsaFile, "news@example.com", "is at example.com, for which POSTHASTE_DKIM_KEYS has no DKIM key"},
		{"no address", key, "news", "has no @"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			campaign := h.campaign
			campaign.From = test.from
			_, err := h.signing(test.setting).Check(t.Context(), campaign)
			var faults []posthaste.Field
			if test.want != "" {
				faults = []posthaste.Field{{Name: "from", Reason: test.want}}
			}
			if d := cmp.Diff(faults, posthaste.FieldsOf(err)); d != "" {
				t.Error(d)
			}
		})
	}
}
