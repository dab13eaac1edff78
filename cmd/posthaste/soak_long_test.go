//go:build soak

package main

import "slices"

const (
	soakAudience = 5000
	soakLong     = true
)

// Every fault five times over, in an order of its own each time.
var soakFaults = slices.Repeat(allFaults(), 5)
