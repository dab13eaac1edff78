// Package audit makes the audit log evident of tampering. Every entry has a MAC
// of its own, made in the transaction that writes it; once it is committed a seal
// covers it, with others, and the seal before; and the last seal is signed from
// time to time and kept outside of the database. So
// whoever can write the database, but has not the secret file, cannot change,
// remove, move or add an entry, or cut the end off, without Verify finding out.
//
// Against one who has the secret file too, only heads help that were copied to
// where they do not reach. The package stores nothing: see internal/store.
package audit

import (
	"encoding/hex"
	"encoding/json"

	"posthaste"
)

// Macs are the keyed hashes of entries, and of the chain.
type Macs interface {
	AuditMAC(text []byte) []byte
	AuditLink(before []byte, number int64, entries []byte) []byte
}

// Keys are what of the secret file the audit log rests on.
type Keys interface {
	Macs
	SignHead(text []byte) []byte
	CheckHead(text, signature []byte) bool
}

// form is the version of Text.
const form = "1"

// Text is what the MAC of an entry covers: all of it but its id.
func Text(e posthaste.AuditEntry) []byte {
	text, _ := json.Marshal([]any{form, e.At.UnixMicro(), e.Actor, e.RequestID, e.CallerID, e.Reason, e.Network.String(), e.Region, orEmpty(e.Metadata),
		e.Action, e.Object, orEmpty(e.Details), hex.EncodeToString(e.Unique)}) // texts and maps of texts cannot fail
	return text
}

// orEmpty makes the two forms of an empty map one.
func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// Base is where the chain begins: the last seal that retention removed.
type Base struct {
	Number int64
	Chain  []byte
	MAC    []byte // over the other two
}

// NewBase makes the base after a seal.
func NewBase(keys Macs, number int64, chain []byte) Base {
	return Base{number, chain, keys.AuditMAC(baseText(number, chain))}
}

func baseText(number int64, chain []byte) []byte {
	text, _ := json.Marshal([]any{form, "base", number, hex.EncodeToString(chain)})
	return text
}
