//go:build soak

package main

import (
	"maps"
	"slices"
)

const (
	soakAudience = 5000
	soakLong     = true
)

// Every fault five times over, in an order of its own each time.
var soakFaults = slices.Repeat(slices.Sorted(maps.Keys((&soak{web: &part{}}).faults())), 5)
