//go:build unix

package token

import (
	"errors"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and group of another: an administrator may
// rotate what the service must read.
func keepOwner(file *os.File, as os.FileInfo) error {
	owner, ok := as.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the owner of the file is not known")
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

// Exposed tells the mode of the secret file, or of what a link leads to, and
// whether it lets anybody but its owner do anything. It may have to: container
// engines mount secrets so that every user in the container can read them.
func Exposed(path string) (mode os.FileMode, others bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false, err
	}
	mode = info.Mode().Perm()
	return mode, mode&0o077 != 0, nil
}

// syncFolder has the disk keep that a file was renamed.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
