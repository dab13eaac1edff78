package store_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// testKeys stand for a secret file.
type testKeys struct{}

func keyed(name string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("test "+name))
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

func (testKeys) HashAddress(canonical string) []byte { return keyed("address", []byte(canonical)) }
func (testKeys) AuditMAC(text []byte) []byte         { return keyed("entry", text) }

func (testKeys) AuditLink(before []byte, number int64, entries []byte) []byte {
	return keyed("chain", before, binary.BigEndian.AppendUint64(nil, uint64(number)), entries)
}

func (testKeys) SignHead(text []byte) []byte { return keyed("head", text) }

func (testKeys) CheckHead(text, signature []byte) bool {
	return hmac.Equal(keyed("head", text), signature)
}
