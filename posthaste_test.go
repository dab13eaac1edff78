package posthaste_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"posthaste"
)

// edges are every step that may be taken; docs/states.md draws the same.
var campaignEdges = "draft>scheduled draft>cancelled scheduled>draft scheduled>sending scheduled>cancelled " +
	"sending>paused sending>sent sending>cancelled paused>sending paused>cancelled sent>sending"

var deliveryEdges = "queued>claimed queued>suppressed queued>cancelled queued>failed " +
	"claimed>queued claimed>accepted claimed>deferred claimed>bounced claimed>failed claimed>suppressed claimed>uncertain claimed>cancelled " +
	"deferred>queued deferred>cancelled deferred>failed uncertain>queued uncertain>accepted uncertain>failed"

func TestCampaignStatesOverAllPairs(t *testing.T) {
	t.Parallel()
	allPairs(t, "Campaign", posthaste.CampaignStates, campaignEdges)
}

func TestDeliveryStatesOverAllPairs(t *testing.T) {
	t.Parallel()
	allPairs(t, "Delivery", posthaste.DeliveryStates, deliveryEdges)
	for state, final := range map[posthaste.DeliveryState]bool{posthaste.Accepted: true, posthaste.Cancelled: true, posthaste.Uncertain: false, posthaste.Queued: false} {
		if state.Final() != final {
			t.Errorf("%s: final %v", state, state.Final())
		}
	}
}

var noticeEdges = "queued>claimed queued>expired claimed>queued claimed>accepted claimed>deferred claimed>bounced claimed>failed claimed>suppressed " +
	"claimed>expired deferred>queued deferred>expired"

func TestNoticeStatesOverAllPairs(t *testing.T) {
	t.Parallel()
	allPairs(t, "Notice", posthaste.NoticeStates, noticeEdges)
	for _, state := range posthaste.NoticeStates {
		leaves := slices.ContainsFunc(posthaste.NoticeStates, state.CanBecome)
		if state.Final() == leaves {
			t.Errorf("%s: final %v, and can become another: %v", state, state.Final(), leaves)
		}
	}
}

func allPairs[S interface {
	~string
	CanBecome(S) bool
}](t *testing.T, section string, states []S, edges string) {
	t.Helper()
	allowed := map[string]bool{}
	for _, e := range strings.Fields(edges) {
		allowed[e] = true
	}
	drawn, err := os.ReadFile("docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(drawn), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/states.md has no section %s", section)
	}
	diagram, _, _ := strings.Cut(after, "\n## ")
	for _, from := range states {
		for _, to := range states {
			edge := fmt.Sprintf("%s>%s", from, to)
			if from.CanBecome(to) != allowed[edge] {
				t.Errorf("%s: CanBecome is %v", edge, from.CanBecome(to))
			}
			if arrow := fmt.Sprintf("%s --> %s\n", from, to); allowed[edge] != strings.Contains(diagram, arrow) {
				t.Errorf("docs/states.md draws %q: %v", arrow, !allowed[edge])
			}
		}
	}
}

func TestCutKeepsThreeParts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.77":               "192.0.2.0/24",
		"::ffff:192.0.2.77":        "192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1::/48",
		"fe80::1%eth0":             "fe80::/48",
		"2002:c000:24d:1::1":       "2002:c000:200::/40", // 6to4 of 192.0.2.77
		"64:ff9b::c000:24d":        "192.0.2.0/24",       // NAT64 of 192.0.2.77
		"2001:0:1:2:3:4:3fff:fdb2": "192.0.2.0/24",       // Teredo of 192.0.2.77
	} {
		got := posthaste.Cut(netip.MustParseAddr(in))
		if got.String() != want {
			t.Errorf("Cut(%s) = %q, want %q", in, got, want)
		}
		if again := posthaste.ParseNetwork(got.String()); again != got {
			t.Errorf("ParseNetwork(%q) = %q", got, again)
		}
	}
	if got := posthaste.Cut(netip.Addr{}); got != (posthaste.Network{}) || got.String() != "" {
		t.Errorf("no address gave %q", got)
	}
	if got := posthaste.ParseNetwork("192.0.2.77/32").String(); got != "192.0.2.0/24" {
		t.Errorf("a longer prefix was kept: %s", got)
	}
}

func FuzzCutNeverKeepsAWholeAddress(f *testing.F) {
	f.Add("192.0.2.77")
	f.Add("2002:c000:24d::1")
	f.Fuzz(func(t *testing.T, text string) {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return
		}
		prefix, err := netip.ParsePrefix(posthaste.Cut(addr).String())
		if err != nil {
			return
		}
		if prefix.Addr().Is4() && prefix.Bits() != 24 || prefix.Addr().Is6() && prefix.Bits() > 48 || prefix.Masked() != prefix {
			t.Errorf("%q became %s", text, prefix)
		}
	})
}

func TestErrorsAreFoundByKindThroughWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := fmt.Errorf("do it: %w", &posthaste.Error{Kind: posthaste.Conflict, Message: "no", Err: cause})
	if !errors.Is(err, posthaste.Conflict) || errors.Is(err, posthaste.NotFound) || !errors.Is(err, cause) {
		t.Errorf("kinds of %v", err)
	}
	if posthaste.RefuseAll(nil) != nil || len(posthaste.FieldsOf(posthaste.Refuse("a", "b"))) != 1 {
		t.Error("fields")
	}
}

func TestCountsAddUpOnlyWhenEveryColumnCounts(t *testing.T) {
	t.Parallel()
	var c posthaste.Counts
	for i, state := range posthaste.DeliveryStates {
		*c.Column(state) += int64(i + 1)
		c.Audience += int64(i + 1)
	}
	if !c.AddsUp() || c.Open() != 1+2+4 {
		t.Errorf("%+v", c)
	}
	for _, state := range posthaste.DeliveryStates {
		broken := c
		*broken.Column(state)++
		if broken.AddsUp() {
			t.Errorf("%s is not part of the sum", state)
		}
	}
}

func TestSuppressionsOfTheRecipientsOwnWillAreNotLiftable(t *testing.T) {
	t.Parallel()
	for reason, want := range map[posthaste.Reason]bool{posthaste.OptedOut: false, posthaste.Complaint: false, posthaste.HardBounce: true, posthaste.Manual: true} {
		if reason.Liftable() != want {
			t.Errorf("%s: %v", reason, !want)
		}
	}
}
