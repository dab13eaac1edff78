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

// syncFolder has the disk keep that a file was renamed.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
