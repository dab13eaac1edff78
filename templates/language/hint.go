package language

import "strings"

// nameHint suggests what an unknown name may have been meant to be.
func nameHint(name string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	best, distance := "", max(2, len(name)/4)+1
	for _, known := range names {
		if d := editDistance(name, known); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	const most = 12
	if len(names) > most {
		return "; known are " + strings.Join(names[:most], ", ") + " and more"
	}
	return "; known are " + strings.Join(names, ", ")
}

// editDistance counts the letters to add, drop, replace or swap with their neighbour.
func editDistance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
