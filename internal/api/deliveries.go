package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
)

type replyView struct {
	Stage    posthaste.Stage `json:"stage,omitempty"`
	Code     int             `json:"code,omitempty"`
	Enhanced string          `json:"enhanced,omitempty"`
	Text     string          `json:"text,omitempty"`
}

func viewReply(r posthaste.Reply) replyView { return replyView{r.Stage, r.Code, r.Enhanced, r.Text} }

type deliveryView struct {
	Number    int64                   `json:"number"`
	Recipient int64                   `json:"recipient"`
	Email     string                  `json:"email,omitempty"` // none once the recipient is erased
	MessageID string                  `json:"message_id"`      // as in the mail, to find it in the next hop's log
	State     posthaste.DeliveryState `json:"state"`
	Attempts  int                     `json:"attempts"`
	RetryAt   *time.Time              `json:"retry_at,omitempty"`
	Reply     replyView               `json:"reply"`
	ChangedAt time.Time               `json:"changed_at"`
}

// viewDelivery shows the deliveries of a campaign.
func (a *API) viewDelivery(k posthaste.Campaign) func(posthaste.Delivery) deliveryView {
	return func(d posthaste.Delivery) deliveryView {
		return deliveryView{d.Number, d.RecipientID, d.Email, a.composer.MessageID(k, d.Number), d.State, d.Attempts,
			orNull(d.RetryAt), viewReply(d.Reply), d.ChangedAt}
	}
}

func (a *API) listDeliveries(c echo.Context) error {
	k, err := a.campaign(c)
	if err != nil {
		return err
	}
	after, limit, err := page(c, "state")
	if err != nil {
		return err
	}
	var f faults
	state := stateOf(&f, c, posthaste.DeliveryStates)
	if err := f.err(); err != nil {
		return err
	}
	if err := a.noteRead(c, k.Word()+".read_deliveries", campaignObject(k)); err != nil {
		return err
	}
	found, err := a.store.ListDeliveries(c.Request().Context(), k.ID, state, after, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, a.viewDelivery(k), func(d posthaste.Delivery) int64 { return d.Number }))
}

// resolve decides an uncertain delivery by a person.
func (a *API) resolve(c echo.Context) error {
	var in struct {
		Decision string `json:"decision"`
	}
	k, err := a.campaign(c)
	if err != nil {
		return err
	}
	number, err := id(c, "delivery")
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return err
	}
	decisions := map[string]posthaste.DeliveryState{"accepted": posthaste.Accepted, "failed": posthaste.Failed, "send_again": posthaste.Queued}
	to, known := decisions[in.Decision]
	if !known {
		return posthaste.Refuse("decision", "must be one of accepted, failed, send_again")
	}
	d, err := a.store.Resolve(c.Request().Context(), k.ID, number, to)
	if err != nil {
		return err
	}
	if to == posthaste.Queued { // which may have made a campaign that was sent sending again
		if k, err = a.store.FindCampaign(c.Request().Context(), k.ID); err == nil {
			a.tellWorkers(c.Request().Context(), k.ID, k.State)
		}
	}
	return c.JSON(http.StatusOK, a.viewDelivery(k)(d))
}

// campaignAndRecipient reads a request about one mail of a campaign; named
// gives the field, and its address once the request is read.
func (a *API) campaignAndRecipient(c echo.Context, in any, named func() (field, address string)) (posthaste.Campaign, posthaste.Recipient, error) {
	var r posthaste.Recipient
	k, err := a.campaign(c)
	if err != nil {
		return k, r, err
	}
	if err := read(c, in); err != nil {
		return k, r, err
	}
	field, text := named()
	addr, err := address.Parse(text)
	if err != nil {
		return k, r, posthaste.RefuseAll(posthaste.FieldsAs(err, field))
	}
	r, err = a.store.FindRecipientByAddress(c.Request().Context(), addr.Canonical())
	if errors.Is(err, posthaste.NotFound) {
		err = posthaste.Refuse(field, "is no recipient; PUT /api/v1/recipients/{address} or an import adds one")
	}
	return k, r, err
}
