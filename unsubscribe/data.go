package unsubscribe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/templates/pages"
)

// Request records what somebody asks for about the data of an address and has a
// link sent there, or to the new address that it names: whoever reads the mailbox
// is the person. It is the one way for every channel. Nothing is sent to an address
// about which nothing is held, or when too many links were asked for; sent tells.
// Conflict when the new address is somebody else's.
func (s *Service) Request(ctx context.Context, addr address.Address, locale string, q posthaste.Request) (_ posthaste.Request, sent bool, err error) {
	q, mail, err := s.store.AddRequest(ctx, addr.Canonical(), q)
	if err != nil || !mail {
		return q, false, err
	}
	if err := s.sendRequest(ctx, addr.String(), locale, q); err != nil {
		withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawWait)
		defer cancel()
		if err := s.store.WithdrawRequest(withdrawing, q.ID); err != nil { // it expires by itself
			slog.Warn("a request whose link was not sent stays open", "request", q.ID, "error", err)
		}
		return q, false, err
	}
	return q, true, nil
}

// withdrawWait bounds how long is tried to end what could not be sent, so that
// it does not count as if it had been.
const withdrawWait = 2 * time.Second

// sendRequest sends the link: to the new mailbox, if there is to be one.
func (s *Service) sendRequest(ctx context.Context, email, locale string, q posthaste.Request) error {
	path, purpose, write := "/d/", token.Data, pages.DataMail
	switch q.Kind {
	case posthaste.ErasureRequest:
		write = pages.EraseMail
	case posthaste.CorrectionRequest:
		path, purpose, write, email = "/a/", token.Correct, pages.CorrectMail, q.NewAddress
	}
	text, err := write(pages.Match("", locale), s.mailParts(path+s.keys.Seal(purpose, token.Claims{RecipientID: q.RecipientID, Number: q.ID})))
	if err != nil {
		return err
	}
	_, err = s.courier.Send(ctx, posthaste.DataNotice, email, text)
	return err
}

// Erase removes all that is held about a recipient; once it returns no mail to
// them can start. It is the one way for every channel. requestID is the request
// that it carries out, or 0. Unavailable as Stop says: it can be made again.
func (s *Service) Erase(ctx context.Context, r posthaste.Recipient, requestID int64) (posthaste.Receipt, error) {
	if err := s.store.SuppressErased(ctx, r.ID); err != nil {
		return posthaste.Receipt{}, err
	}
	if err := s.Tell(ctx, posthaste.OptOut{RecipientID: r.ID, TopicID: posthaste.AllTopics}); err != nil {
		return posthaste.Receipt{}, err
	}
	files := 0
	if s.files != nil { // first, since the address is needed
		var err error
		if files, err = s.files.Erase(r.Email); err != nil {
			return posthaste.Receipt{}, fmt.Errorf("erase mails that did not leave: %w", err)
		}
	}
	receipt, err := s.store.Erase(ctx, r.ID, requestID)
	if err != nil || s.files == nil {
		return receipt, err
	}
	later, err := s.files.Erase(r.Email) // of what was on its way
	if files += later; files > 0 {
		receipt.Removed["files"] = int64(files)
	}
	return receipt, err
}

// Export gives all that is held about a recipient.
func (s *Service) Export(ctx context.Context, recipientID int64) (posthaste.Export, error) {
	return s.store.Export(ctx, recipientID, s.sender.Receivers)
}

// asked opens the link of a request for a purpose; gone tells that it works no more.
func (s *Service) asked(c echo.Context, purpose token.Purpose) (q posthaste.Request, gone bool, err error) {
	claims, err := s.keys.Open(purpose, c.Param("token"))
	if err != nil {
		return q, false, err
	}
	q, err = s.store.FindRequest(c.Request().Context(), claims.Number)
	// After a backup was restored the number may be another person's.
	if errors.Is(err, posthaste.NotFound) || err == nil && q.RecipientID != 0 && q.RecipientID != claims.RecipientID {
		return posthaste.Request{}, true, nil
	}
	return q, err == nil && !q.LinkWorks(time.Now()), err
}

// showData shows a button, or the receipt once the data are erased. A scanner
// that follows the link sees nothing of them, and ends no request.
func (s *Service) showData(c echo.Context) error {
	q, gone, err := s.asked(c, token.Data)
	if err != nil {
		return err
	}
	return s.writeClosed(c, q, gone)
}

func (s *Service) writeClosed(c echo.Context, q posthaste.Request, gone bool) error {
	if gone {
		return s.writeData(c, http.StatusGone, pages.YourData{Lang: languageOf(c), Gone: true})
	}
	if q.RecipientID == 0 {
		return s.writeReceipt(c, languageOf(c), q.Receipt)
	}
	r, err := s.store.FindRecipient(c.Request().Context(), q.RecipientID)
	if err != nil {
		return err
	}
	path := "/d/" + c.Param("token")
	return s.writeData(c, http.StatusOK, pages.YourData{Lang: languageOf(c, r.Locale), Masked: mask(r.Email), Kind: string(q.Kind), ShowAction: path, EraseAction: path})
}

// actOnData carries out one of the buttons of the page.
func (s *Service) actOnData(c echo.Context) error {
	q, gone, err := s.asked(c, token.Data)
	if err != nil {
		return err
	}
	form, err := readForm(c, oneClickLimit)
	if err != nil {
		return err
	}
	switch {
	case gone || q.RecipientID == 0:
	case form.Get("show") == "yes":
		return s.writeExport(c, q)
	case form.Get("download") == "json":
		return s.downloadData(c, q)
	case form.Get("erase") == "yes":
		return s.eraseData(c, q)
	}
	return s.writeClosed(c, q, gone)
}

func (s *Service) writeExport(c echo.Context, q posthaste.Request) error {
	out, err := s.readExport(c, q)
	if err != nil {
		return err
	}
	lang := languageOf(c, out.Person.Locale)
	path := "/d/" + c.Param("token")
	return s.writeData(c, http.StatusOK, pages.YourData{Lang: lang, Masked: mask(out.Person.Email), Kind: string(q.Kind), Sections: sections(lang, out),
		DownloadAction: path, EraseAction: path})
}

// readExport reads what is held, notes that it was shown, and ends a request
// that asked for no more.
func (s *Service) readExport(c echo.Context, q posthaste.Request) (posthaste.Export, error) {
	ctx := c.Request().Context()
	out, err := s.Export(ctx, q.RecipientID)
	if err != nil {
		return out, err
	}
	if err := s.store.Audit(ctx, "recipient.export", fmt.Sprintf("recipient/%d", q.RecipientID), "request", fmt.Sprint(q.ID)); err != nil {
		return out, err
	}
	if q.Kind == posthaste.AccessRequest {
		return out, s.store.EndRequest(ctx, q.ID)
	}
	return out, nil
}

// downloadData gives the same as a file (GDPR Art. 20: machine-readable).
func (s *Service) downloadData(c echo.Context, q posthaste.Request) error {
	out, err := s.readExport(c, q)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="my-data.json"`)
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, text)
}

// eraseData deletes, and shows the receipt.
func (s *Service) eraseData(c echo.Context, q posthaste.Request) error {
	r, err := s.store.FindRecipient(c.Request().Context(), q.RecipientID)
	if err != nil {
		return err
	}
	receipt, err := s.Erase(c.Request().Context(), r, q.ID)
	if err != nil {
		return err
	}
	return s.writeReceipt(c, languageOf(c, r.Locale), receipt)
}

func (s *Service) writeReceipt(c echo.Context, lang string, receipt posthaste.Receipt) error {
	page := pages.YourData{Lang: lang, Erased: true}
	for _, name := range slices.Sorted(maps.Keys(receipt.Removed)) {
		if n := receipt.Removed[name]; n > 0 {
			page.Receipt = append(page.Receipt, fmt.Sprintf("%s: %d", pages.Word(lang, "removed_"+name), n))
		}
	}
	for _, name := range receipt.Kept {
		page.Receipt = append(page.Receipt, pages.Word(lang, "kept_"+name))
	}
	return s.writeData(c, http.StatusOK, page)
}

func (s *Service) writeData(c echo.Context, status int, page pages.YourData) error {
	page.Sender = s.sender.Name
	return writePage(c, status, func(w http.ResponseWriter) error { return pages.WriteYourData(w, page) })
}
