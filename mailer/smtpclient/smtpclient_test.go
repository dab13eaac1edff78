package smtpclient_test

import (
	"strings"
	"testing"

	"posthaste"
	"posthaste/mailer/smtpclient"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for in, addr := range map[string]string{
		"smtp://relay.example.com":                                    "relay.example.com:587",
		"smtps://relay.example.com":                                   "relay.example.com:465",
		"smtps://fox:p%40ss@relay.example.com:2465/":                  "relay.example.com:2465",
		"smtp://fox:pass@relay.example.com":                           "relay.example.com:587",
		"smtp://fox:pass@localhost:25?tls=none":                       "localhost:25",
		"smtp://[2001:db8::1]:25?tls=opportunistic":                   "[2001:db8::1]:25",
		"smtp://relay.example.com?hello=mail.example.com&tls=none":    "relay.example.com:587",
		"smtp://relay.example.com?hello=%5B192.0.2.1%5D&tls=required": "relay.example.com:587",
	} {
		d, err := smtpclient.New(in, smtpclient.Options{})
		if err != nil {
			t.Errorf("New(%q): %v", in, err)
		} else if d.Addr() != addr {
			t.Errorf("New(%q).Addr() = %q, want %q", in, d.Addr(), addr)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                          "begin with",
		"http://relay.example.com":                  "begin with",
		"smtp://":                                   "no host",
		"smtp://fox:s3cret%zz@relay":                "no URL",
		"smtp://fox:s3cret@relay:0":                 "port",
		"smtp://fox:s3cret@relay:99999":             "port",
		"smtp://fox@relay.example.com":              "both",
		"smtp://fox:s3cret@relay/path":              "path",
		"smtp://relay?tls=maybe":                    "required, opportunistic or none",
		"smtp://relay?tls=none&tls=none":            "more than once",
		"smtp://relay?insecure=1":                   "does not know",
		"smtp://relay?hello=a%0D%0AMAIL":            "host name",
		"smtps://relay?tls=none":                    "always uses TLS",
		"smtp://fox:s3cret@relay?tls=none":          "needs tls=required",
		"smtp://fox:s3cret@relay?tls=opportunistic": "needs tls=required",
		"smtp://relay?%zz":                          "query",
	} {
		_, err := smtpclient.New(in, smtpclient.Options{})
		fields := posthaste.FieldsOf(err)
		if len(fields) != 1 || fields[0].Name != smtpclient.Variable || !strings.Contains(fields[0].Reason, want) {
			t.Errorf("New(%q): %v, want %q", in, err, want)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("New(%q): the password is in %q", in, err)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add("smtp://fox:s3cret@relay.example.com:25?tls=required&hello=x")
	f.Fuzz(func(t *testing.T, in string) {
		d, err := smtpclient.New(in, smtpclient.Options{})
		if (d == nil) == (err == nil) {
			t.Errorf("New(%q) = %v, %v", in, d, err)
		}
		if err != nil && len(posthaste.FieldsOf(err)) != 1 {
			t.Errorf("New(%q): %v names no field", in, err)
		}
	})
}
