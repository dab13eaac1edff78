package token

import "encoding/hex"

// addressKey is what one line gives for address hashes.
type addressKey struct {
	id    int
	print string
	hash  *keyedHash
}

func (k *Keys) addAddressKey(id int, secret []byte) error {
	key, err := subkey(secret, "address")
	if err != nil {
		return err
	}
	print, err := subkey(secret, "fingerprint")
	if err != nil {
		return err
	}
	k.addresses = append(k.addresses, addressKey{id, hex.EncodeToString(print[:4]), newKeyedHash(key)})
	return nil
}

// HashAddress is the keyed hash of a canonical address, under the last line:
// HMAC-SHA-256, since a plain hash of an address can be reversed by trying all of them.
func (k *Keys) HashAddress(canonical string) []byte {
	sum := k.addresses[len(k.addresses)-1].hash.sum([]byte(canonical))
	return sum[:]
}

// OldAddressHashes gives the keyed hashes of a canonical address under the other
// lines, newest first: what HashAddress gave before the secret was rotated. There
// are none with one line.
func (k *Keys) OldAddressHashes(canonical string) [][]byte {
	var hashes [][]byte
	for i := len(k.addresses) - 2; i >= 0; i-- {
		sum := k.addresses[i].hash.sum([]byte(canonical))
		hashes = append(hashes, sum[:])
	}
	return hashes
}

// AddressKey is the id of the line that HashAddress rests on.
func (k *Keys) AddressKey() int { return k.addresses[len(k.addresses)-1].id }

// AddressKeyPrint is the fingerprint of the line of that id, which tells whether
// two files mean the same by it; empty when there is no such line.
func (k *Keys) AddressKeyPrint(id int) string {
	for _, a := range k.addresses {
		if a.id == id {
			return a.print
		}
	}
	return ""
}
