package token_test

import (
	"bytes"
	"encoding/base64"
	"math"
	"testing"

	"posthaste/internal/token"
)

// everyPurpose is purposes and those that no mail bears.
var everyPurpose = append([]token.Purpose{token.Undo, token.Confirm, token.Data, token.Correct}, purposes...)

// FuzzOpen: whatever stands in the place of a token, it opens as
// what it was sealed for or not at all.
func FuzzOpen(f *testing.F) {
	keys, others := load(f), load(f)
	for _, p := range everyPurpose {
		f.Add(keys.Seal(p, claims))
		f.Add(others.Seal(p, claims))
		f.Add(keys.Seal(p, token.Claims{}))
		f.Add(keys.Seal(p, claims)[:20])
	}
	for _, raw := range [][]byte{{}, {0}, {1}, {255}, bytes.Repeat([]byte{1}, 12), bytes.Repeat([]byte{1}, 13), bytes.Repeat([]byte{1}, 29), bytes.Repeat([]byte{1}, 1000)} {
		f.Add(base64.RawURLEncoding.EncodeToString(raw))
	}
	f.Fuzz(func(t *testing.T, text string) {
		opened := 0
		for _, p := range everyPurpose {
			got, err := keys.Open(p, text)
			if err != nil {
				if got != (token.Claims{}) || err.Error() != "this link is not valid" {
					t.Errorf("%q as %s: %+v beside the error %q", text, p, got, err)
				}
				continue
			}
			opened++
			if keys.Seal(p, got) != text {
				t.Errorf("%q as %s opened to %+v, which is another token", text, p, got)
			}
		}
		if opened > 1 {
			t.Errorf("%q opens for %d purposes", text, opened)
		}
	})
}

// FuzzSeal: whatever is sealed opens as the same, for its purpose and under its
// keys alone, and not once a bit of it is another. Topics may be negative.
func FuzzSeal(f *testing.F) {
	keys, others := load(f), load(f)
	f.Add(byte(0), int64(1), int64(2), int64(3), int64(4), 5, uint16(0))
	f.Add(byte(1), int64(0), int64(0), int64(0), int64(0), 0, uint16(300))
	f.Add(byte(6), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64), int64(math.MaxInt64), math.MaxInt, uint16(math.MaxUint16))
	f.Add(byte(3), int64(127), int64(-1), int64(128), int64(1<<32), 1<<31, uint16(8))
	f.Fuzz(func(t *testing.T, which byte, recipient, topic, campaign, number int64, link int, bit uint16) {
		made := everyPurpose[int(which)%len(everyPurpose)]
		c := token.Claims{RecipientID: recipient, TopicID: topic, CampaignID: campaign, Number: number, Link: link}
		text := keys.Seal(made, c)
		for _, p := range everyPurpose {
			if got, err := keys.Open(p, text); (p == made) != (err == nil) || err == nil && got != c {
				t.Errorf("%+v, sealed for %s, opens as %s to %+v, %v", c, made, p, got, err)
			}
		}
		if _, err := others.Open(made, text); err == nil {
			t.Errorf("%+v opens under other keys", c)
		}
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(text) > 128 {
			t.Fatalf("%+v: token %q, %v", c, text, err)
		}
		at := int(bit) % (8 * len(raw))
		raw[at/8] ^= 1 << (at % 8)
		if got, err := keys.Open(made, base64.RawURLEncoding.EncodeToString(raw)); err == nil {
			t.Errorf("%+v with bit %d changed opens to %+v", c, at, got)
		}
	})
}
