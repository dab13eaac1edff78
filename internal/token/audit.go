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

// AuditLink is the chain of the audit log at an entry: the keyed hash of the
// chain before it, of its place and of its own MAC.
func (k *Keys) AuditLink(before []byte, seq int64, mac []byte) []byte {
	text := binary.AppendUvarint(nil, uint64(len(before)))
	text = append(text, before...)
	text = binary.AppendUvarint(text, uint64(seq))
	sum := k.auditLink.sum(append(text, mac...))
	return sum[:]
}

// SignHead signs the end of the audit log (Ed25519, RFC 8032).
func (k *Keys) SignHead(text []byte) []byte { return ed25519.Sign(k.auditHead, text) }

// CheckHead reports whether a signature of SignHead is of that text.
func (k *Keys) CheckHead(text, signature []byte) bool {
	return ed25519.Verify(k.auditHead.Public().(ed25519.PublicKey), text, signature)
}
