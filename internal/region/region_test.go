package region_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"posthaste"
	"posthaste/internal/region"
)

// write makes a file with the entries that a city database has, and more of each than may be read.
func write(t *testing.T, entries map[string]mmdbtype.Map) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, entry := range entries {
		_, prefix, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(prefix, entry); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := tree.WriteTo(file); err != nil {
		t.Fatal(err)
	}
	return path
}

func entry(country string, subdivisions ...string) mmdbtype.Map {
	list := mmdbtype.Slice{}
	for _, s := range subdivisions {
		list = append(list, mmdbtype.Map{"iso_code": mmdbtype.String(s)})
	}
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}, "subdivisions": list,
		"city": mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Munich")}}, "location": mmdbtype.Map{"latitude": mmdbtype.Float64(48.1)}}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	regions, err := region.Open(write(t, map[string]mmdbtype.Map{"192.0.2.0/24": entry("DE", "BY", "091"), "198.51.100.0/24": entry("FR"), "203.0.113.0/24": entry("nonsense"), "2001:db8::/32": entry("CH", "ZH")}))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{"192.0.2.77": "DE-BY", "198.51.100.1": "FR", "203.0.113.1": "", "2001:db8:1::1": "CH-ZH", "8.8.8.8": "", "": ""} {
		addr, _ := netip.ParseAddr(address)
		if got := regions.Of(posthaste.Cut(addr)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	var none *region.Regions
	if none.Of(posthaste.Cut(netip.MustParseAddr("192.0.2.77"))) != "" {
		t.Error("without a file something is known")
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	if _, err := region.Open(path); err == nil {
		t.Error("a file that is not there")
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := region.Open(path); !errors.Is(err, posthaste.Invalid) {
		t.Errorf("nonsense: %v", err)
	}
	if regions, err := region.Open(""); regions != nil || err != nil {
		t.Errorf("no file: %v %v", regions, err)
	}
}
