package testkit_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The parts that tests get must not be what their leak checks find.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
