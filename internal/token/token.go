package token

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"posthaste"
)

// Claims is what a token says. Which fields count depends on its purpose.
type Claims struct {
	RecipientID int64
	TopicID     int64
	CampaignID  int64
	Number      int64 // of the delivery
	Link        int   // from 1
}

// encoding is strict, so that no two texts are the same token.
var encoding = base64.RawURLEncoding.Strict()

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// invalid is the one answer to every token that cannot be opened: forged,
// mutated, cut, of another purpose or of another installation.
func invalid() error {
	return &posthaste.Error{Kind: posthaste.NotFound, Message: "this link is not valid"}
}

// Seal gives the token of claims for a purpose: URL-safe, about 60 characters,
// the same for the same claims, so that a retried message is the same message.
// AES-256-GCM with a synthetic nonce (the keyed hash of the plaintext, so two
// different plaintexts never share one); the key id is authenticated with it.
func (k *Keys) Seal(p Purpose, c Claims) string {
	var letters [tokenRoom]byte
	return string(k.AppendSeal(letters[:0], p, c))
}

// tokenRoom is more than a token ever has.
const tokenRoom = 128

// AppendSeal appends to dst what Seal gives.
func (k *Keys) AppendSeal(dst []byte, p Purpose, c Claims) []byte {
	s := k.sealers[sealerID{k.current, p}]
	w := s.nonce.get()
	text := w.text[:0]
	for _, n := range [...]int64{c.RecipientID, c.TopicID, c.CampaignID, c.Number, int64(c.Link)} {
		text = binary.AppendUvarint(text, uint64(n))
	}
	out := append(w.out[:0], k.current)
	out = append(out, w.hash(text)[:s.aead.NonceSize()]...)
	out = s.aead.Seal(out, out[1:], text, out[:1])
	dst = encoding.AppendEncode(dst, out)
	s.nonce.put(w)
	return dst
}

// Open verifies a token and gives its claims. Whatever is wrong with it, the
// error is the same NotFound.
func (k *Keys) Open(p Purpose, text string) (Claims, error) {
	var c Claims
	raw, err := encoding.DecodeString(text)
	if err != nil || len(raw) == 0 || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return c, invalid()
	}
	s, known := k.sealers[sealerID{raw[0], p}]
	if !known || len(raw) < 1+s.aead.NonceSize() {
		return c, invalid()
	}
	nonce, sealed := raw[1:1+s.aead.NonceSize()], raw[1+s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, sealed, raw[:1])
	if err != nil {
		return c, invalid()
	}
	var link int64
	for _, field := range []*int64{&c.RecipientID, &c.TopicID, &c.CampaignID, &c.Number, &link} {
		n, size := binary.Uvarint(plain)
		if size <= 0 {
			return Claims{}, invalid()
		}
		*field, plain = int64(n), plain[size:]
	}
	c.Link = int(link)
	return c, nil
}

// MessageID gives the left part of a delivery's Message-ID: the same for every
// attempt, telling nothing of volume or recipient (RFC 5322 §3.6.4).
func (k *Keys) MessageID(campaignID, number int64) string {
	sum := k.messageID.sum(pair(campaignID, number))
	return lowerBase32.EncodeToString(sum[:15])
}

// EnvelopeTag gives the tag of a delivery's envelope sender (VERP). It is lower
// case, since some servers fold the local part.
func (k *Keys) EnvelopeTag(campaignID, number int64) string {
	text := pair(campaignID, number)
	sum := k.envelope.sum(text)
	return lowerBase32.EncodeToString(append(text, sum[:10]...))
}

// NoticeMessageID and NoticeEnvelopeTag are those of a notice, as MessageID and
// EnvelopeTag of a delivery: no campaign has the id 0.
func (k *Keys) NoticeMessageID(id int64) string { return k.MessageID(0, id) }

// NoticeEnvelopeTag is the tag of a notice's envelope sender.
func (k *Keys) NoticeEnvelopeTag(id int64) string { return k.EnvelopeTag(0, id) }

func pair(a, b int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(make([]byte, 0, 32), uint64(a)), uint64(b))
}
