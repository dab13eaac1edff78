// Package audit makes the audit log evident of tampering. Every entry has a MAC
// of its own, made in the transaction that writes it; once it is committed it
// gets a place in a chain, in which each link covers the one before; and the end
// of the chain is signed from time to time and kept outside of the database. So
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

// Keys are what of the secret file the audit log rests on.
type Keys interface {
	AuditMAC(text []byte) []byte
	AuditLink(before []byte, seq int64, mac []byte) []byte
	SignHead(text []byte) []byte
	CheckHead(text, signature []byte) bool
}

// form is the version of Text.
const form = "1"

// Text is what the MAC of an entry covers: all of it but its id and its place.
func Text(e posthaste.AuditEntry) []byte {
	text, _ := json.Marshal([]any{form, e.At.UnixMicro(), e.Actor, e.RequestID, e.CallerID, e.Reason, e.Network.String(), orEmpty(e.Metadata),
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

// Base is where the chain begins: the last entry that retention removed.
type Base struct {
	Seq   int64
	Chain []byte
	MAC   []byte // over the other two
}

// NewBase makes the base after an entry.
func NewBase(keys interface{ AuditMAC(text []byte) []byte }, seq int64, chain []byte) Base {
	return Base{seq, chain, keys.AuditMAC(baseText(seq, chain))}
}

func baseText(seq int64, chain []byte) []byte {
	text, _ := json.Marshal([]any{form, "base", seq, hex.EncodeToString(chain)})
	return text
}
