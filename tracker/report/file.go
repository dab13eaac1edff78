package report

import (
	"io"
	"strings"
	"time"

	"posthaste"
)

// Files writes reports as files.
type Files struct{}

// Names lists the files that there are of a report: each part as .csv and as .svg,
// and page.html.
func (Files) Names() []string {
	names := []string{"page.html"}
	for _, part := range Parts {
		names = append(names, string(part)+".csv", string(part)+".svg")
	}
	return names
}

// TopicNames lists the files that there are of a topic's campaigns.
func (Files) TopicNames() []string {
	return []string{string(Campaigns) + ".csv", string(Campaigns) + ".svg"}
}

// WriteTopic writes the file of that name about reports, which are newest first.
func (Files) WriteTopic(w io.Writer, reports []posthaste.Report, name string) error {
	if strings.HasSuffix(name, ".csv") {
		return WriteCSV(w, TableOfTopic(reports))
	}
	return WriteSVG(w, TableOfTopic(reports))
}

// Write writes the file of that name.
func (Files) Write(w io.Writer, r posthaste.Report, name string) error {
	part, format, _ := strings.Cut(name, ".")
	switch format {
	case "csv":
		return WriteCSV(w, TableOf(r, Part(part)))
	case "svg":
		return WriteSVG(w, TableOf(r, Part(part)))
	}
	return WritePage(w, r, time.Now())
}
