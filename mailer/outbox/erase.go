package outbox

import (
	"errors"
	"io/fs"
	"strings"
)

// Erase removes every message whose envelope names the address as its
// recipient, in any case, and gives how many they were. It reads the head of
// each file, so it takes its time in a large folder.
func (f *Folder) Erase(email string) (erased int, err error) {
	hours, err := f.names(".", isHour)
	if err != nil {
		return 0, err
	}
	for _, hour := range hours {
		files, err := f.names(hour, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), suffix) })
		if err != nil {
			return erased, err
		}
		for _, file := range files {
			entry, err := f.entry(hour, strings.TrimSuffix(file, suffix))
			if errors.Is(err, fs.ErrNotExist) { // removed by hand meanwhile
				continue
			}
			if err != nil {
				return erased, err
			}
			if !strings.EqualFold(entry.To, email) {
				continue
			}
			if err := f.root.Remove(hour + "/" + file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return erased, err
			}
			erased++
		}
	}
	return erased, nil
}

func isHour(e fs.DirEntry) bool { return e.IsDir() && len(e.Name()) == len(hourLayout) }
