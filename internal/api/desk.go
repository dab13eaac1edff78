package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/web"
)

type requestView struct {
	ID        int64                  `json:"id"`
	Kind      posthaste.RequestKind  `json:"kind"`
	Recipient int64                  `json:"recipient,omitempty"` // none once erased
	Channel   posthaste.Channel      `json:"channel"`
	Actor     string                 `json:"actor,omitempty"` // the agent; none: the person
	Reason    string                 `json:"reason,omitempty"`
	State     posthaste.RequestState `json:"state"`
	CreatedAt time.Time              `json:"created_at"`
	DueAt     time.Time              `json:"due_at"`
	EndedAt   *time.Time             `json:"ended_at"`
	Receipt   *posthaste.Receipt     `json:"receipt,omitempty"`
}

func viewRequest(q posthaste.Request) requestView {
	v := requestView{q.ID, q.Kind, q.RecipientID, q.Channel, q.Actor, q.Reason, q.State, q.CreatedAt, q.DueAt, orNull(q.EndedAt), nil}
	if !q.Receipt.At.IsZero() {
		v.Receipt = &q.Receipt
	}
	return v
}

// kindOptOut is what a desk takes in beside the kinds of requests: it takes
// effect at once.
const kindOptOut = "opt_out"

// addDeskRequest takes in what somebody said on the telephone, in a letter or at
// a counter: with the same effect and speed as their own click.
func (a *API) addDeskRequest(c echo.Context) error {
	var in struct {
		Kind     string `json:"kind"`
		Email    string `json:"email"`
		NewEmail string `json:"new_email"`
		Scope    string `json:"scope"`
		Reason   string `json:"reason"`
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	f.oneOf("kind", in.Kind, kindOptOut, string(posthaste.AccessRequest), string(posthaste.ErasureRequest), string(posthaste.CorrectionRequest))
	addr, bad := address.Parse(in.Email)
	f = append(f, posthaste.FieldsAs(bad, "email")...)
	to := f.newAddress(in.Kind, in.NewEmail)
	f.line("reason", in.Reason, true, reasonLimit)
	if in.Kind != kindOptOut && in.Scope != "" {
		f.add("scope", "goes with the kind opt_out only")
	}
	topicID, key, err := a.scope(c, in.Scope)
	if err != nil && posthaste.FieldsOf(err) == nil {
		return err // no topic is not every topic
	}
	f = append(f, posthaste.FieldsOf(err)...)
	if err := f.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if in.Kind == kindOptOut {
		x, err := a.suppressAddress(c, addr, posthaste.ByDesk, posthaste.Suppression{TopicID: topicID, Reason: posthaste.OptedOut, Evidence: in.Reason, Actor: web.OriginOf(c).Actor})
		if err != nil {
			return err
		}
		return c.JSON(http.StatusCreated, map[string]any{"kind": kindOptOut, "suppression": viewSuppression(x, map[int64]string{topicID: key})})
	}
	locale, err := a.asker(c, addr, to)
	if err != nil {
		return err
	}
	q, sent, err := a.privacy.Request(ctx, addr, locale, posthaste.Request{Kind: posthaste.RequestKind(in.Kind), Channel: posthaste.ByDesk, Actor: web.OriginOf(c).Actor,
		Reason: in.Reason, NewAddress: to})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"kind": in.Kind, "request": viewRequest(q), "link_sent": sent})
}

func (a *API) listDeskRequests(c echo.Context) error {
	before, limit, err := page(c, "state")
	if err != nil {
		return err
	}
	var f faults
	state := stateOf(&f, c, posthaste.RequestStates)
	if err := f.err(); err != nil {
		return err
	}
	if err := a.noteRead(c, "request.list", "requests"); err != nil {
		return err
	}
	found, err := a.store.ListRequests(c.Request().Context(), state, before, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, viewRequest, func(q posthaste.Request) int64 { return q.ID }))
}

// withReason refuses what must not be done without one: it names the header.
func withReason(c echo.Context) error {
	if web.OriginOf(c).Reason == "" {
		return posthaste.Refuse(reasonHeader, "must say why: a ticket, or the law that demands it")
	}
	return nil
}

// exportRecipient gives all that is held about one person.
func (a *API) exportRecipient(c echo.Context) error {
	if err := withReason(c); err != nil {
		return err
	}
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	out, err := a.privacy.Export(c.Request().Context(), r.ID)
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "recipient.export", recipientObject(r)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// eraseRecipient deletes all that is held about one person.
func (a *API) eraseRecipient(c echo.Context) error {
	if err := withReason(c); err != nil {
		return err
	}
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	receipt, err := a.privacy.Erase(c.Request().Context(), r, 0)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, receipt)
}

type whyView struct {
	Answer       string            `json:"answer"`
	Recipient    recipientView     `json:"recipient"`
	Campaign     *whyCampaign      `json:"campaign,omitempty"`
	Consents     []consentView     `json:"consents,omitempty"`
	Suppressions []suppressionView `json:"suppressions"`
	Delivery     *deliveryView     `json:"delivery,omitempty"`
	Notice       *noticeView       `json:"notice,omitempty"`
}

type whyCampaign struct {
	ID       int64                   `json:"id"`
	Name     string                  `json:"name"`
	Topic    string                  `json:"topic,omitempty"`
	State    posthaste.CampaignState `json:"state"`
	FrozenAt *time.Time              `json:"frozen_at"` // when its audience was fixed
}

// why tells why a recipient got a mail of a campaign or a notice, or did not.
func (a *API) why(c echo.Context) error {
	var f faults
	of := map[string]int64{}
	for name := range c.QueryParams() {
		f.oneOf(name, name, "campaign", "notice")
		n, err := strconv.ParseInt(c.QueryParam(name), 10, 64)
		if err != nil || n < 1 {
			f.add(name, "must be an id")
		}
		of[name] = n
	}
	if len(of) != 1 {
		f.add("campaign", "or notice must be given, and one of them only")
	}
	if err := f.err(); err != nil {
		return err
	}
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "recipient.why", recipientObject(r)); err != nil {
		return err
	}
	if of["notice"] != 0 {
		return a.whyNotice(c, r, of["notice"])
	}
	return a.whyCampaign(c, r, of["campaign"])
}

func (a *API) whyCampaign(c echo.Context, r posthaste.Recipient, campaignID int64) error {
	w, err := a.store.FindWhy(c.Request().Context(), campaignID, r.ID)
	if err != nil {
		return err
	}
	names, err := a.scopeNames(c)
	if err != nil {
		return err
	}
	k := w.Campaign
	view := whyView{Answer: w.Explain(), Recipient: viewRecipient(w.Recipient), Campaign: &whyCampaign{k.ID, k.Name, names[k.TopicID], k.State, orNull(k.FrozenAt)},
		Suppressions: []suppressionView{}}
	for _, e := range w.Consents {
		view.Consents = append(view.Consents, viewConsent(e, names[e.TopicID], ""))
	}
	for _, x := range w.Suppressions {
		view.Suppressions = append(view.Suppressions, viewSuppression(x, names))
	}
	if w.Delivery != nil {
		d := a.viewDelivery(k)(*w.Delivery)
		view.Delivery = &d
	}
	return c.JSON(http.StatusOK, view)
}

func (a *API) whyNotice(c echo.Context, r posthaste.Recipient, noticeID int64) error {
	ctx := c.Request().Context()
	n, attempts, err := a.store.FindNotice(ctx, noticeID)
	if err != nil {
		return err
	}
	if n.RecipientID != r.ID {
		return &posthaste.Error{Kind: posthaste.NotFound, Message: "that notice is to somebody else"}
	}
	silent, err := a.store.FindWhyNotice(ctx, n)
	if err != nil {
		return err
	}
	names, err := a.scopeNames(c)
	if err != nil {
		return err
	}
	v := viewNoticeWith(n, attempts)
	view := whyView{Answer: n.Explain(), Recipient: viewRecipient(r), Suppressions: []suppressionView{}, Notice: &v}
	for _, x := range silent {
		view.Suppressions = append(view.Suppressions, viewSuppression(x, names))
	}
	return c.JSON(http.StatusOK, view)
}
