package audit

import (
	"encoding/binary"
	"errors"

	"posthaste"
)

// Seal is one link of the chain: it covers some entries, and the seal before it.
type Seal struct {
	Number  int64 // from 1, without gaps
	Entries []Sealed
	Chain   []byte // over the chain before it, Number and Entries
}

// Sealed is an entry as a seal covers it.
type Sealed struct {
	ID  int64
	MAC []byte
}

// macSize is the length of a MAC in octets.
const macSize = 32

// Encode gives the entries of a seal as they are stored and chained.
func Encode(entries []Sealed) []byte {
	text := make([]byte, 0, len(entries)*(macSize+4))
	for _, e := range entries {
		text = binary.AppendUvarint(text, uint64(e.ID))
		text = append(text, make([]byte, macSize)...)
		copy(text[len(text)-macSize:], e.MAC)
	}
	return text
}

// Decode undoes Encode.
func Decode(text []byte) (entries []Sealed, err error) {
	for len(text) > 0 {
		id, size := binary.Uvarint(text)
		if size <= 0 || len(text) < size+macSize {
			return nil, errors.New("a seal of the audit log cannot be read")
		}
		entries = append(entries, Sealed{int64(id), text[size : size+macSize]})
		text = text[size+macSize:]
	}
	return entries, nil
}

// NewSeal covers entries behind the end of the chain. The very first one takes in
// what was written before there were MACs; later, an entry without one is not ours.
func NewSeal(keys Macs, number int64, before []byte, entries []posthaste.AuditEntry) Seal {
	s := Seal{Number: number, Entries: make([]Sealed, len(entries))}
	for i, e := range entries {
		s.Entries[i] = Sealed{e.ID, e.MAC}
		if number == 1 && len(e.MAC) == 0 {
			s.Entries[i].MAC = keys.AuditMAC(Text(e))
		}
	}
	s.Chain = keys.AuditLink(before, number, Encode(s.Entries))
	return s
}
