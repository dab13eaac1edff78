//go:build !soak

package main

// The short form: the faults that matter most, on small campaigns. The long
// one is `go test -tags soak ./cmd/posthaste -run TestSoak -timeout 3h -v`.
const (
	soakAudience = 1500
	soakLong     = false
)

var soakFaults = []string{"kill both workers", "kill PostgreSQL", "kill a NATS server", "cut workers from the next hop", "next hop drops after the dot"}
