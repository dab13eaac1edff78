//go:build unix

package journal

import (
	"os"
	"syscall"
)

// lock takes the file for this process until it is closed or the process ends,
// however it ends; an error means that another has it. It holds between
// containers of one machine too, unlike process ids.
func lock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
