package unsubscribe

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/token"
	"posthaste/templates/pages"
)

const correctField, correctValue = "correct", "yes"

// showAddress shows a button: a scanner that follows the link corrects nothing.
func (s *Service) showAddress(c echo.Context) error {
	q, gone, err := s.asked(c, token.Correct)
	if err != nil {
		return err
	}
	return s.writeAddress(c, q, gone)
}

// correctAddress makes the mailbox that the link went to the person's address.
// Nothing is sent to the one before: it may be somebody else's.
func (s *Service) correctAddress(c echo.Context) error {
	q, gone, err := s.asked(c, token.Correct)
	if err != nil {
		return err
	}
	form, err := readForm(c, oneClickLimit)
	if err != nil {
		return err
	}
	if gone || form.Get(correctField) != correctValue {
		return s.writeAddress(c, q, gone)
	}
	err = s.store.CorrectAddress(c.Request().Context(), q.ID)
	switch {
	case errors.Is(err, posthaste.NotFound): // it ended, or the person was erased, in this moment
		return s.writeAddress(c, q, true)
	case errors.Is(err, posthaste.Conflict):
		return s.writeCorrect(c, http.StatusConflict, pages.Correct{Lang: languageOf(c), Taken: true})
	case err != nil:
		return err
	}
	q.State = posthaste.RequestDone
	return s.writeAddress(c, q, false)
}

// writeAddress shows where a correction stands, and no more of the person than
// both addresses, masked.
func (s *Service) writeAddress(c echo.Context, q posthaste.Request, gone bool) error {
	if gone || q.RecipientID == 0 {
		return s.writeCorrect(c, http.StatusGone, pages.Correct{Lang: languageOf(c), Gone: true})
	}
	r, err := s.store.FindRecipient(c.Request().Context(), q.RecipientID)
	if err != nil {
		return err
	}
	lang := languageOf(c, r.Locale)
	if q.State == posthaste.RequestDone {
		return s.writeCorrect(c, http.StatusOK, pages.Correct{Lang: lang, Done: true})
	}
	return s.writeCorrect(c, http.StatusOK, pages.Correct{Lang: lang, Masked: mask(q.NewAddress), Before: mask(r.Email), Action: "/a/" + c.Param("token")})
}

func (s *Service) writeCorrect(c echo.Context, status int, page pages.Correct) error {
	page.Sender = s.sender.Name
	return writePage(c, status, func(w http.ResponseWriter) error { return pages.WriteCorrect(w, page) })
}
