package dkim_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The message of RFC 8463 appendix A.3, signed there by both keys.
const (
	appendixSignatures = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`
	appendixMessage = `From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.

`
	appendixKeys = "brisbane@football.example.com=testdata/rfc8463-ed25519.pem,test@football.example.com=testdata/rfc8463-rsa.pem"
)

// TestRFC8463 signs the message of the standard with its keys. That the
// standard's own signatures verify says that the verifier is a sound one.
func TestRFC8463(t *testing.T) {
	t.Parallel()
	crlf := func(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) }
	signed := sign(t, load(t, appendixKeys), "football.example.com", crlf(appendixMessage))
	want := []string{"football.example.com: ok", "football.example.com: ok"}
	for name, message := range map[string][]byte{"the standard's signatures": crlf(appendixSignatures + appendixMessage), "ours": signed} {
		results, _ := verify(t, appendixKeys, message)
		if d := cmp.Diff(want, results); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	const bodyHash = "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"
	if n := strings.Count(string(signed), bodyHash); n != 2 {
		t.Errorf("the body's hash is not that of the standard:\n%s", signed)
	}
}
