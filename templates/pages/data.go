package pages

import (
	"io"
	"strconv"
)

// The kinds of YourData.
const (
	Access  = "access"  // the person asked to see the data
	Erasure = "erasure" // the person asked to delete them
)

// YourData is the page behind the link to a person's own data.
type YourData struct {
	Lang           string // BCP 47; English when there are no texts in it
	Sender         string
	Masked         string // the address, shown as it is: mask it before
	Kind           string // Access, or Erasure, which puts deleting first
	Sections       []Section
	ShowAction     string   // path that the form to show the data is sent to: they are not shown yet, or empty
	DownloadAction string   // path that the form for the same as a file is sent to, or empty
	EraseAction    string   // path that the form to delete is sent to; empty: not offered
	Erased         bool     // the data are gone: show the receipt
	Receipt        []string // what was removed and what stays
	Gone           bool     // the link is too old; nothing else counts
}

// Section is one table of YourData.
type Section struct {
	Title   string
	Lead    string
	Empty   string // said when there is no row
	Columns []string
	Rows    [][]string // each as long as Columns
}

type dataTexts struct {
	Title       string `json:"title"`
	Lead        string `json:"lead"`
	Show        string `json:"show"`
	ShowLead    string `json:"show_lead"`
	Download    string `json:"download"`
	EraseTitle  string `json:"erase_title"`
	EraseLead   string `json:"erase_lead"`
	EraseButton string `json:"erase_button"`
	Erased      string `json:"erased"`
	ErasedLead  string `json:"erased_lead"`
	Gone        string `json:"gone"`
	GoneLead    string `json:"gone_lead"`
}

type dataView struct {
	frame
	P        YourData
	T        dataTexts
	Heading  string
	Lead     sentence
	Sections []table
}

// table is a section that a screen reader, and a phone, can show.
type table struct {
	Section
	ID   string
	Rows [][]cell
}

// cell bears its column's name, which stands beside it where a row is a block.
type cell struct{ Label, Value string }

// WriteYourData writes the tables, a form for the same as a file, sent as POST
// with download=json, and one to delete the data, with erase=yes; or a button that
// shows them, with show=yes; or the receipt, or that the link is too old.
func WriteYourData(w io.Writer, p YourData) error {
	s := load()
	t := s.texts(p.Lang)
	say := t.valuesOf(p.Sender, p.Masked)
	v := dataView{P: p, T: t.Data}
	switch {
	case p.Gone:
		v.Heading, v.Lead = v.T.Gone, say.say(v.T.GoneLead)
	case p.Erased:
		v.Heading, v.Lead = v.T.Erased, say.say(v.T.ErasedLead)
	default:
		v.Heading, v.Lead = v.T.Title, say.say(v.T.Lead)
		if p.ShowAction != "" {
			v.Lead = say.say(v.T.ShowLead)
		}
		for i, section := range p.Sections {
			v.Sections = append(v.Sections, newTable(i, section))
		}
		if v.First() {
			v.Heading = v.T.EraseTitle
		}
	}
	v.frame = t.frame(v.Heading, p.Sender)
	v.Wide = len(v.Sections) > 0
	return s.write(w, "data", v)
}

// First reports that the form to delete comes before what would be deleted.
func (v dataView) First() bool { return v.P.Kind == Erasure && v.P.EraseAction != "" }

func newTable(number int, section Section) table {
	t := table{Section: section, ID: "section-" + strconv.Itoa(number+1)}
	for _, row := range section.Rows {
		cells := make([]cell, len(section.Columns))
		for i, column := range section.Columns {
			cells[i].Label = column
			if i < len(row) {
				cells[i].Value = row[i]
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}
