// Package region tells in which country and region a network is, from a file
// that the operator provides (MaxMind DB format 2.0, as GeoLite2 City and DB-IP
// Lite have it). It is asked about what is left of an address once it is cut, and
// reads nothing finer from the file than a region: no city, no post code, no
// coordinates. Without a file nothing is known, and everything else works.
package region

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"posthaste"
)

// lookEvery is how often it is looked whether there is a newer file, at most.
const lookEvery = time.Minute

// Regions looks up networks. It is safe for concurrent use; a nil one knows nothing.
type Regions struct {
	path string

	mu       sync.Mutex
	reader   *maxminddb.Reader // which unmaps its file once nobody uses it any more
	modified time.Time
	looked   time.Time
}

// Open reads the file; Invalid if it is none of the kind. With no path it gives nil.
func Open(path string) (*Regions, error) {
	if path == "" {
		return nil, nil
	}
	r := &Regions{path: path, looked: time.Now()}
	return r, r.load()
}

// load takes the file that is there now, if it is another one.
func (r *Regions) load() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(r.modified) {
		return nil
	}
	reader, err := maxminddb.Open(r.path)
	if err != nil {
		return posthaste.Refuse("POSTHASTE_GEO_FILE", fmt.Sprintf("is no database of regions: %v", err))
	}
	r.reader, r.modified = reader, info.ModTime()
	return nil
}

// place is all that is read of an entry.
type place struct {
	Country      code   `maxminddb:"country"`
	Subdivisions []code `maxminddb:"subdivisions"`
}

type code struct {
	ISO string `maxminddb:"iso_code"`
}

// Of gives the country (ISO 3166-1) or, if it is known, the region (ISO 3166-2)
// of a network: "DE" or "DE-BY"; empty when nothing is known. A newer file is
// taken within a minute; one that cannot be read leaves the old one.
func (r *Regions) Of(n posthaste.Network) string {
	if r == nil || !n.Addr().IsValid() {
		return ""
	}
	var p place
	if err := r.current().Lookup(n.Addr()).Decode(&p); err != nil || len(p.Country.ISO) != 2 {
		return ""
	}
	country := strings.ToUpper(p.Country.ISO)
	if !plain(country) {
		return ""
	}
	if len(p.Subdivisions) == 0 || p.Subdivisions[0].ISO == "" || len(p.Subdivisions[0].ISO) > 3 || !plain(p.Subdivisions[0].ISO) {
		return country
	}
	return country + "-" + strings.ToUpper(p.Subdivisions[0].ISO)
}

// plain reports whether a code is one that a database takes, whatever the file says.
func plain(code string) bool {
	return !strings.ContainsFunc(code, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

func (r *Regions) current() *maxminddb.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) > lookEvery {
		r.looked = time.Now()
		if err := r.load(); err != nil {
			slog.Warn("the database of regions stays as it was", "error", err)
		}
	}
	return r.reader
}
