// Package inventory is the list of all data that the program holds: for what, on
// which ground, for how long, and who reads them. Tests hold it against the
// schema, the streams and the files, so that nothing is kept that is not in it;
// the retention job works by it; and operators are shown it. It holds no data.
package inventory

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Keep is how long something is kept: Rule is what the retention job knows it by.
type Keep struct {
	Rule string `yaml:"rule" json:"rule"`
	Days int    `yaml:"days" json:"days"`
	What string `yaml:"what" json:"what"`
}

// Item is one table, stream or file.
type Item struct {
	Purpose  string            `yaml:"purpose" json:"purpose"`
	Basis    string            `yaml:"basis" json:"basis"`
	Readers  []string          `yaml:"readers" json:"readers"` // folders of the source
	Erased   string            `yaml:"erased" json:"erased"`   // what an erasure does
	Keep     []Keep            `yaml:"keep" json:"keep"`       // empty: as long as what it belongs to
	Personal map[string]string `yaml:"personal" json:"personal"`
	Other    []string          `yaml:"other" json:"other"`
}

// Columns gives the names of all columns, or fields, in alphabetical order.
func (i Item) Columns() []string {
	return slices.Sorted(slices.Values(slices.AppendSeq(slices.Clone(i.Other), maps.Keys(i.Personal))))
}

// notExported begins what is said of a column that a person's export leaves out.
const notExported = "not exported: "

// Exported gives the columns that a person's export has, in alphabetical order.
func (i Item) Exported() []string {
	var columns []string
	for column, text := range i.Personal {
		if !strings.HasPrefix(text, notExported) {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	return columns
}

// Inventory is the whole list. It must not be changed.
type Inventory struct {
	Tables  map[string]Item `yaml:"tables" json:"tables"`
	Streams map[string]Item `yaml:"streams" json:"streams"`
	Files   map[string]Item `yaml:"files" json:"files"` // below the data folder; a slash at the end: all below it
}

//go:embed inventory.yaml
var text []byte

// Load gives the list. Safe for concurrent use.
var Load = sync.OnceValues(func() (Inventory, error) {
	var all Inventory
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil {
		return all, fmt.Errorf("read inventory: %w", err)
	}
	_, err := all.Rules()
	return all, err
})

// Rules gives the days of each rule of retention. A rule that is named with
// different days at two places is an error.
func (all Inventory) Rules() (map[string]int, error) {
	rules := map[string]int{}
	for _, items := range []map[string]Item{all.Tables, all.Streams, all.Files} {
		for name, item := range items {
			for _, k := range item.Keep {
				if days, known := rules[k.Rule]; known && days != k.Days {
					return nil, fmt.Errorf("inventory: %s: rule %s has %d days elsewhere", name, k.Rule, days)
				}
				rules[k.Rule] = k.Days
			}
		}
	}
	return rules, nil
}
