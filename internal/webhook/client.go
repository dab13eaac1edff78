package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// exchangeLimit is for one whole exchange, from the look-up of the name to
	// the end of the answer.
	exchangeLimit = 5 * time.Second
	// headerLimit and answerLimit are what is read of an answer's header and body, in bytes.
	headerLimit = 16 << 10
	answerLimit = 4 << 10
	// idleLimit is how long a connection that is not used stays open.
	idleLimit = 30 * time.Second
)

// NewClient gives a client that is safe to use with addresses that others
// chose. It speaks HTTPS only (TLS 1.2 or later), calls no address outside of
// the public internet but those allowed, follows no redirect, heeds no proxy
// of the environment, and gives up after 5 s. An answer's body is as long as
// the peer likes: who reads it must set a limit. roots are the authorities that
// are trusted; nil: those of the system. It is safe for concurrent use.
func NewClient(allowed []netip.Prefix, roots *x509.CertPool) *http.Client {
	return newClient(allowed, roots, nil)
}

// newClient has the resolver as well; nil: that of the system.
func newClient(allowed []netip.Prefix, roots *x509.CertPool, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: exchangeLimit, Control: newGuard(allowed).control, Resolver: resolver}
	return &http.Client{
		Timeout: exchangeLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // it may lead to where nobody was asked
		},
		Transport: &httpsOnly{&http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    exchangeLimit, // a dial outlives the request it was made for
			MaxIdleConns:           atOnce,
			MaxIdleConnsPerHost:    perWebhook,
			IdleConnTimeout:        idleLimit,
			MaxResponseHeaderBytes: headerLimit,
			DisableCompression:     true, // a small answer could become a large one
		}},
	}
}

var errPlain = errors.New("the URL is not https")

// httpsOnly refuses to speak plain HTTP.
type httpsOnly struct{ *http.Transport }

func (t *httpsOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" {
		if request.Body != nil {
			_ = request.Body.Close() // http.RoundTripper promises it
		}
		return nil, errPlain
	}
	return t.Transport.RoundTrip(request)
}
