package unsubscribe_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"posthaste"
	"posthaste/internal/token"
)

// choose sends the form of the preference centre with these boxes ticked.
func (h *house) choose(person int, boxes ...string) answer {
	h.tb.Helper()
	pairs := []string{"save", "yes"}
	for _, b := range boxes {
		pairs = append(pairs, b, "yes")
	}
	return h.do(http.MethodPost, "/p/"+h.preferencesToken(person), form, values(pairs...)).wantStatus(h.tb, http.StatusOK)
}

func (h *house) box(topic int) string { return "topic-" + string(rune('0'+h.topics[topic].ID)) }

// holds is what the database says, in the words of the boxes.
func (h *house) holds(person int) []string {
	h.tb.Helper()
	p, err := h.store.FindPreferences(h.tb.Context(), h.people[person].ID)
	must(h.tb, err)
	var boxes []string
	for i, topic := range h.topics {
		if slices.Contains(p.Topics, topic.ID) {
			boxes = append(boxes, h.box(i))
		}
	}
	if p.Opens {
		boxes = append(boxes, "opens")
	}
	if p.Clicks {
		boxes = append(boxes, "clicks")
	}
	if p.StopAll {
		boxes = append(boxes, "stop")
	}
	return boxes
}

func (h *house) wantHolds(person int, want ...string) {
	h.tb.Helper()
	if got := h.holds(person); !slices.Equal(got, want) {
		h.tb.Errorf("holds %v, want %v", got, want)
	}
}

func TestEachBoxAlone(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 2, nil)
	h.wantHolds(0, h.box(0), h.box(1))
	for _, box := range []string{h.box(0), h.box(1), "opens", "clicks"} {
		page := h.choose(0, box)
		h.wantHolds(0, box)
		if !strings.Contains(page.body, "Your choices are saved") || strings.Count(page.body, " checked") != 1 {
			t.Errorf("%s: the page does not show it: %s", box, page.body)
		}
	}
	h.choose(0)
	h.wantHolds(0)
	h.choose(0, h.box(0), h.box(1), "opens", "clicks")
	h.wantHolds(0, h.box(0), h.box(1), "opens", "clicks")
	h.wantAllowed(0, 0, true) // the opt-outs of before are taken back
	h.wantAllowed(0, 1, true)
	h.wantHolds(1, h.box(0), h.box(1)) // nobody else is touched
}

func TestChoicesStandInTheLedgerWithTheirWording(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 1, nil)
	h.choose(0, h.box(0), "opens", "clicks")
	h.choose(0, h.box(0), "opens", "clicks") // changes nothing
	h.choose(0, h.box(0), h.box(1), "clicks")
	ledger, err := h.store.ListConsents(t.Context(), h.people[0].ID)
	must(t, err)
	type entry struct {
		purpose  posthaste.Purpose
		topic    int64
		decision posthaste.Decision
		wording  string
	}
	var got []entry
	for _, c := range ledger[2:] { // after the imports
		got = append(got, entry{c.Purpose, c.TopicID, c.Decision, c.Wording})
		if c.Channel != posthaste.ByPreferences || c.Network.String() != "127.0.0.0/24" || c.Actor != "" || c.At.IsZero() {
			t.Errorf("entry %+v", c)
		}
		if c.Decision == posthaste.Given && c.Source != "preference centre" {
			t.Errorf("source %q", c.Source)
		}
	}
	const opens, clicks = "I allow the sender to record whether and when I open its mails.", "I allow the sender to record which links in its mails I follow, and when."
	const offers = "I would like to receive “Offers” by email."
	want := []entry{
		{posthaste.ForTopic, h.topics[1].ID, posthaste.Withdrawn, ""},
		{posthaste.ForOpens, 0, posthaste.Given, opens}, {posthaste.ForClicks, 0, posthaste.Given, clicks},
		{posthaste.ForTopic, h.topics[1].ID, posthaste.Given, offers}, {posthaste.ForOpens, 0, posthaste.Withdrawn, opens},
	}
	if !slices.Equal(got, want) {
		t.Errorf("ledger\n%v, want\n%v", got, want)
	}
	page := h.do(http.MethodGet, "/p/"+h.preferencesToken(0), "", "").body
	for _, wording := range []string{opens, clicks, "“The Weekly &amp; More”", offers} {
		if !strings.Contains(page, wording) {
			t.Errorf("the page does not say %q, which the ledger holds", wording)
		}
	}
}

func TestStopAllAndSaveAfterIt(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 2, nil)
	h.choose(0, h.box(0), h.box(1), "opens")
	stop := func() answer {
		return h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "stop=all&save=yes&"+h.box(0)+"=yes").wantStatus(t, http.StatusOK)
	}
	page := stop()
	h.wantAllowed(0, 0, false)
	h.wantAllowed(0, 1, false)
	h.wantAllowed(1, 0, true)
	if !strings.Contains(page.body, "All mail is stopped") || strings.Contains(page.body, "Stop all mail") {
		t.Errorf("the page does not say so: %s", page.body)
	}
	if strings.Contains(page.body, `name="`+h.box(0)+`" value="yes" checked`) {
		t.Error("a topic stands ticked, so that saving another choice would bring all mail back")
	}
	stop() // once more
	h.choose(0, "clicks")
	h.wantAllowed(0, 0, false)
	h.wantHolds(0, "clicks", "stop")
	h.choose(0, h.box(1)) // to choose a topic is to want mail again
	h.wantHolds(0, h.box(1))
	h.wantAllowed(0, 1, true)
	h.wantAllowed(0, 0, false)
}

func TestOnlyItsButtonsChangeAnything(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 1, nil)
	path := "/p/" + h.preferencesToken(0)
	for _, body := range []string{"", "opens=yes", "stop=", "stop=yes", "stop=ALL", oneClick, "confirm=yes"} {
		h.do(http.MethodPost, path, form, body).wantStatus(t, http.StatusOK)
		h.wantHolds(0, h.box(0), h.box(1))
	}
	h.do(http.MethodPost, path+"?stop=all&save=yes", form, "").wantStatus(t, http.StatusOK)
	h.do(http.MethodPost, path, "application/json", `{"stop":"all"}`).wantStatus(t, http.StatusOK)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete} {
		h.do(method, path+"?stop=all", form, "stop=all")
	}
	h.wantHolds(0, h.box(0), h.box(1))
	if a := h.do(http.MethodHead, path, "", "").wantStatus(t, http.StatusOK); a.body != "" {
		t.Errorf("HEAD has a body: %q", a.body)
	}
	h.choose(0, "topic-99999", "topic-x", h.box(0), h.box(1)) // of topics that do not exist
	h.wantHolds(0, h.box(0), h.box(1))
	kind, body := multipartBody(t, "", "save", "yes", "opens", "yes")
	h.do(http.MethodPost, path, kind, body).wantStatus(t, http.StatusOK)
	h.wantHolds(0, "opens")
}

func TestTokensOfTheTwoPagesDoNotOpenEachOther(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 1, nil)
	h.post(h.preferencesToken(0)).wantStatus(t, http.StatusNotFound)
	h.do(http.MethodGet, "/u/"+h.preferencesToken(0), "", "").wantStatus(t, http.StatusNotFound)
	h.do(http.MethodGet, "/p/"+h.oneClickToken(0, 0), "", "").wantStatus(t, http.StatusNotFound)
	h.do(http.MethodPost, "/p/"+h.oneClickToken(0, 0), form, "save=yes").wantStatus(t, http.StatusNotFound)
	h.wantHolds(0, h.box(0), h.box(1))
}

func TestThePreferencePageMasksTheAddress(t *testing.T) {
	t.Parallel()
	h := openHouse(t, 1, nil)
	page := h.do(http.MethodGet, "/p/"+h.preferencesToken(0), "", "").wantStatus(t, http.StatusOK).body
	if strings.Contains(page, email(0)) || !strings.Contains(page, "r…@example.com") {
		t.Errorf("the page shows %s", page)
	}
	gone := h.keys.Seal(token.Preferences, token.Claims{RecipientID: 999_999})
	want := h.do(http.MethodGet, "/p/nonsense", "", "").wantStatus(t, http.StatusNotFound)
	for _, body := range []string{"save=yes", ""} {
		if a := h.do(http.MethodPost, "/p/"+gone, form, body).wantStatus(t, http.StatusNotFound); a.body != want.body {
			t.Errorf("an erased recipient's page is %s", a.body)
		}
	}
}
