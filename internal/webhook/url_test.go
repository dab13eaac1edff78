package webhook_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	long := "https://hook.example.com/" + strings.Repeat("x", 2000-len("https://hook.example.com/"))
	for _, tt := range []struct{ in, want string }{ // want is in the reason; empty: it is taken
		{"https://hook.example.com/in?token=s3cret", ""},
		{"HTTPS://hook.example.com", ""},
		{"https://hook.example.com:8443/", ""},
		{"https://hook.example.com./", ""},
		{"https://1.2.3.4.example.com/", ""},
		{"https://0xcafe.example.com/", ""},
		{"https://93.184.215.14/", ""},
		{"https://[2606:4700::1111]:443/", ""},
		{long, ""},
		{long + "x", "2000"},
		{"http://hook.example.com/s3cret", "https://"},
		{"ftp://hook.example.com/s3cret", "https://"},
		{"//hook.example.com/s3cret", "https://"},
		{"", "https://"},
		{"https:hook.example.com/s3cret", "no host"},
		{"https:///s3cret", "no host"},
		{"https://:443/s3cret", "no host"},
		{"https://fox:s3cret@hook.example.com/", "user"},
		{"https://s3cret@hook.example.com/", "user"},
		{"https://@hook.example.com/", "user"},
		{"https://hook.example.com/#s3cret", "fragment"},
		{"https://hook.example.com/#", "fragment"},
		{"https://hook.example.com:0/s3cret", "port"},
		{"https://hook.example.com:65536/s3cret", "port"},
		{"https://hook.example.com:s3cret/", "no URL"},
		{"https://hook example.com/s3cret", "no URL"},
		{"https://127.0.0.1/", "127.0.0.1 may not"},
		{"https://127.0.0.1./", "127.0.0.1 may not"},
		{"https://10.1.2.3:8443/", "10.1.2.3 may not"},
		{"https://169.254.169.254/latest/meta-data", "169.254.169.254 may not"},
		{"https://[::1]/", "::1 may not"},
		{"https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1 may not"},
		{"https://[fe80::1%25eth0]/", "fe80::1%eth0 may not"},
		{"https://2130706433/", "usual form"},
		{"https://127.1/", "usual form"},
		{"https://0x7f.0x1/", "usual form"},
		{"https://0x7F000001/", "usual form"},
		{"https://0177.0.0.01/", "usual form"},
	} {
		err := webhook.CheckURL(tt.in)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.in, err)
			}
			continue
		}
		fields := posthaste.FieldsOf(err)
		if len(fields) != 1 || fields[0].Name != "url" || !errors.Is(err, posthaste.Invalid) || !strings.Contains(fields[0].Reason, tt.want) {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: a secret is in %q", tt.in, err)
		}
	}
}

func TestCheckURLTakesWhatTheOperatorAllows(t *testing.T) {
	t.Parallel()
	allowed := netip.MustParsePrefix("10.1.0.0/16")
	if err := webhook.CheckURL("https://10.1.2.3/", allowed); err != nil {
		t.Error(err)
	}
	if err := webhook.CheckURL("https://10.2.2.3/", allowed); err == nil {
		t.Error("the prefix allows what is outside of it")
	}
}

func FuzzCheckURL(f *testing.F) {
	f.Add("https://[::ffff:10.0.0.1%25x]:443/a?b#c")
	f.Fuzz(func(t *testing.T, in string) {
		if err := webhook.CheckURL(in); err == nil && (len(in) > 2000 || !strings.EqualFold(in[:min(8, len(in))], "https://")) {
			t.Errorf("%q is taken", in)
		}
	})
}
