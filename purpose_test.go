package posthaste_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readers says which files alone may name what. Opens and clicks are for
// counting, and to be shown to the person themselves; nothing sends, chooses or
// writes by them.
var readers = []struct {
	what  string
	names *regexp.Regexp
	files []string
}{
	{"the tables of opens and clicks", regexp.MustCompile(`\b(FROM|JOIN|INTO|UPDATE|TABLE)\s+(hits|hit_moments|hit_counts)\b`),
		[]string{"internal/store/hits.go", "internal/store/hit_counts.go", "internal/store/hit_fold.go", "internal/store/hit_judge.go", "internal/store/hit_write.go",
			"internal/store/reports.go", "internal/store/erase.go", "internal/store/export.go"}},
	{"opens and clicks", regexp.MustCompile(`\b(CountHits|RecordHits|JudgeAgain|FindReport|ListDomains|ListTopicReports|posthaste\.Hits?|PublishHits|ConsumeHits)\b`),
		[]string{"internal/store/hits.go", "internal/store/hit_counts.go", "internal/store/hit_judge.go", "internal/store/hit_write.go", "internal/store/reports.go",
			"internal/bus/hits.go", "tracker/", "internal/api/campaigns.go", "internal/api/reports.go", "internal/api/store.go",
			"console/campaigns.go", "console/reports.go", "console/store.go", "console/view.go", "cmd/posthaste/beacons.go", "cmd/posthaste/demo_readers.go"}},
	{"the ledger of consents", regexp.MustCompile(`\b(FROM|JOIN|INTO|UPDATE)\s+(consents|consent_states)\b`),
		[]string{"internal/store/"}},
}

// TestDataAreReadForTheirPurpose keeps what the inventory says of readers, where
// it matters most.
func TestDataAreReadForTheirPurpose(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, r := range readers {
			if !r.names.Match(source) {
				continue
			}
			seen[r.what] = true
			if !slices.ContainsFunc(r.files, func(file string) bool {
				return path == file || strings.HasSuffix(file, "/") && strings.HasPrefix(path, file)
			}) {
				t.Errorf("%s names %s, which only %v may", path, r.what, r.files)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		if !seen[r.what] {
			t.Errorf("nobody names %s, so that this test proves nothing", r.what)
		}
	}
}
