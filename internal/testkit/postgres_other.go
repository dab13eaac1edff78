//go:build !unix

package testkit

import "errors"

func startPostgres() (cluster, error) {
	return cluster{}, errors.New("on this system only with POSTHASTE_TEST_POSTGRES")
}
