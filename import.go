package posthaste

// ImportRow is one recipient as a file has it. An empty text says nothing: it
// never erases what is known.
type ImportRow struct {
	Line       int // in the file, from 1; a later line of the same address wins
	Email      string
	Canonical  string
	Name       string
	Locale     string
	TimeZone   string
	Attributes map[string]string
}

// Import is the order to merge a file's recipients into a topic.
type Import struct {
	TopicID    int64
	Evidence   Evidence
	Actor      string
	Attributes []string // names of the file's attribute columns
	DryRun     bool     // count everything, change nothing
}

// ImportReport tells what an import did, or in a dry run would do.
// Rows = Added + Updated + Unchanged + Merged + RejectedRows.
type ImportReport struct {
	Rows       int64 `json:"rows"`       // records read
	Added      int64 `json:"added"`      // new recipients
	Updated    int64 `json:"updated"`    // known ones of which something changed
	Unchanged  int64 `json:"unchanged"`  // known ones, nothing new
	Merged     int64 `json:"merged"`     // lines that a later line of the same address replaced
	Suppressed int64 `json:"suppressed"` // of the recipients, those who stay without this topic's mail
	// RejectedRows counts the records that were left out; Rejected lists the first of them.
	RejectedRows int64       `json:"rejected_rows"`
	Rejected     []Rejection `json:"rejected"`
}

// Rejection is a record that was left out. Its reason quotes no cell.
type Rejection struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}
