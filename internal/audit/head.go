package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"posthaste"
)

// Head is the end of the chain at a moment, signed (Ed25519, RFC 8032).
type Head struct {
	Seal      int64     `json:"seal"` // its number
	Chain     []byte    `json:"chain"`
	At        time.Time `json:"at"`
	Signature []byte    `json:"signature"`
}

// NewHead signs the end of the chain.
func NewHead(keys Keys, number int64, chain []byte, at time.Time) Head {
	h := Head{Seal: number, Chain: append([]byte{}, chain...), At: at.UTC().Truncate(time.Microsecond)}
	h.Signature = keys.SignHead(h.text())
	return h
}

func (h Head) text() []byte {
	text, _ := json.Marshal([]any{form, "head", h.Seal, h.Chain, h.At.UnixMicro()})
	return text
}

// AppendHead adds a head to a file, one JSON object to a line, and makes it durable.
func AppendHead(path string, h Head) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := dropTorn(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

// dropTorn cuts off a last line that was not written to its end.
func dropTorn(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if whole := bytes.LastIndexByte(text, '\n') + 1; err == nil && whole < len(text) {
		err = os.Truncate(path, int64(whole))
	}
	return err
}

// ReadHeads reads such a file; one that is not there has none. A last line that
// was cut off while it was written is left out. Any other line that is no head
// is Invalid, and so is a signature that is not ours.
func ReadHeads(path string, keys Keys) ([]Head, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var heads []Head
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		var h Head
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			if whole := bytes.HasSuffix(text, []byte("\n")); !whole && !lines.Scan() {
				break
			}
			return nil, posthaste.Refuse(fmt.Sprintf("%s, line %d", path, n), "is no head of an audit log")
		}
		if !keys.CheckHead(h.text(), h.Signature) {
			return nil, posthaste.Refuse(fmt.Sprintf("%s, line %d", path, n), "is not signed with this installation's secret file, or was changed")
		}
		heads = append(heads, h)
	}
	return heads, lines.Err()
}
