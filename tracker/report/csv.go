package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"posthaste"
)

// WriteCSV writes a table as RFC 4180 has it, with a line of names. A cell that a
// spreadsheet would take for a formula begins with an apostrophe. What is hidden or
// cannot be known is empty.
func WriteCSV(w io.Writer, t Table) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	line := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		line[i] = plain(column)
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for _, row := range t.Rows {
		line = append(line[:0], plain(row.Name))
		for _, n := range row.Numbers {
			text := ""
			if n != posthaste.Hidden && n != None {
				text = strconv.FormatInt(n, 10)
			}
			line = append(line, text)
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// plain keeps a spreadsheet from calculating a text.
func plain(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
