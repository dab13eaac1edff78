package store_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// testKeys stand for a secret file that was rotated so many times.
type testKeys struct{ rotated int }

func keyed(name string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("test "+name))
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// hashUnder is an address's hash under one line, from 1.
func hashUnder(line int, canonical string) []byte {
	return keyed(fmt.Sprintf("address %d", line), []byte(canonical))
}

func (k testKeys) AddressKey() int                     { return k.rotated + 1 }
func (k testKeys) HashAddress(canonical string) []byte { return hashUnder(k.AddressKey(), canonical) }

func (k testKeys) OldAddressHashes(canonical string) (older [][]byte) {
	for line := k.rotated; line > 0; line-- {
		older = append(older, hashUnder(line, canonical))
	}
	return older
}

func (k testKeys) AddressKeyPrint(id int) string {
	if id < 1 || id > k.AddressKey() {
		return ""
	}
	return fmt.Sprintf("print%d", id)
}

func (testKeys) AuditMAC(text []byte) []byte { return keyed("entry", text) }

func (testKeys) AuditLink(before []byte, number int64, entries []byte) []byte {
	return keyed("chain", before, binary.BigEndian.AppendUint64(nil, uint64(number)), entries)
}

func (testKeys) SignHead(text []byte) []byte { return keyed("head", text) }

func (testKeys) CheckHead(text, signature []byte) bool {
	return hmac.Equal(keyed("head", text), signature)
}
