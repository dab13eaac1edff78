package recipientfile

import (
	"context"
	"errors"
	"io"
	"iter"

	"posthaste"
)

// keepRejections bounds the rejections that a report lists; all are counted.
const keepRejections = 1000

// Merger merges rows into what is stored, all or nothing.
type Merger interface {
	Import(ctx context.Context, order posthaste.Import, rows iter.Seq2[posthaste.ImportRow, error]) (posthaste.ImportReport, error)
}

// Import reads a file to its end and merges its recipients as order says. A
// line that gives no recipient is rejected and the others go on; a file that
// cannot be read on is an error, and nothing of it is merged.
func Import(ctx context.Context, store Merger, file io.Reader, order posthaste.Import) (posthaste.ImportReport, error) {
	reader, err := NewReader(file)
	if err != nil {
		return posthaste.ImportReport{}, err
	}
	order.Attributes = reader.Attributes()
	var rejected int64
	rejections := []posthaste.Rejection{}
	report, err := store.Import(ctx, order, func(yield func(posthaste.ImportRow, error) bool) {
		for {
			row, rejection, err := reader.Next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(posthaste.ImportRow{}, err)
				return
			case rejection != nil:
				rejected++
				if len(rejections) < keepRejections {
					rejections = append(rejections, *rejection)
				}
			case !yield(importRow(row), nil):
				return
			}
		}
	})
	report.Rows += rejected
	report.RejectedRows, report.Rejected = rejected, rejections
	return report, err
}

func importRow(row *Row) posthaste.ImportRow {
	out := posthaste.ImportRow{Line: row.Line, Email: row.Email, Canonical: row.Canonical, Name: row.Name, Locale: row.Locale, TimeZone: row.TimeZone}
	if len(row.Attributes) > 0 {
		out.Attributes = make(map[string]string, len(row.Attributes))
		for _, a := range row.Attributes {
			out.Attributes[a.Name] = a.Value
		}
	}
	return out
}
