package token

import (
	"crypto/ed25519"
	"encoding/binary"
)

// AuditMAC is the keyed hash of an entry of the audit log.
func (k *Keys) AuditMAC(text []byte) []byte {
	sum := k.auditMAC.sum(text)
	return sum[:]
}

// AuditLink is the chain of the audit log at a seal: the keyed hash of the chain
// before it, of its number and of the entries that it covers.
func (k *Keys) AuditLink(before []byte, number int64, entries []byte) []byte {
	text := binary.AppendUvarint(nil, uint64(len(before)))
	text = append(text, before...)
	text = binary.AppendUvarint(text, uint64(number))
	sum := k.auditLink.sum(append(text, entries...))
	return sum[:]
}

// SignHead signs the end of the audit log (Ed25519, RFC 8032).
func (k *Keys) SignHead(text []byte) []byte { return ed25519.Sign(k.auditHead, text) }

// CheckHead reports whether a signature of SignHead is of that text.
func (k *Keys) CheckHead(text, signature []byte) bool {
	return ed25519.Verify(k.auditHead.Public().(ed25519.PublicKey), text, signature)
}
