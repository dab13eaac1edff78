package webhook_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"posthaste"
	"posthaste/internal/webhook"
)

func TestAddressesThatMayNotBeCalled(t *testing.T) {
	t.Parallel()
	for address, may := range map[string]bool{
		"93.184.215.14": true, "8.8.8.8": true, "2606:4700::1111": true, "172.32.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.255.255.254": false, "::1": false, "10.0.0.1": false, "10.255.255.255": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "0.0.0.0": false,
		"0.1.2.3": false, "::": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": false, "::7f00:1": false, "64:ff9b::7f00:1": false,
		"64:ff9b::808:808": false, "64:ff9b:1::7f00:1": false, "2002:7f00:1::1": false, "2001::1": false, "fc00::1": false, "fdff::1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "224.0.0.1": false, "239.255.255.250": false, "255.255.255.255": false,
		"240.0.0.1": false, "ff02::1": false, "192.0.2.1": false, "198.18.0.1": false, "203.0.113.1": false, "2001:db8::1": false,
	} {
		network := "tcp4"
		if netip.MustParseAddr(address).Is6() {
			network = "tcp6"
		}
		target := netip.AddrPortFrom(netip.MustParseAddr(address), 443).String()
		err := webhook.Dialling(nil, network, target)
		if (err == nil) != may {
			t.Errorf("%s: %v, want it called: %v", address, err, may)
		}
		if want := "the address " + address + " may not be called"; err != nil && err.Error() != want {
			t.Errorf("%s: %q, want %q", address, err, want)
		}
	}
}

func TestAnAllowedPrefixOverridesTheRefusal(t *testing.T) {
	t.Parallel()
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
	for target, may := range map[string]bool{
		"10.1.2.3:443": true, "10.2.0.1:443": false, "[fd00:1::1]:8443": true, "[fd00:2::1]:443": false,
		"127.0.0.1:443": false, "[::ffff:10.1.2.3]:443": false, "8.8.8.8:443": true,
	} {
		network := "tcp4"
		if strings.HasPrefix(target, "[") {
			network = "tcp6"
		}
		if err := webhook.Dialling(allowed, network, target); (err == nil) != may {
			t.Errorf("%s: %v, want it called: %v", target, err, may)
		}
	}
	for network, address := range map[string]string{"unix": "/run/x.sock", "udp4": "8.8.8.8:443", "tcp4": "nonsense"} {
		if webhook.Dialling(allowed, network, address) == nil {
			t.Errorf("%s %s may be called", network, address)
		}
	}
}

// The same as above, but by a client that is on its way to a server that is
// there: each of these leads to it, and none arrives.
func TestTheClientDoesNotCallLoopback(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server, allowed := tlsServer(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	client := webhook.NewClient(nil, rootsOf(server))
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		response, err := client.Get("https://" + host + port + "/")
		if err == nil {
			response.Body.Close()
			t.Errorf("%s: answered %d", host, response.StatusCode)
			continue
		}
		if got := webhook.FaultOf(client, err); !strings.HasSuffix(got, "may not be called") {
			t.Errorf("%s: %q", host, got)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
	if o := deliver(t, allowed, message(1, server.URL)); o.State != posthaste.WebhookDelivered || calls.Load() != 1 {
		t.Errorf("a client that may: %+v", o)
	}
}

// A name may lead elsewhere at every look-up: what counts is the address called.
func TestANameThatChangesItsAddressGainsNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	// Here 127.0.0.1 is an address that may be called, and 127.0.0.2 one that may not.
	allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	client := webhook.NewClientWith(allowed, rootsOf(server), resolver("127.0.0.1", "127.0.0.2"))
	target := "https://example.com" + server.URL[strings.LastIndex(server.URL, ":"):] // the certificate is for it

	first := deliver(t, client, message(1, target)) // closes its connections at the end
	if first.State != posthaste.WebhookDelivered {
		t.Fatalf("first: %+v", first)
	}
	client.CloseIdleConnections()
	second := deliver(t, client, message(2, target))
	if want := "the address 127.0.0.2 may not be called"; second.State != posthaste.WebhookWaiting || second.Fault != want {
		t.Errorf("second: %+v, want %q", second, want)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	server, client := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			followed.Add(1)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	o := deliver(t, client, message(1, server.URL+"/"))
	if o.State != posthaste.WebhookWaiting || o.Status != 307 || o.Fault != "answered 307; redirects are not followed" || followed.Load() != 0 {
		t.Errorf("%+v, followed %d times", o, followed.Load())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	server, client := tlsServer(t, nothing)
	plain := httptest.NewServer(nothing)
	t.Cleanup(plain.Close)
	gone := httptest.NewServer(nothing)
	gone.Close()
	old := httptest.NewUnstartedServer(nothing)
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	hangsUp, _ := tlsServer(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	talks, _ := tlsServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) })
	astray, _ := tlsServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://s3cret.example.com:port/")
		w.WriteHeader(http.StatusFound)
	})
	https := func(s *httptest.Server) string { return "https" + strings.TrimPrefix(s.URL, "http") }
	stranger := webhook.NewClient(loopback, nil)
	t.Cleanup(stranger.CloseIdleConnections)
	for _, tt := range []struct {
		name   string
		client *http.Client
		url    string
		want   string
	}{
		{"nobody listens", client, https(gone), "the connection was refused"},
		{"plain HTTP at the other end", client, https(plain), "the host does not speak TLS"},
		{"plain HTTP asked for", client, plain.URL, "the URL is not https"},
		{"TLS 1.1", client, old.URL, "the TLS handshake failed"},
		{"an unknown authority", stranger, server.URL, "the certificate is not trusted"},
		{"another name", client, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "the certificate is for another name"},
		{"it hangs up", client, hangsUp.URL, "the connection was lost"},
		{"a header without end", client, talks.URL, "the exchange failed"},
		{"a redirect to nowhere", client, astray.URL, "the exchange failed"},
		{"no URL", client, "https://%zz/", "the URL cannot be used"},
		{"may not", webhook.NewClient(nil, nil), server.URL, "the address 127.0.0.1 may not be called"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := deliver(t, tt.client, message(1, tt.url+"/?token=s3cret"))
			if o.State != posthaste.WebhookWaiting || o.Status != 0 || o.Fault != tt.want {
				t.Errorf("%+v, want %q", o, tt.want)
			}
		})
	}
}

func TestFaultsOfTheNameService(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"": "the host name does not exist", "broken": "the host name could not be looked up"} {
		client := webhook.NewClientWith(nil, nil, resolver(address))
		if o := deliver(t, client, message(1, "https://example.com/?token=s3cret")); o.Fault != want {
			t.Errorf("%+v, want %q", o, want)
		}
	}
}

// Whatever goes wrong, the words are ours and not those of an error that holds the URL.
func TestFaultsDoNotQuote(t *testing.T) {
	t.Parallel()
	err := &url.Error{Op: "Post", URL: "https://example.com/?token=s3cret", Err: errors.New("s3cret")}
	if got := webhook.FaultOf(webhook.NewClient(nil, nil), err); got != "the exchange failed" {
		t.Errorf("%q", got)
	}
}
