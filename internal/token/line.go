package token

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"posthaste"
)

// lastID is the highest id that a token can carry.
const lastID = 255

// AddLine appends a line with a fresh secret and the next id to the secret file
// and gives the id; a Conflict when the last id is used. The file is replaced by
// one that is on the disk already, so that a crash leaves the old one or the new
// one, whole; owner and mode stay. It is not for two callers at a time.
func AddLine(path string) (id int, err error) {
	path, err = filepath.EvalSymlinks(path) // the file is replaced, not a link to it
	if err != nil {
		return 0, fmt.Errorf("find secret file: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read secret file: %w", err)
	}
	keys, err := parse(path, text)
	if err != nil {
		return 0, err
	}
	for _, a := range keys.addresses {
		id = max(id, a.id)
	}
	if id++; id > lastID {
		return 0, &posthaste.Error{Kind: posthaste.Conflict, Message: fmt.Sprintf("the secret file cannot have a further line: the id %d is used", lastID)}
	}
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails (crypto/rand)
	if text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	if err := replace(path, fmt.Appendf(text, "%d %x\n", id, secret)); err != nil {
		return 0, fmt.Errorf("add a line to the secret file: %w", err)
	}
	return id, nil
}

// replace puts text in the place of a file, durably.
func replace(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) { // what a crash left
		return err
	}
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Chmod(info.Mode().Perm()), keepOwner(file, info), file.Sync(), file.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return syncFolder(filepath.Dir(path))
}
