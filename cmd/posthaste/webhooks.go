package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"time"

	"posthaste"
	"posthaste/internal/store"
	"posthaste/internal/token"
	"posthaste/internal/webhook"
)

// webhooks are those of the database, with the secrets that follow from the
// secret file and the messages as they are posted.
type webhooks struct {
	*store.Store
	keys     *token.Keys
	networks []netip.Prefix
}

// CheckURL says what is wrong with a webhook's address.
func (w webhooks) CheckURL(url string) error { return webhook.CheckURL(url, w.networks...) }

// Secret is a webhook's current one, as its owner writes it down.
func (w webhooks) Secret(hook posthaste.Webhook) string {
	return webhook.FormatSecret(w.keys.WebhookSecret(hook.ID, hook.Generation))
}

// TakeWebhookMessages completes what the database gives.
func (w webhooks) TakeWebhookMessages(ctx context.Context, now, again time.Time, limit int) ([]posthaste.WebhookMessage, error) {
	messages, err := w.Store.TakeWebhookMessages(ctx, now, again, limit)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		m := &messages[i]
		m.Webhook.Secret = w.keys.WebhookSecret(m.Webhook.ID, m.Webhook.Generation)
		if m.Webhook.Generation > 1 {
			m.Webhook.OldSecret = w.keys.WebhookSecret(m.Webhook.ID, m.Webhook.Generation-1)
		}
		var data struct {
			ExternalID string            `json:"external_id"`
			Metadata   map[string]string `json:"metadata"`
		}
		all := map[string]any{}
		if err := json.Unmarshal(m.Data, &data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(m.Data, &all); err != nil {
			return nil, err
		}
		if data.Metadata != nil {
			all["metadata"] = data.Metadata // of a type from which telephone numbers are taken out
		}
		if len(webhook.WithoutPhones(map[string]string{"external_id": data.ExternalID})) == 0 {
			delete(all, "external_id")
		}
		if m.Body, err = webhook.Payload(m.Event, m.CreatedAt, all); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// sendWebhooks posts until ctx ends.
func (svc *service) sendWebhooks(ctx context.Context) {
	client := webhook.NewClient(svc.config.WebhookNetworks, svc.webhookRoots)
	webhook.New(svc.hooks(), client).Run(ctx)
}

func (svc *service) hooks() webhooks {
	return webhooks{svc.store, svc.keys, svc.config.WebhookNetworks}
}

// readRoots reads the authorities that webhooks' certificates may be of beside
// the system's; nil when none are configured.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, posthaste.Refuse("POSTHASTE_WEBHOOK_CA", "names a file that cannot be read")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, posthaste.Refuse("POSTHASTE_WEBHOOK_CA", "holds no certificate")
	}
	return roots, nil
}
