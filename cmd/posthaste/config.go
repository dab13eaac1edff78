package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/caarlos0/env/v11"

	"posthaste"
)

// config is what a machine is configured with, from the environment.
type config struct {
	// DataDir holds what the program keeps on this machine.
	DataDir string `env:"POSTHASTE_DATA_DIR" envDefault:"./data"`
	// DatabaseURL is sqlite:PATH or postgres://…; default: a file in DataDir.
	DatabaseURL string `env:"POSTHASTE_DATABASE_URL"`
	// NATSURL is embedded:PATH or nats://…; default: in this process, stored in DataDir.
	NATSURL string `env:"POSTHASTE_NATS_URL"`
	// SMTPURL is smtp://, smtps:// or outbox:PATH; default: an outbox in DataDir.
	SMTPURL string `env:"POSTHASTE_SMTP_URL"`
	// SecretFile holds the keys of tokens and address hashes; made at the first start.
	SecretFile string `env:"POSTHASTE_SECRET_FILE"`
	// Listen is the operators' address; PublicListen the recipients'.
	Listen       string `env:"POSTHASTE_LISTEN" envDefault:":8080"`
	PublicListen string `env:"POSTHASTE_PUBLIC_LISTEN" envDefault:":8081"`
	// MonitorListen is where this process tells of itself: /healthz, /readyz,
	// /metrics and /debug/pprof. It knows no login; "off" is none.
	MonitorListen string `env:"POSTHASTE_MONITOR_LISTEN" envDefault:"127.0.0.1:8082"`
	// InboundListen is where the inbound role takes notices by SMTP; without a
	// certificate and its key, both PEM files, only from this machine.
	InboundListen string `env:"POSTHASTE_INBOUND_LISTEN" envDefault:"127.0.0.1:2525"`
	InboundCert   string `env:"POSTHASTE_INBOUND_CERT"`
	InboundKey    string `env:"POSTHASTE_INBOUND_KEY"`
	// PublicURL is how recipients reach PublicListen; default: on this machine.
	PublicURL string `env:"POSTHASTE_PUBLIC_URL"`
	// SenderName and PostalAddress stand in the footer of every mailing.
	SenderName    string `env:"POSTHASTE_SENDER_NAME"`
	PostalAddress string `env:"POSTHASTE_POSTAL_ADDRESS"`
	// From is the mailbox of the mails that the program sends by itself: it asks to
	// confirm sign-ups, and sends people links to their data. Default: no-reply at
	// the first domain of DKIMKeys, or else at the host of PublicURL.
	From string `env:"POSTHASTE_FROM"`
	// BounceDomain is the domain of envelope senders, ListDomain of List-Id;
	// default: the host of PublicURL.
	BounceDomain string `env:"POSTHASTE_BOUNCE_DOMAIN"`
	ListDomain   string `env:"POSTHASTE_LIST_DOMAIN"`
	// DKIMKeys are selector@domain=/path/to/key.pem, with commas between them: the
	// RSA key of each From domain, and an Ed25519 key beside it if wanted. None:
	// mails go out unsigned, for the relay to sign. Processes that share a
	// database and make mails (web, worker) need the same.
	DKIMKeys string `env:"POSTHASTE_DKIM_KEYS"`
	// Connections is the most SMTP connections of one worker, 1 to 256.
	Connections int `env:"POSTHASTE_CONNECTIONS" envDefault:"8"`
	// NoticeConnections is the most SMTP connections that one worker keeps for
	// account notices, beside Connections, 1 to 64.
	NoticeConnections int `env:"POSTHASTE_NOTICE_CONNECTIONS" envDefault:"4"`
	// WebhookNetworks are private networks to which webhooks may be posted all the
	// same; WebhookCA is a file of certificates that are trusted beside the system's.
	WebhookNetworks []netip.Prefix `env:"POSTHASTE_WEBHOOK_NETWORKS"`
	WebhookCA       string         `env:"POSTHASTE_WEBHOOK_CA"`
	// GeoFile is a database of regions (MaxMind DB); none: they are not known.
	GeoFile string `env:"POSTHASTE_GEO_FILE"`
	// NetworksDir is a folder of lists of networks, PLACE.csv, by which hits of
	// machines are told; none: only those that the program knows.
	NetworksDir string `env:"POSTHASTE_NETWORKS_DIR"`
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `env:"POSTHASTE_TRUSTED_PROXIES"`
}

const configHelp = `The environment configures it: POSTHASTE_DATABASE_URL (sqlite:PATH | postgres://…), POSTHASTE_NATS_URL (embedded:PATH | nats://…),
POSTHASTE_SMTP_URL (outbox:PATH | smtp://… | smtps://…), POSTHASTE_LISTEN (:8080), POSTHASTE_PUBLIC_LISTEN (:8081), POSTHASTE_MONITOR_LISTEN (127.0.0.1:8082 | off),
POSTHASTE_PUBLIC_URL, POSTHASTE_INBOUND_LISTEN (127.0.0.1:2525), POSTHASTE_INBOUND_CERT, POSTHASTE_INBOUND_KEY (FILE),
POSTHASTE_DATA_DIR (./data), POSTHASTE_SECRET_FILE, POSTHASTE_SENDER_NAME, POSTHASTE_POSTAL_ADDRESS, POSTHASTE_FROM, POSTHASTE_BOUNCE_DOMAIN,
POSTHASTE_LIST_DOMAIN, POSTHASTE_DKIM_KEYS (selector@domain=FILE,…), POSTHASTE_CONNECTIONS (8), POSTHASTE_NOTICE_CONNECTIONS (4), POSTHASTE_TRUSTED_PROXIES (CIDR,…),
POSTHASTE_WEBHOOK_NETWORKS (CIDR,…), POSTHASTE_WEBHOOK_CA (FILE), POSTHASTE_GEO_FILE (FILE), POSTHASTE_NETWORKS_DIR (FOLDER). README.md says what each does.`

// readConfig reads the variables and fills in what follows from others. A name
// that begins with POSTHASTE_ and is none of them is refused: it is a typing mistake.
func readConfig(environ []string) (config, error) {
	known := map[string]bool{"POSTHASTE_TEST_POSTGRES": true, "POSTHASTE_TEST_STRICT": true, "POSTHASTE_TEST_ARTIFACTS": true}
	params, err := env.GetFieldParams(&config{})
	if err != nil {
		return config{}, err
	}
	for _, p := range params {
		known[p.Key] = true
	}
	variables := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "POSTHASTE_") {
			continue
		}
		if !known[name] {
			return config{}, posthaste.Refuse(name, "is not a setting of this program")
		}
		variables[name] = value
	}
	c, err := env.ParseAsWithOptions[config](env.Options{Environment: variables})
	if err != nil {
		return c, posthaste.Refuse("environment:", err.Error())
	}
	return c.complete()
}

func (c config) complete() (config, error) {
	fill(&c.DatabaseURL, "sqlite:"+filepath.Join(c.DataDir, "posthaste.db"))
	fill(&c.NATSURL, "embedded:"+filepath.Join(c.DataDir, "nats"))
	fill(&c.SMTPURL, "outbox:"+filepath.Join(c.DataDir, "outbox"))
	fill(&c.SecretFile, filepath.Join(c.DataDir, "secret"))
	if c.Connections < 1 || c.Connections > 256 {
		return c, posthaste.Refuse("POSTHASTE_CONNECTIONS", "must be a whole number from 1 to 256")
	}
	if c.NoticeConnections < 1 || c.NoticeConnections > 64 {
		return c, posthaste.Refuse("POSTHASTE_NOTICE_CONNECTIONS", "must be a whole number from 1 to 64")
	}
	if c.PublicURL == "" {
		return c, nil // known once the listener is: see withPublicURL
	}
	return c.withPublicURL(c.PublicURL)
}

// withPublicURL sets the public URL and the domains that follow from it.
func (c config) withPublicURL(text string) (config, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return c, posthaste.Refuse("POSTHASTE_PUBLIC_URL", "must be a URL without a path, such as https://mail.example.com")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return c, posthaste.Refuse("POSTHASTE_PUBLIC_URL", "must be https: one-click unsubscribing is defined for https only (RFC 8058)")
	}
	c.PublicURL = u.String()
	if isLoopback(u.Hostname()) && c.leaves() {
		return c, posthaste.Refuse("POSTHASTE_PUBLIC_URL", "must be set to an https URL: mail leaves this machine, and its recipients could not reach "+u.Host)
	}
	fill(&c.BounceDomain, u.Hostname())
	fill(&c.ListDomain, u.Hostname())
	return c, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// outboxDir is the folder that mail goes to, if it goes to one.
func (c config) outboxDir() (string, bool) { return strings.CutPrefix(c.SMTPURL, "outbox:") }

// leaves reports that mail goes to another machine.
func (c config) leaves() bool {
	u, err := url.Parse(c.SMTPURL)
	return err == nil && strings.HasPrefix(u.Scheme, "smtp") && !isLoopback(u.Hostname())
}

// String names the configuration without passwords.
func (c config) String() string {
	return fmt.Sprintf("database %s, broker %s, next hop %s", redact(c.DatabaseURL), redact(c.NATSURL), redact(c.SMTPURL))
}

// redact keeps what tells one place from another, and no user, password or
// option: a token may stand in any of them.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	if u.Opaque != "" { // sqlite:PATH and the like
		return u.Scheme + ":" + u.Opaque
	}
	return u.Scheme + "://" + u.Host + u.Path
}
