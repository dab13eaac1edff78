package recipientfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"posthaste/internal/recipientfile"
)

// On well-formed files the reader agrees with encoding/csv.
func TestAgreesWithEncodingCSV(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 6).Draw(t, "columns")
		cell := rapid.StringOf(rapid.SampledFrom([]rune("ab ,;\t\"\n'=ü🦊")))
		records := [][]string{{"email"}}
		for i := range columns {
			records[0] = append(records[0], fmt.Sprintf("a%d", i))
		}
		for i := range rapid.IntRange(0, 8).Draw(t, "rows") {
			record := []string{fmt.Sprintf("r%d@example.com", i)}
			for range columns {
				record = append(record, cell.Draw(t, "cell"))
			}
			records = append(records, record)
		}
		var file bytes.Buffer
		w := csv.NewWriter(&file)
		w.Comma = rapid.SampledFrom([]rune(",;\t")).Draw(t, "comma")
		if err := w.WriteAll(records); err != nil {
			t.Fatal(err)
		}
		text := file.String()
		ends := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "line ends")
		text = strings.ReplaceAll(text, "\n", ends)
		if rapid.Bool().Draw(t, "no last line end") {
			text = strings.TrimSuffix(text, ends)
		}
		compare(t, text, ends, records)
	})
}

func compare(t *rapid.T, text, ends string, records [][]string) {
	r, err := recipientfile.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	line := 1
	for i, record := range records {
		if i > 0 {
			row, rejection, err := r.Next()
			if err != nil || rejection != nil {
				t.Fatalf("record %d: %v, %v", i, rejection, err)
			}
			got := map[string]string{}
			for _, a := range row.Attributes {
				got[a.Name] = a.Value
			}
			if row.Line != line || row.Email != record[0] {
				t.Fatalf("record %d: line %d %q, want line %d %q", i, row.Line, row.Email, line, record[0])
			}
			for j, want := range record[1:] {
				if want = strings.ReplaceAll(want, "\n", ends); got[records[0][j+1]] != want {
					t.Fatalf("record %d: %q, want %q", i, got[records[0][j+1]], want)
				}
			}
		}
		line += 1 + strings.Count(strings.Join(record, ""), "\n")
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"email,name\na@example.com,Ana\n", "\ufeffe-mail;x\r\na@example.com;\"1\r\n2\"\r\n", "email\ra@b.co\r\"\rb@b.co",
		"email,a\na@b.co,\"x\"y\nb@b.co,\"\"\"\n", "email\tlang\ttz\na@b.co\ten\tUTC\n", "email,a\n\xff,\x00\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := recipientfile.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		lines := 1 + bytes.Count(file, []byte("\n")) + bytes.Count(file, []byte("\r"))
		last := 1
		for {
			row, rejection, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil || (row == nil) == (rejection == nil) {
				t.Fatal(row, rejection, err)
			}
			line := 0
			if row != nil {
				line = row.Line
				for _, s := range append([]string{row.Email, row.Canonical, row.Name, row.Locale, row.TimeZone}, values(row)...) {
					if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
						t.Fatalf("line %d has %q", line, s)
					}
				}
				if row.Email == "" || row.Canonical == "" || strings.ContainsAny(row.Email+row.Name+row.Locale+row.TimeZone, "\r\n") {
					t.Fatalf("%+v", row)
				}
			} else if line = rejection.Line; rejection.Reason == "" {
				t.Fatalf("%+v", rejection)
			}
			if line <= last || line > lines {
				t.Fatalf("line %d after line %d, of %d", line, last, lines)
			}
			last = line
		}
	})
}

func values(row *recipientfile.Row) []string {
	var all []string
	for _, a := range row.Attributes {
		all = append(all, a.Name, a.Value)
	}
	return all
}

// file makes rows of five columns without holding them.
type file struct {
	rows, at int
	rest     []byte
}

func (f *file) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.at > f.rows {
			return 0, io.EOF
		}
		f.rest = f.rest[:0]
		for range min(500, f.rows+1-f.at) {
			if f.at == 0 {
				f.rest = append(f.rest, "email,name,locale,time_zone,city\r\n"...)
			} else {
				f.rest = fmt.Appendf(f.rest, "recipient.%07d@example.com,Recipient %d,de-DE,Europe/Berlin,\"Frankfurt, Main\"\r\n", f.at, f.at)
			}
			f.at++
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func readAll(t testing.TB, in io.Reader) (rows int) {
	r, err := recipientfile.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, rejection, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil || rejection != nil || row.Email == "" {
			t.Fatal(rejection, err)
		}
		rows++
	}
}

func BenchmarkRead200k(b *testing.B) {
	text, err := io.ReadAll(&file{rows: 200_000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	rows := 0
	for b.Loop() {
		rows += readAll(b, bytes.NewReader(text))
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// Memory does not grow with the file. It runs alone: not parallel.
func TestMemoryIsFlat(t *testing.T) {
	held := func(rows int) uint64 {
		r, err := recipientfile.NewReader(&file{rows: rows})
		if err != nil {
			t.Fatal(err)
		}
		for range rows {
			if _, _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		runtime.KeepAlive(r)
		return stats.HeapAlloc
	}
	few, many := held(1_000), held(100_000)
	if many > few+1<<20 {
		t.Errorf("%d octets are held after 1,000 rows and %d after 100,000", few, many)
	}
}

// A file made to have as much as possible read twice is read in proportion to
// its length, and each of its lines is answered once. A block is longer than 1 MB.
func TestRereadingIsBounded(t *testing.T) {
	t.Parallel()
	const blocks, lines = 3, 180_000
	block := "x,\"\n" + strings.Repeat("\"\",\"\"\n", lines)
	r, err := recipientfile.NewReader(strings.NewReader("email,a\n" + strings.Repeat(block, blocks)))
	if err != nil {
		t.Fatal(err)
	}
	for want := 2; ; want++ {
		_, rejection, err := r.Next()
		if errors.Is(err, io.EOF) {
			if want != 2+blocks*(lines+1) {
				t.Errorf("the reading ended at line %d", want)
			}
			return
		}
		if rejection == nil || rejection.Line != want {
			t.Fatalf("%+v, want line %d rejected", rejection, want)
		}
	}
}
