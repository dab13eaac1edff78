package store_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/inventory"
	"posthaste/internal/store"
	"posthaste/internal/testkit"
)

func loadInventory(tb testing.TB) inventory.Inventory {
	tb.Helper()
	all, err := inventory.Load()
	must(tb, err)
	return all
}

// TestEveryColumnIsInTheInventory fails for a new column, and for one that is gone.
func TestEveryColumnIsInTheInventory(t *testing.T) {
	t.Parallel()
	all := loadInventory(t)
	onBothAt(t, func(t *testing.T, _ *store.Store, url string) {
		schema := testkit.Columns(t, testkit.RawSQL(t, url))
		for table, columns := range schema {
			slices.Sort(columns)
			if known := all.Tables[table].Columns(); !slices.Equal(known, columns) {
				t.Errorf("%s has %v; the inventory has %v", table, columns, known)
			}
		}
		for table, item := range all.Tables {
			if schema[table] == nil {
				t.Errorf("the inventory has a table %s, which there is not", table)
			}
			if item.Purpose == "" || item.Basis == "" || len(item.Readers) == 0 || item.Erased == "" {
				t.Errorf("%s lacks purpose, basis, readers or what an erasure does", table)
			}
			if len(item.Personal) > 0 && item.Keep == nil && !slices.Contains(keptWithTheirOwner, table) {
				t.Errorf("%s holds data about people and does not say for how long", table)
			}
		}
	})
}

// keptWithTheirOwner are the tables whose rows are kept as long as the recipient
// is, as long as the address must stay silent, until their notices are final, or
// for a minute.
var keptWithTheirOwner = []string{"recipients", "consent_states", "suppressions", "notice_files", "hit_moments"}

// TestExportHasAllOfTheInventory reads every personal value of the one person in
// the database and looks for it in the export.
func TestExportHasAllOfTheInventory(t *testing.T) {
	t.Parallel()
	all := loadInventory(t)
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		id, _ := marked(t, s, url)
		out, err := s.Export(t.Context(), id, nil)
		must(t, err)
		text, err := json.Marshal(out)
		must(t, err)
		var tree any
		must(t, json.Unmarshal(text, &tree))
		exported := strings.Join(leaves(tree), "\n")
		db := testkit.RawSQL(t, url)
		looked := 0
		for table, item := range all.Tables {
			where := ""
			if table == "audit" {
				where = fmt.Sprintf(" WHERE object = 'recipient/%d'", id)
			}
			for _, column := range item.Exported() {
				for _, value := range distinct(t, db, "SELECT DISTINCT CAST("+column+" AS TEXT) FROM "+table+where) {
					for _, leaf := range valuesOf(value) {
						looked++
						if !strings.Contains(exported, leaf) {
							t.Errorf("%s.%s has %q, which the export has not", table, column, leaf)
						}
					}
				}
			}
		}
		if looked < 40 {
			t.Errorf("only %d values were looked for", looked)
		}
	})
}

// distinct gives the texts of a query of one column.
func distinct(tb testing.TB, db *sql.DB, query string) (values []string) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query)
	must(tb, err)
	defer rows.Close()
	for rows.Next() {
		var value string
		must(tb, rows.Scan(&value))
		values = append(values, value)
	}
	must(tb, rows.Err())
	return values
}

// valuesOf gives the texts of a value, also of one that is JSON; what says
// nothing is left out.
func valuesOf(value string) []string {
	var tree any
	if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
		if json.Unmarshal([]byte(value), &tree) == nil {
			var texts []string
			for _, leaf := range leaves(tree) {
				if _, number := any(leaf).(float64); !number && leaf != "" {
					texts = append(texts, leaf)
				}
			}
			return texts
		}
	}
	if value == "" || value == "0" || value == "{}" {
		return nil
	}
	return []string{value}
}

// leaves gives all texts and numbers of a tree of JSON.
func leaves(tree any) (texts []string) {
	switch node := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			texts = append(texts, leaves(node[key])...)
		}
	case []any:
		for _, item := range node {
			texts = append(texts, leaves(item)...)
		}
	case string:
		texts = append(texts, node)
	}
	return texts
}

// TestEveryRuleOfRetentionIsCarriedOut has something old of every kind, and
// something new of it that must stay.
func TestEveryRuleOfRetentionIsCarriedOut(t *testing.T) {
	t.Parallel()
	rules, err := loadInventory(t).Rules()
	must(t, err)
	if days := time.Duration(rules["hits"]) * 24 * time.Hour; days != posthaste.HitsKept {
		t.Errorf("the inventory keeps hits for %s, the recorder for %s", days, posthaste.HitsKept)
	}
	onBothAt(t, func(t *testing.T, s *store.Store, url string) {
		id, topic := marked(t, s, url)
		seal(t, s)
		for rule := range rules {
			if n, err := s.Forget(t.Context(), rule, time.Now().Add(-time.Hour)); err != nil || n != 0 {
				t.Errorf("%s: %d of what is new, %v", rule, n, err)
			}
		}
		optOut(t, s, id, topic.ID)
		must(t, s.RecordConsents(t.Context(), []posthaste.Consent{{RecipientID: id, Purpose: posthaste.ForOpens, Decision: posthaste.Withdrawn, Channel: posthaste.ByPreferences}}))
		must(t, s.EndRequest(t.Context(), 1))
		must(t, s.WithdrawRequest(t.Context(), 2))
		must(t, s.AddUsage(t.Context(), nil, time.Now()))
		tamper(t, testkit.RawSQL(t, url), "UPDATE notices SET state = 'accepted'", "UPDATE notice_calls SET forgotten = 1", "UPDATE webhook_messages SET state = 'dead'",
			"INSERT INTO api_usage (key_id, day, scope, requests, refused, failed, notices) VALUES (1, '2020-01-01', 's', 1, 0, 0, 0)")
		f, err := s.FindForm(t.Context(), "news")
		must(t, err)
		signUp(t, s, f, "stranger@example.com", "", topic)
		for _, rule := range slices.Sorted(maps.Keys(rules)) {
			if n, err := s.Forget(t.Context(), rule, time.Now().Add(24*time.Hour)); err != nil || n == 0 {
				t.Errorf("%s: %d of what is old, %v", rule, n, err)
			}
		}
		if left := slices.DeleteFunc(grep(t, url, "marker"), func(found string) bool {
			return strings.HasPrefix(found, "audit.") || strings.HasPrefix(found, "recipients.") || strings.HasPrefix(found, "suppressions.") || strings.HasPrefix(found, "notices.data") ||
				strings.HasPrefix(found, "notice_calls.data") || strings.HasPrefix(found, "notice_files.")
		}); len(left) > 0 {
			t.Errorf("left of a person of long ago: %v", left)
		}
		if h, err := s.CountHits(t.Context(), 1); err != nil || h.Opened != 1 {
			t.Errorf("the counts changed: %+v %v", h, err)
		}
		if c := counts(t, s, 1); c.Accepted != 1 {
			t.Errorf("the ledger changed: %+v", c)
		}
		if allowed(t, s, topic, id) {
			t.Error("whoever withdrew may be mailed again, now that the proof is gone")
		}
		seal(t, s)
		if r := verify(t, s, headOf(t, s)); len(r.Faults) > 0 {
			t.Errorf("the audit log does not verify after old entries were removed: %v", r.Faults)
		}
		_, err = s.Forget(t.Context(), "nonsense", time.Now())
		wantKind(t, err, posthaste.Invalid)
	})
}
