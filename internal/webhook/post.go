package webhook

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"posthaste"
)

// attempt posts a message once and says what becomes of it.
func (s *Sender) attempt(ctx context.Context, m posthaste.WebhookMessage) posthaste.WebhookOutcome {
	a := s.post(ctx, m)
	return decide(m, a, time.Now(), rand.Float64())
}

// post makes the exchange. Of the answer it keeps the status and how long to
// wait; the body is read only so that the connection can be used again.
func (s *Sender) post(ctx context.Context, m posthaste.WebhookMessage) answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Webhook.URL, bytes.NewReader(m.Body))
	if err != nil {
		return answer{Fault: "the URL cannot be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Posthaste")
	sign(request.Header, m, time.Now())
	response, err := s.client.Do(request)
	if err != nil {
		return answer{Fault: s.faultOf(err)}
	}
	defer response.Body.Close()
	// Once a peer has switched protocols (101) no limit of time holds for what it
	// says: who reads then may wait for ever.
	if response.StatusCode >= http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, answerLimit)) // the status has said it all
	}
	return answer{
		Status:     response.StatusCode,
		Fault:      faultOfStatus(response.StatusCode),
		RetryAfter: retryAfter(response.StatusCode, response.Header.Get("Retry-After"), time.Now()),
	}
}
