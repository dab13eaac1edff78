//go:build unix

package token_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"posthaste/internal/testkit"
	"posthaste/internal/token"
)

// TestAddLineKeepsTheOwner lets root add a line to what a service must read.
func TestAddLineKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		testkit.Missing(t, "only root gives files away")
	}
	path := secretFile(t, "1 "+strings.Repeat("11", 32)+"\n", 0o400)
	if err := os.Chown(path, 65532, 65533); err != nil {
		t.Fatal(err)
	}
	if _, err := token.AddLine(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 65532 || owner.Gid != 65533 {
		t.Errorf("owner %d:%d", owner.Uid, owner.Gid)
	}
}
