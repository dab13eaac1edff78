//go:build !unix

package journal

import (
	"errors"
	"os"
)

// lock is not to be had here, so there is no journal.
func lock(*os.File) error { return errors.New("files cannot be locked on this system") }
