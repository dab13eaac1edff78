package api

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
)

// correctRecipient puts right what is held about one person, but for the address,
// which the owner of the new mailbox must confirm.
func (a *API) correctRecipient(c echo.Context) error {
	var in struct {
		Name       *string            `json:"name"`
		Locale     *string            `json:"locale"`
		TimeZone   *string            `json:"time_zone"`
		Attributes map[string]*string `json:"attributes"`
	}
	if err := withReason(c); err != nil {
		return err
	}
	r, err := a.recipient(c)
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	if in.Name == nil && in.Locale == nil && in.TimeZone == nil && in.Attributes == nil {
		f.add("body", "must have at least one of name, locale, time_zone and attributes")
	}
	to := posthaste.Correction{Name: in.Name, Locale: in.Locale, TimeZone: in.TimeZone, Attributes: in.Attributes}
	given := posthaste.Recipient{}.Correct(to)
	f.line("name", given.Name, false, 500)
	f.locale("locale", given.Locale)
	f.zone("time_zone", given.TimeZone)
	f.attributes(given.Attributes)
	for name, value := range in.Attributes {
		if value == nil && !attributeName.MatchString(name) {
			f.add("attributes", "can have no such name")
		}
	}
	if err := f.err(); err != nil {
		return err
	}
	r, changed, err := a.store.CorrectRecipient(c.Request().Context(), r.ID, to)
	if err != nil {
		return err
	}
	if !changed { // the answer shows them all the same
		if err := a.noteRead(c, "recipient.read", recipientObject(r)); err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, viewRecipient(r))
}

// newAddress reads the address that a correction is to bring, and adds what is
// wrong with it. It goes with no other kind.
func (f *faults) newAddress(kind, text string) string {
	if kind != string(posthaste.CorrectionRequest) {
		if text != "" {
			f.add("new_email", "goes with the kind correction only")
		}
		return ""
	}
	addr, bad := address.Parse(text)
	*f = append(*f, posthaste.FieldsAs(bad, "new_email")...)
	return addr.String()
}

// asker gives the language of whoever has an address, and refuses a correction
// that would correct nothing.
func (a *API) asker(c echo.Context, addr address.Address, to string) (locale string, err error) {
	r, err := a.store.FindRecipientByAddress(c.Request().Context(), addr.Canonical())
	if errors.Is(err, posthaste.NotFound) {
		return "", nil
	}
	if err == nil && to == r.Email {
		err = posthaste.Refuse("new_email", "is the address that is held already")
	}
	return r.Locale, err
}
