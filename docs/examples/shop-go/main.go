// Command shop-go is the back end of a small shop: it has a receipt sent as a
// notice and waits for the webhook that tells what became of it. It exits with 0
// when the notice was accepted, else with 1 and a reason. See docs/notices.md.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("shop: ", err)
	}
}

// env gives a variable of the environment, or what stands in for it.
func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

type shop struct {
	url, key         string // the key has the scopes notices:send and notices:read
	recipient, order string
	secrets          []string // of the webhook: several during a rotation
}

func run() error {
	s := shop{url: env("SHOP_API_URL", "http://localhost:8080"), key: env("SHOP_API_KEY", ""), recipient: env("RECIPIENT", ""),
		order: env("ORDER", "A-1001"), secrets: strings.Split(env("WEBHOOK_SECRET", ""), ",")}
	seconds, err := strconv.Atoi(env("WAIT_SECONDS", "60"))
	if err != nil || s.key == "" || s.recipient == "" || s.secrets[0] == "" {
		return errors.New("SHOP_API_KEY, RECIPIENT and WEBHOOK_SECRET must be set, and WAIT_SECONDS be a number if it is")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()

	// Listen before anything is sent: the webhook may be faster than the answer.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", env("WEBHOOK_LISTEN", "127.0.0.1:0"))
	if err != nil {
		return err
	}
	fmt.Println("webhooks are taken on", listener.Addr())
	events := make(chan event, 100)
	server := &http.Server{Handler: s.receive(events), ReadTimeout: 5 * time.Second}
	go func() {
		if env("WEBHOOK_CERT", "") != "" {
			log.Fatal("shop: ", server.ServeTLS(listener, env("WEBHOOK_CERT", ""), env("WEBHOOK_KEY", "")))
		}
		log.Fatal("shop: ", server.Serve(listener)) // behind a proxy that has the certificate
	}()

	id, err := s.sendReceipt(ctx)
	if err != nil {
		return fmt.Errorf("the receipt was not taken: %w", err)
	}
	fmt.Println("the receipt is notice", id)
	return s.follow(ctx, id, events)
}

// sendReceipt goes on trying until the notice is in the ledger. Its Idempotency-Key
// makes every repetition the same notice, however many answers are lost.
func (s shop) sendReceipt(ctx context.Context) (id int64, err error) {
	type object = map[string]any
	body, err := json.Marshal(object{
		"type": "receipt", "to": object{"email": s.recipient, "name": "Ada"}, "external_id": s.order,
		"data": object{"order": object{"id": s.order, "placed_on": "2026-11-24", "currency": "EUR", "total": "32.10", "items": []object{
			{"name": "Tea, 100 g", "quantity": 2, "price": "9.80"}, {"name": "Cup", "quantity": 1, "price": "12.50"}}}},
		"attachments": []object{{"name": "receipt.txt", "content_type": "text/plain", "content": []byte("Order " + s.order + ": 32.10 EUR, paid.\n")}},
	})
	if err != nil {
		return 0, err
	}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		var answer struct{ Results []struct{ ID int64 } }
		after, err := s.call(ctx, http.MethodPost, "/notices", body, &answer)
		switch {
		case err == nil:
			return answer.Results[0].ID, nil
		case after < 0:
			return 0, err
		}
		fmt.Println("trying again:", err)
		select {
		case <-time.After(max(after, pause/2+rand.N(pause))): // by chance, so that not all come back at once
		case <-ctx.Done():
			return 0, err
		}
	}
}

// call makes one request. After an error it says how long to wait at least
// before the next try; a negative time means that no try would do better.
func (s shop) call(ctx context.Context, method, path string, body []byte, answer any) (after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "receipt-"+s.order)
	response, err := (&http.Client{Timeout: 15 * time.Second}).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch status := response.StatusCode; {
	case err != nil:
		return 0, err
	case status == http.StatusTooManyRequests || status >= 500:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // 0 if there is none
		return time.Duration(seconds) * time.Second, errors.New(response.Status)
	case status >= 300:
		return -1, fmt.Errorf("%s: %s", response.Status, text)
	}
	return -1, json.Unmarshal(text, answer)
}

// event is what a webhook tells of a notice.
type event struct {
	id   string // the same whenever the message comes again
	Type string
	Data struct {
		Notice       int64
		Attempts     int
		State, Reply string
	}
}

// receive takes webhooks. One that is not answered with 2xx within 5 seconds comes again.
func (s shop) receive(events chan<- event) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		e := event{id: r.Header.Get("webhook-id")}
		if err != nil || !s.signed(r.Header, body, time.Now()) || json.Unmarshal(body, &e) != nil {
			fmt.Println("refused a webhook that is not signed as it should be")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		events <- e // a shop with a database writes it down before it answers
		w.WriteHeader(http.StatusNoContent)
	}
}

// signed checks a message as the Standard Webhooks have it: one of the signatures
// must be by one of the secrets, and not be older than 5 minutes.
func (s shop) signed(header http.Header, body []byte, now time.Time) bool {
	sent := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	for _, text := range s.secrets {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(secret) == 0 {
			continue
		}
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.%s", header.Get("webhook-id"), sent, body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for _, signature := range strings.Fields(header.Get("webhook-signature")) {
			if hmac.Equal([]byte(want), []byte(signature)) {
				return true
			}
		}
	}
	return false
}

// follow waits for the notice's end, and asks for it when no webhook told of it in time.
func (s shop) follow(ctx context.Context, id int64, events <-chan event) error {
	for seen, late := map[string]bool{}, false; ; {
		var state, reply string
		select {
		case e := <-events:
			if seen[e.id] {
				continue
			}
			seen[e.id] = true
			fmt.Printf("%s: notice %d, attempt %d, %s\n", e.Type, e.Data.Notice, e.Data.Attempts, e.Data.Reply)
			if e.Data.Notice != id {
				continue
			}
			state, reply = e.Data.State, e.Data.Reply
		case <-ctx.Done():
			var n struct {
				State string
				Reply struct{ Text string }
			}
			if _, err := s.call(context.WithoutCancel(ctx), http.MethodGet, fmt.Sprintf("/notices/%d", id), nil, &n); err != nil {
				return err
			}
			state, reply, late = n.State, n.Reply.Text, true
			fmt.Println("no webhook told of the receipt in time; the API says that it is", state)
		}
		switch waiting := state == "queued" || state == "claimed" || state == "deferred"; {
		case state == "accepted":
			return nil
		case !waiting || late:
			return fmt.Errorf("the receipt is %s: %s", state, cmp.Or(reply, "there was no time for more"))
		}
	}
}
