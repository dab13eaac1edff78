package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const wall = "2006-01-02T15:04:05"

// soon is a day that is neither past nor too far, whenever the tests run.
func soon() string { return time.Now().UTC().AddDate(0, 2, 0).Format(time.DateOnly) }

// change is the next time, past a week, that a zone's clock is put forward or
// back: the instant, and the wall clock before and after it.
type change struct {
	instant       time.Time
	before, after string
	middle        string // of what is left out, or comes twice
}

func nextChange(tb testing.TB, zone string, forward bool) change {
	tb.Helper()
	location, err := time.LoadLocation(zone)
	must(tb, err)
	start := time.Now().AddDate(0, 0, 7).Truncate(time.Hour)
	for t := start; t.Before(start.AddDate(1, 1, 0)); t = t.Add(30 * time.Minute) {
		_, old := t.Add(-time.Minute).In(location).Zone()
		_, new := t.In(location).Zone()
		if old == new || (new > old) != forward {
			continue
		}
		shift := time.Duration(new-old) * time.Second
		earlier := t.In(time.FixedZone("", old)) // the wall clock if it were not changed
		if !forward {
			earlier, shift = t.In(time.FixedZone("", new)), -shift
		}
		return change{t, t.In(time.FixedZone("", old)).Format(wall), t.In(location).Format(wall), earlier.Add(shift / 2).Format(wall)}
	}
	tb.Fatalf("%s: no change of the clock", zone)
	return change{}
}

func TestInstantsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	path := fmt.Sprint("/api/v1/campaigns/", h.draft.ID, "/schedule")
	day, year := soon(), time.Now().Year()
	type instant struct{ at, zone, field, reason string }
	cases := []instant{
		{"2027-02-30T09:00", "UTC", "at", "such as"}, {"2027-02-29T09:00:00Z", "UTC", "at", "such as"}, {"2027-13-01T09:00", "UTC", "at", "such as"}, {day + "T24:00", "UTC", "at", "such as"},
		{day + "T09:60", "UTC", "at", "such as"}, {day + "T23:59:60Z", "UTC", "at", "such as"}, {day, "UTC", "at", "such as"}, {day + " 09:00", "UTC", "at", "such as"}, {"tomorrow", "UTC", "at", "such as"},
		{"1793527200", "UTC", "at", "such as"}, {"09:00", "UTC", "at", "such as"}, {day + "T09:00:00+25:00", "UTC", "at", "such as"}, {"2027-3-1T9:00", "UTC", "at", "such as"}, {" " + day + "T09:00", "UTC", "at", "such as"},
		{day + "T09:00", "Mars/Base", "time_zone", "IANA"}, {day + "T09:00", "Local", "time_zone", "IANA"}, {day + "T09:00", "../UTC", "time_zone", "IANA"}, {day + "T09:00", "/etc/localtime", "time_zone", "IANA"},
		{"", "Nowhere", "time_zone", "IANA"}, {day + "T09:00", "+01:00", "time_zone", "IANA"},
		{"2020-01-01T00:00:00Z", "UTC", "at", "past"}, {"2020-01-01T00:00", "Europe/Berlin", "at", "past"}, {time.Now().Add(-10 * time.Minute).Format(time.RFC3339), "", "at", "past"}, {"0001-01-01T00:00:00Z", "UTC", "at", "past"},
		{fmt.Sprintf("%d-12-31T00:00:00Z", year+2), "UTC", "at", "two years"}, {"9999-12-31T23:59:59Z", "UTC", "at", "two years"}, {"9999-12-31T23:59", "Europe/Berlin", "at", "two years"},
	}
	// Clocks move by an hour, by half of one (Lord Howe) and by two (Troll).
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"} {
		gap, overlap := nextChange(t, zone, true), nextChange(t, zone, false)
		cases = append(cases, instant{gap.before, zone, "at", "does not exist"}, instant{gap.middle, zone, "at", "does not exist"},
			instant{overlap.after, zone, "at", "happens twice"}, instant{overlap.middle, zone, "at", "happens twice"})
	}
	for _, c := range cases {
		body, err := json.Marshal(map[string]string{"at": c.at, "time_zone": c.zone})
		must(t, err)
		p := h.refused(string(body), call{method: "POST", path: path, body: string(body)}, 422, c.field)
		if len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Reason, c.reason) {
			t.Errorf("%s: %v, want %q", body, p.Errors, c.reason)
		}
	}
}

func TestInstantsThatAreTaken(t *testing.T) {
	t.Parallel()
	h := open(t)
	const berlin = "Europe/Berlin"
	day, gap, overlap := soon(), nextChange(t, berlin, true), nextChange(t, berlin, false)
	type instant struct{ at, zone, want string }
	for _, c := range []instant{
		{gap.after, berlin, gap.instant.UTC().Format(time.RFC3339)}, // the first moment after the gap
		{overlap.middle + "+02:00", berlin, overlap.instant.Add(-30 * time.Minute).UTC().Format(time.RFC3339)},
		{overlap.middle + "+01:00", berlin, overlap.instant.Add(30 * time.Minute).UTC().Format(time.RFC3339)},
		{overlap.before, berlin, overlap.instant.Add(time.Hour).UTC().Format(time.RFC3339)}, // the first that comes once again
		{day + "T09:00", "", day + "T09:00:00Z"}, {day + "T09:00:00", "Asia/Kathmandu", day + "T03:15:00Z"}, {day + "T09:00:00-03:30", "Asia/Tokyo", day + "T12:30:00Z"},
	} {
		body, err := json.Marshal(map[string]string{"at": c.at, "time_zone": c.zone})
		must(t, err)
		got := h.call("POST", fmt.Sprint("/api/v1/campaigns/", h.addDraft().ID, "/schedule"), string(body), 200)
		zone := c.zone
		if zone == "" {
			zone = "UTC"
		}
		if at(got, "send_at") != c.want || at(got, "time_zone") != zone {
			t.Errorf("%s: %s in %s, want %s", body, at(got, "send_at"), at(got, "time_zone"), c.want)
		}
	}
	got := h.call("POST", fmt.Sprint("/api/v1/campaigns/", h.addDraft().ID, "/schedule"), `{}`, 200)
	now, err := time.Parse(time.RFC3339, at(got, "send_at"))
	if err != nil || time.Since(now) > time.Minute || time.Until(now) > 0 {
		t.Errorf("now is %v, %v", got["send_at"], err)
	}
	links, err := h.store.ListLinks(t.Context(), int64(got["id"].(float64)))
	if err != nil || len(links) != 1 {
		t.Errorf("links %v, %v", links, err)
	}
}
