//go:build !unix

package token

import "os"

// A file takes its owner from its folder, and a folder cannot be synced.
func keepOwner(*os.File, os.FileInfo) error { return nil }
func syncFolder(string) error               { return nil }

// Exposed knows of no modes here.
func Exposed(string) (mode os.FileMode, others bool, err error) { return 0, false, nil }
