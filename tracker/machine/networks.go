package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"posthaste"
)

// networks finds names by the longest prefix that covers, or lies within, a network.
type networks struct {
	names map[netip.Prefix]string
	bits4 []int // lengths that there are, longest first
	bits6 []int
}

// add lists a network; one that is smaller than a Network counts as the whole of it.
func (s *networks) add(text, name string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, bad := netip.ParseAddr(text)
		if bad != nil {
			return fmt.Errorf("%q is no network", text)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if cut := posthaste.Cut(prefix.Addr()).Prefix(); cut.Bits() < prefix.Bits() {
		prefix = cut
	}
	prefix = prefix.Masked()
	if s.names == nil {
		s.names = map[netip.Prefix]string{}
	}
	s.names[prefix] = name
	lengths := &s.bits6
	if prefix.Addr().Is4() {
		lengths = &s.bits4
	}
	if !slices.Contains(*lengths, prefix.Bits()) {
		*lengths = append(*lengths, prefix.Bits())
		slices.SortFunc(*lengths, func(a, b int) int { return b - a })
	}
	return nil
}

func (s *networks) find(n posthaste.Network) string {
	addr := n.Addr()
	if !addr.IsValid() {
		return ""
	}
	lengths := s.bits6
	if addr.Is4() {
		lengths = s.bits4
	}
	for _, bits := range lengths {
		prefix, _ := addr.Prefix(bits) // which such an address has
		if name, ok := s.names[prefix]; ok {
			return name
		}
	}
	return ""
}

// readPlaces reads what an operator has: for each place a file PLACE.csv, whose
// lines begin with a network, as Apple publishes the one of its relays. What
// follows behind a comma, and lines that begin with #, say nothing.
func (r *Rules) readPlaces(folder string) error {
	if folder == "" {
		return nil
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return posthaste.Refuse("POSTHASTE_NETWORKS_DIR", fmt.Sprintf("cannot be read: %v", errors.Unwrap(err)))
	}
	for _, file := range files {
		if err := r.readPlace(folder, file); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rules) readPlace(folder string, file fs.DirEntry) error {
	place, isList := strings.CutSuffix(file.Name(), ".csv")
	if !isList || file.IsDir() {
		return nil
	}
	if !slices.ContainsFunc(r.Places, func(p Place) bool { return p.Name == place }) {
		return posthaste.Refuse("POSTHASTE_NETWORKS_DIR", fmt.Sprintf("holds %s, but there is no place of that name; there are %s", file.Name(), r.placeNames()))
	}
	in, err := os.Open(filepath.Join(folder, file.Name()))
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		network, _, _ := strings.Cut(lines.Text(), ",")
		if network = strings.TrimSpace(network); network == "" || strings.HasPrefix(network, "#") {
			continue
		}
		if err := r.networks.add(network, place); err != nil {
			return posthaste.Refuse("POSTHASTE_NETWORKS_DIR", fmt.Sprintf("%s, line %d: %v", file.Name(), n, err))
		}
	}
	return lines.Err()
}

func (r *Rules) placeNames() string {
	names := make([]string, len(r.Places))
	for i, p := range r.Places {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}
