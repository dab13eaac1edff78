package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"posthaste"
)

// The headers of a signed message.
const (
	IDHeader        = "webhook-id"
	TimestampHeader = "webhook-timestamp" // of the attempt, in seconds since 1970
	SignatureHeader = "webhook-signature" // one or more, with spaces between them
)

// tolerance is how far the clocks of sender and receiver may be apart, and how
// long a message that somebody overheard can be repeated.
const tolerance = 5 * time.Minute

// Sign gives the signature of a message: "v1," and the base64 of an HMAC-SHA256
// over its id, the instant of the attempt, and the body.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// sign puts the three headers on a request. While a rotation lasts there are two
// signatures, so that a receiver can change its secret whenever it likes.
func sign(header http.Header, m posthaste.WebhookMessage, now time.Time) {
	w := m.Webhook
	signatures := Sign(w.Secret, m.MessageID, now, m.Body)
	if len(w.OldSecret) > 0 && now.Before(w.OldUntil) {
		signatures += " " + Sign(w.OldSecret, m.MessageID, now, m.Body)
	}
	header.Set(IDHeader, m.MessageID)
	header.Set(TimestampHeader, strconv.FormatInt(now.Unix(), 10))
	header.Set(SignatureHeader, signatures)
}

// Verify is for receivers: it reports whether a message was signed with one of
// the secrets, not more than five minutes before or after now. Its error is
// Unauthorized. It does not know whether the message came before: that is for
// the receiver to see, by the id.
func Verify(header http.Header, body []byte, now time.Time, secrets ...[]byte) error {
	id := header.Get(IDHeader)
	if id == "" {
		return unsigned("it has no " + IDHeader)
	}
	seconds, err := strconv.ParseInt(header.Get(TimestampHeader), 10, 64)
	if err != nil {
		return unsigned("it has no " + TimestampHeader + " in seconds")
	}
	at := time.Unix(seconds, 0)
	if now.Sub(at).Abs() > tolerance {
		return unsigned("it was signed too long ago, or in the future")
	}
	for _, secret := range secrets {
		want := []byte(Sign(secret, id, at, body))
		for _, signature := range strings.Fields(header.Get(SignatureHeader)) {
			if hmac.Equal(want, []byte(signature)) { // takes as long wherever they differ
				return nil
			}
		}
	}
	return unsigned("no signature fits")
}

func unsigned(why string) error {
	return &posthaste.Error{Kind: posthaste.Unauthorized, Message: "the message is not from who it should be: " + why}
}
