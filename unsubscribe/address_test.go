package unsubscribe_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"posthaste"
	"posthaste/internal/address"
)

// correction has customer service ask for another address of a person, and gives the link.
func (h *house) correction(person int, to string) string {
	h.tb.Helper()
	_, sent, err := h.ask(person, posthaste.Request{Kind: posthaste.CorrectionRequest, Channel: posthaste.ByDesk, NewAddress: to})
	must(h.tb, err)
	if !sent {
		h.tb.Fatal("no link was sent")
	}
	return h.sent[len(h.sent)-1].link(h.tb)
}

func (h *house) ask(person int, q posthaste.Request) (posthaste.Request, bool, error) {
	h.tb.Helper()
	addr, err := address.Parse(email(person))
	must(h.tb, err)
	return h.service.Request(h.tb.Context(), addr, "de", q)
}

// wantAddress wants a person at an address.
func (h *house) wantAddress(person int, want string) {
	h.tb.Helper()
	if r, err := h.store.FindRecipient(h.tb.Context(), h.people[person].ID); err != nil || r.Email != want {
		h.tb.Errorf("person %d is at %q, want %q: %v", person, r.Email, want, err)
	}
}

func TestAnAddressIsCorrectedOnceItsMailboxConfirms(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(t *testing.T, h *house) {
		link := h.correction(0, "Ada@example.org")
		if m := h.sent[0]; m.email != "Ada@example.org" || m.noticeType != posthaste.DataNotice || !strings.Contains(m.Subject, "neue Adresse") || strings.Contains(m.Text+m.HTML, email(0)) {
			t.Errorf("mail %+v", m)
		}
		before := h.dump()
		for range 20 { // scanners
			page := h.do(http.MethodGet, link, "", "").wantStatus(t, 200)
			h.do(http.MethodHead, link, "", "").wantStatus(t, 200)
			for _, want := range []string{"A…@example.org", "r…@example.com", `name="correct"`} {
				if !strings.Contains(page.body, want) {
					t.Errorf("the page lacks %q: %s", want, page.body)
				}
			}
			if strings.Contains(page.body, email(0)) || strings.Contains(page.body, "Ada@") || page.header.Get("Cache-Control") != "no-store" || page.header.Get("Referrer-Policy") != "no-referrer" ||
				page.header.Get("X-Robots-Tag") != h.do(http.MethodGet, "/p/"+h.preferencesToken(0), "", "").header.Get("X-Robots-Tag") {
				t.Errorf("headers %v, page %s", page.header, page.body)
			}
		}
		for _, body := range []string{"correct=perhaps", "confirm=yes", "show=yes", "erase=yes", "download=json", ""} {
			if got := h.do(http.MethodPost, link, form, body).wantStatus(t, 200).body; strings.Contains(got, "Weekly") || strings.Contains(got, email(0)) {
				t.Errorf("%s shows data: %s", body, got)
			}
		}
		h.wantUnchanged(before)
		done := h.do(http.MethodPost, link, form, "correct=yes").wantStatus(t, 200)
		h.wantAddress(0, "Ada@example.org")
		h.wantAllowed(0, 0, true)
		after := h.dump()
		for _, again := range []answer{h.do(http.MethodPost, link, form, "correct=yes"), h.do(http.MethodGet, link, "", "")} {
			if again.wantStatus(t, 200).body != done.body || strings.Contains(again.body, "<form") || strings.Contains(again.body, "@example") {
				t.Errorf("again: %s", again.body)
			}
		}
		h.wantUnchanged(after)
		if len(h.sent) != 1 {
			t.Errorf("sent %+v", h.sent)
		}
	})
}

// Who opted out is silent under the new address, and so is whoever brings the old one in.
func TestOptOutsGoWithTheAddress(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(t *testing.T, h *house) {
		h.post(h.oneClickToken(0, 0)).wantStatus(t, 200)
		h.do(http.MethodPost, h.correction(0, "ada@example.org"), form, "correct=yes").wantStatus(t, 200)
		h.wantAddress(0, "ada@example.org")
		h.wantAllowed(0, 0, false)
		h.wantAllowed(0, 1, true)
		_, err := h.store.Import(t.Context(), posthaste.Import{TopicID: h.topics[0].ID, Evidence: posthaste.Evidence{Source: "form", Wording: "yes"}}, rows(1))
		must(t, err)
		back, err := h.store.FindRecipientByAddress(t.Context(), email(0))
		must(t, err)
		h.people = append(h.people, back)
		h.wantAllowed(1, 0, false)
		h.post(h.oneClickToken(0, 1)).wantStatus(t, 200) // by a mail that went to the old address
		h.wantAllowed(0, 1, false)
	})
}

// The mailbox before shows and deletes nothing any more, and signs nobody up.
func TestTheMailboxBeforeHasNoPower(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(t *testing.T, h *house) {
		h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "data=send").wantStatus(t, 200)
		h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "erase=send").wantStatus(t, 200)
		h.signUp(url.Values{"email": {email(0)}, h.field(0): {"yes"}}).wantStatus(t, 200)
		h.do(http.MethodPost, h.sent[0].link(t), form, "show=yes").wantStatus(t, 200) // which ends the first
		h.do(http.MethodPost, h.correction(0, "ada@example.org"), form, "correct=yes").wantStatus(t, 200)
		for _, m := range h.sent[:3] {
			for _, body := range []string{"show=yes", "download=json", "erase=yes", "confirm=yes"} {
				h.do(http.MethodPost, m.link(t), form, body).wantStatus(t, http.StatusGone)
			}
			h.do(http.MethodGet, m.link(t), "", "").wantStatus(t, http.StatusGone)
		}
		h.wantAddress(0, "ada@example.org")
	})
}

func TestCorrectionsThatCannotBe(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(t *testing.T, h *house) {
		if _, _, err := h.ask(0, posthaste.Request{Kind: posthaste.CorrectionRequest, NewAddress: email(1)}); !errors.Is(err, posthaste.Conflict) || len(h.sent) > 0 {
			t.Errorf("of another person: %v, sent %+v", err, h.sent)
		}
		link := h.correction(0, "ada@example.org")
		r, _, err := h.store.PutRecipient(t.Context(), posthaste.Recipient{Email: "ada@example.org"}, "ada@example.org") // meanwhile
		must(t, err)
		before := h.dump()
		for range 2 {
			taken := h.do(http.MethodPost, link, form, "correct=yes").wantStatus(t, http.StatusConflict)
			if strings.Contains(taken.body, "<form") || !strings.Contains(taken.body, "in use") || strings.Contains(taken.body, "@example") {
				t.Errorf("page %s", taken.body)
			}
		}
		h.wantUnchanged(before)
		h.do(http.MethodGet, link, "", "").wantStatus(t, 200) // it may be free again
		_, err = h.service.Erase(t.Context(), r, 0)
		must(t, err)
		_, err = h.service.Erase(t.Context(), h.people[0], 0)
		must(t, err)
		h.do(http.MethodGet, link, "", "").wantStatus(t, http.StatusGone)
		h.do(http.MethodPost, link, form, "correct=yes").wantStatus(t, http.StatusGone)

		link = h.correction(1, "bea@example.org")
		_, err = h.store.ExpireRequests(t.Context(), time.Now().Add(posthaste.LinkKept))
		must(t, err)
		h.do(http.MethodGet, link, "", "").wantStatus(t, http.StatusGone)
		h.do(http.MethodPost, link, form, "correct=yes").wantStatus(t, http.StatusGone)
		h.wantAddress(1, email(1))
	})
}

// What could not be sent does not count as one of those that may be sent in a day.
func TestWhatCouldNotBeSentDoesNotCount(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(t *testing.T, h *house) {
		h.lost = errors.New("the broker is away")
		for range 6 {
			q, sent, err := h.ask(0, posthaste.Request{Kind: posthaste.CorrectionRequest, NewAddress: "ada@example.org"})
			if !errors.Is(err, h.lost) || sent {
				t.Errorf("sent %t: %v", sent, err)
			}
			if q, err = h.store.FindRequest(t.Context(), q.ID); err != nil || q.State != posthaste.RequestWithdrawn || q.NewAddress != "" {
				t.Errorf("%+v %v", q, err)
			}
			h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "data=send").wantStatus(t, 500)
			h.signUp(url.Values{"email": {"bea@example.org"}, h.field(0): {"yes"}}).wantStatus(t, 500)
		}
		for _, address := range []string{"ada@example.org", "bea@example.org"} {
			if _, err := h.store.FindRecipientByAddress(t.Context(), address); !errors.Is(err, posthaste.NotFound) {
				t.Errorf("%s is known, although nothing was sent there: %v", address, err)
			}
		}
		h.lost = nil
		h.correction(0, "ada@example.org")
		h.do(http.MethodPost, "/p/"+h.preferencesToken(0), form, "data=send").wantStatus(t, 200)
		h.signUp(url.Values{"email": {"bea@example.org"}, h.field(0): {"yes"}}).wantStatus(t, 200)
		if len(h.sent) != 3 {
			t.Errorf("sent %+v", h.sent)
		}
	})
}
