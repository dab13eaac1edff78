package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Sizes in the units of the drawing, which is as wide as a telephone.
const (
	width    = 360
	margin   = 12
	barRow   = 42 // a name above its bar
	barTall  = 12
	plotTall = 150
	mostBars = 15 // the rest is in the table
)

// style follows what the reader's system prefers. The colours are told apart
// without seeing colours by their lightness and by the key.
const style = `text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2522}.small{font-size:11px;fill:#59615c}.back{fill:#ffffff}.axis{stroke:#b9c2bd}` +
	`.a{fill:#0d5f55}.b{fill:#e0912f}.c{fill:#b9c2bd}` +
	`@media(prefers-color-scheme:dark){text{fill:#e4e8e5}.small{fill:#a5aea9}.back{fill:#1c201e}.axis{stroke:#59615c}.a{fill:#6cc7b6}.b{fill:#f3b562}.c{fill:#59615c}}`

// classes are the colours of the first columns of numbers.
var classes = []string{"a", "b", "c"}

// WriteSVG draws a table: columns over time for Hours, bars for the others. The
// drawing tells its title and its numbers to who cannot see it.
func WriteSVG(w io.Writer, t Table) error {
	var d drawing
	if t.Part == Hours {
		d.columns(t)
	} else {
		d.bars(t)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="%s-title %s-desc"><title id="%s-title">%s</title><desc id="%s-desc">%s</desc><style>%s</style><rect class="back" width="100%%" height="100%%"/>`,
		width, d.height, t.Part, t.Part, t.Part, escape(t.Title), t.Part, escape(inWords(t)), style)
	out.Write(d.body.Bytes())
	out.WriteString("</svg>\n")
	_, err := w.Write(out.Bytes())
	return err
}

// inWords is what the drawing shows, for a screen reader.
func inWords(t Table) string {
	if len(t.Rows) == 0 {
		return "Nothing yet."
	}
	var lines []string
	for i, row := range t.Rows {
		if i == mostBars && t.Part != Hours {
			break
		}
		var numbers []string
		for j, n := range row.Numbers {
			numbers = append(numbers, t.Columns[j+1]+" "+Text(n))
		}
		lines = append(lines, row.Name+": "+strings.Join(numbers, ", "))
	}
	return strings.Join(lines, "; ") + "."
}

// drawing is what is drawn, from above.
type drawing struct {
	body   bytes.Buffer
	height int
}

func (d *drawing) text(x, y int, class, anchor, text string) {
	fmt.Fprintf(&d.body, `<text x="%d" y="%d" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escape(text))
}

func (d *drawing) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(&d.body, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="1.5"/>`, class, x, y, w, h)
}

// key says which colour is what.
func (d *drawing) key(names []string) {
	x := margin
	for i, name := range names {
		d.rect(classes[i], float64(x), float64(d.height+4), 10, 10)
		d.text(x+15, d.height+13, "small", "start", name)
		x += 26 + 6*len([]rune(name))
	}
	d.height += 26
}

// shown are the columns of numbers that are drawn, at most as many as there are colours.
func shown(t Table) []int {
	switch t.Part {
	case Summary:
		return []int{0}
	case Hours: // people's: machines, which come all at once, would make them small
		return []int{0, 1}
	case Domains:
		return []int{1, 4, 6} // accepted, opened, clicked
	}
	all := make([]int, min(len(t.Columns)-1, len(classes)))
	for i := range all {
		all[i] = i
	}
	return all
}

func namesOf(t Table, columns []int) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = t.Columns[c+1]
	}
	return names
}

// largest is the longest bar; 1 when all are empty.
func largest(t Table, columns []int) int64 {
	most := int64(1)
	for _, row := range t.Rows {
		for _, c := range columns {
			most = max(most, row.Numbers[c])
		}
	}
	return most
}

// empty says so of a table without rows.
func (d *drawing) empty(t Table) bool {
	if len(t.Rows) > 0 {
		return false
	}
	d.text(margin, d.height+16, "small", "start", "Nothing yet.")
	d.height += 32
	return true
}

// bars draws a name, its numbers, and bars below them.
func (d *drawing) bars(t Table) {
	columns := shown(t)
	d.height = margin
	if len(columns) > 1 {
		d.key(namesOf(t, columns))
	}
	if d.empty(t) {
		return
	}
	most := largest(t, columns)
	for i, row := range t.Rows {
		if i == mostBars {
			d.text(margin, d.height+14, "small", "start", fmt.Sprintf("and %d more", len(t.Rows)-mostBars))
			d.height += 26
			break
		}
		var numbers []string
		for _, c := range columns {
			numbers = append(numbers, Text(row.Numbers[c]))
		}
		figures := strings.Join(numbers, " · ")
		d.text(margin, d.height+14, "name", "start", cut(row.Name, 46-len([]rune(figures))))
		d.text(width-margin, d.height+14, "name", "end", figures)
		tall := float64(barTall) / float64(len(columns))
		for j, c := range columns {
			if n := row.Numbers[c]; n > 0 {
				d.rect(classes[j], margin, float64(d.height+20)+tall*float64(j), max(1, float64(width-2*margin)*float64(n)/float64(most)), tall)
			}
		}
		d.height += barRow
	}
	d.height += margin
}

// columns draws numbers over time.
func (d *drawing) columns(t Table) {
	columns := shown(t)
	d.height = margin
	d.key(namesOf(t, columns))
	if d.empty(t) {
		return
	}
	most := largest(t, columns)
	top, bottom := d.height+14, d.height+14+plotTall
	d.text(margin, d.height+10, "small", "start", Text(most))
	fmt.Fprintf(&d.body, `<path class="axis" fill="none" d="M%d %dH%d M%d %dH%d"/>`, margin, top, width-margin, margin, bottom, width-margin)
	step := float64(width-2*margin) / float64(len(t.Rows))
	thick := step * 0.8 / float64(len(columns))
	for i, row := range t.Rows {
		for j, c := range columns {
			if n := row.Numbers[c]; n > 0 {
				tall := max(1, plotTall*float64(n)/float64(most))
				d.rect(classes[j], margin+step*(float64(i)+0.1)+thick*float64(j), float64(bottom)-tall, thick, tall)
			}
		}
	}
	d.text(margin, bottom+16, "small", "start", t.Rows[0].Name)
	if last := len(t.Rows) - 1; last > 0 {
		d.text(width-margin, bottom+16, "small", "end", t.Rows[last].Name)
	}
	d.height = bottom + 16 + margin
}

// cut shortens what is too long for its line; the middle says least of a link.
func cut(text string, most int) string {
	letters := []rune(text)
	if most = max(most, 12); len(letters) <= most {
		return text
	}
	return string(letters[:most/2]) + "…" + string(letters[len(letters)-(most-most/2-1):])
}

func escape(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text)) // a buffer takes everything
	return out.String()
}
