package bus_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"posthaste/internal/bus"
	"posthaste/internal/inventory"
	"posthaste/internal/testkit"
)

// TestEveryStreamIsInTheInventory fails for a new stream or bucket, and for one that is gone.
func TestEveryStreamIsInTheInventory(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	b, err := bus.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	connection, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	all, err := inventory.Load()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		there = append(there, name)
		if item, known := all.Streams[name]; !known || item.Purpose == "" || item.Basis == "" || len(item.Readers) == 0 || item.Erased == "" {
			t.Errorf("%s is not in the inventory, or lacks something there", name)
		}
	}
	if names.Err() != nil {
		t.Fatal(names.Err())
	}
	for name := range all.Streams {
		if !slices.Contains(there, name) {
			t.Errorf("the inventory has a stream %s, which there is not", name)
		}
	}
}
