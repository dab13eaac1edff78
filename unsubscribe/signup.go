package unsubscribe

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/address"
	"posthaste/internal/token"
	"posthaste/internal/web"
	"posthaste/templates/pages"
)

const (
	signUpLimit = 16 << 10 // bytes of a form: some hundred topics
	nameLimit   = 200      // bytes
)

// offer is a form with what can be ticked in it, and the words beside it.
type offer struct {
	posthaste.Form
	lang    string
	choices map[string]posthaste.Choice // by field
	fields  []string                    // of topics, in their order
}

// offer finds the version of a form that somebody was shown, the current one if
// it is not said, and words it; NotFound also when the form is closed by now.
func (s *Service) offer(ctx context.Context, key, version, lang string) (offer, error) {
	f, err := s.store.FindForm(ctx, key)
	if err == nil && f.Closed {
		err = &posthaste.Error{Kind: posthaste.NotFound, Message: "this form is closed"}
	}
	if n, bad := strconv.ParseInt(version, 10, 64); err == nil && version != "" {
		if bad != nil {
			n = 0 // which there is not
		}
		f, err = s.store.FindFormVersion(ctx, key, n)
	}
	if err != nil {
		return offer{}, err
	}
	topics, err := s.store.ListTopics(ctx)
	if err != nil {
		return offer{}, err
	}
	o := offer{Form: f, lang: lang, choices: map[string]posthaste.Choice{}}
	words := pages.Wordings(o.lang)
	for _, id := range f.Topics {
		if at := slices.IndexFunc(topics, func(t posthaste.Topic) bool { return t.ID == id }); at >= 0 {
			o.fields = append(o.fields, topicField(id))
			o.choices[topicField(id)] = posthaste.Choice{Purpose: posthaste.ForTopic, TopicID: id, Wording: words.Topic(topics[at].Name)}
		}
	}
	if f.Measurement {
		o.choices["opens"] = posthaste.Choice{Purpose: posthaste.ForOpens, Wording: words.Opens}
		o.choices["clicks"] = posthaste.Choice{Purpose: posthaste.ForClicks, Wording: words.Clicks}
	}
	return o, nil
}

// page shows the offer, with what was entered; nothing is ticked for anybody.
func (o offer) page(s *Service, entered url.Values) pages.SignUp {
	p := pages.SignUp{Lang: o.lang, Sender: s.sender.Name, Title: o.Title, Intro: o.Intro, Action: "/s/" + o.Key, PolicyURL: o.PolicyURL, Version: o.Version,
		Email: entered.Get("email"), Name: entered.Get("name")}
	choice := func(field string) pages.Choice {
		return pages.Choice{Name: field, Label: o.choices[field].Wording, Checked: entered.Has(field)}
	}
	for _, field := range o.fields {
		p.Topics = append(p.Topics, choice(field))
	}
	if o.Measurement {
		p.Measurement = []pages.Choice{choice("opens"), choice("clicks")}
	}
	return p
}

func (s *Service) showForm(c echo.Context) error {
	o, err := s.offer(c.Request().Context(), c.Param("form"), "", languageOf(c, c.QueryParam("lang")))
	if err != nil {
		return err
	}
	return writePage(c, http.StatusOK, func(w http.ResponseWriter) error { return pages.WriteSignUp(w, o.page(s, url.Values{})) })
}

// EmbedForm gives a form as a piece of HTML to be put into any page.
func (s *Service) EmbedForm(ctx context.Context, key, lang string) (string, error) {
	o, err := s.offer(ctx, key, "", pages.Match("", lang))
	if err != nil {
		return "", err
	}
	p := o.page(s, url.Values{})
	p.Action = s.sender.PublicURL + p.Action
	var html strings.Builder
	err = pages.WriteEmbed(&html, p)
	return html.String(), err
}

// signUp takes a form in and has the address asked to confirm it. The answer is
// the same whoever the address belongs to, and however often it was given.
func (s *Service) signUp(c echo.Context) error {
	form, err := readForm(c, signUpLimit)
	if err != nil {
		return err
	}
	o, err := s.offer(c.Request().Context(), c.Param("form"), form.Get("version"), languageOf(c, form.Get("lang")))
	if err != nil {
		return err
	}
	u, faults := o.read(form)
	if len(faults) > 0 {
		page := o.page(s, form)
		page.Faults = faults
		return writePage(c, http.StatusUnprocessableEntity, func(w http.ResponseWriter) error { return pages.WriteSignUp(w, page) })
	}
	u.Network = web.OriginOf(c).Network
	if err := s.askToConfirm(c.Request().Context(), u); err != nil {
		return err
	}
	return writePage(c, http.StatusOK, func(w http.ResponseWriter) error {
		return pages.WriteSignUpSent(w, pages.SignUpSent{Lang: o.lang, Sender: s.sender.Name})
	})
}

// read checks what was entered.
func (o offer) read(form url.Values) (u posthaste.SignUp, faults []pages.Fault) {
	refuse := func(field, fault string) {
		faults = append(faults, pages.Fault{Field: field, Text: pages.FaultText(o.lang, fault)})
	}
	u = posthaste.SignUp{Form: o.Form, Name: strings.TrimSpace(form.Get("name")), Language: o.lang}
	addr, err := address.Parse(strings.TrimSpace(form.Get("email")))
	switch {
	case strings.TrimSpace(form.Get("email")) == "":
		refuse("email", "email_missing")
	case err != nil:
		refuse("email", "email_invalid")
	default:
		u.Email, u.Canonical = addr.String(), addr.Canonical()
	}
	if !isLine(u.Name, nameLimit) {
		refuse("name", "name_invalid")
	}
	topics := 0
	for _, field := range append(slices.Clone(o.fields), "opens", "clicks") {
		choice, offered := o.choices[field]
		if !offered || !form.Has(field) {
			continue
		}
		u.Choices = append(u.Choices, choice)
		if choice.Purpose == posthaste.ForTopic {
			topics++
		}
	}
	if topics == 0 {
		refuse("topics", "nothing_chosen")
	}
	return u, faults
}

// askToConfirm stores a sign-up and sends the mail that asks to confirm it,
// unless too many were asked for.
func (s *Service) askToConfirm(ctx context.Context, u posthaste.SignUp) error {
	u, allowed, err := s.store.AddSignUp(ctx, u)
	if err != nil || !allowed {
		return err
	}
	parts := s.mailParts("/confirm/" + s.keys.Seal(token.Confirm, token.Claims{RecipientID: u.RecipientID, Number: u.ID}))
	for _, c := range u.Choices {
		parts.Items = append(parts.Items, c.Wording)
	}
	mail, err := pages.ConfirmMail(u.Language, parts)
	if err != nil {
		return err
	}
	messageID, err := s.courier.Send(ctx, posthaste.ConfirmNotice, u.Email, mail)
	if err != nil {
		withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawWait)
		defer cancel()
		if err := s.store.WithdrawSignUp(withdrawing, u.ID); err != nil { // it is purged by itself
			slog.Warn("a sign-up whose mail was not sent stays", "sign_up", u.ID, "error", err)
		}
		return err
	}
	return s.store.NoteConfirmationMail(ctx, u.ID, messageID)
}

func (s *Service) mailParts(path string) pages.MailParts {
	return pages.MailParts{Sender: s.sender.Name, PostalAddress: s.sender.PostalAddress, Link: s.sender.PublicURL + path}
}

// showConfirm shows a button: a scanner that follows the link confirms nothing.
func (s *Service) showConfirm(c echo.Context) error { return s.answerConfirm(c, s.store.FindSignUp) }

// confirm makes the sign-up consent.
func (s *Service) confirm(c echo.Context) error {
	if _, err := s.keys.Open(token.Confirm, c.Param("token")); err != nil { // before all else
		return err
	}
	form, err := readForm(c, oneClickLimit)
	if err != nil {
		return err
	}
	if form.Get(confirmField) != confirmValue {
		return s.showConfirm(c)
	}
	return s.answerConfirm(c, func(ctx context.Context, id int64) (posthaste.SignUp, error) {
		return s.store.ConfirmSignUp(ctx, id, web.OriginOf(c).Network)
	})
}

func (s *Service) answerConfirm(c echo.Context, act func(context.Context, int64) (posthaste.SignUp, error)) error {
	claims, err := s.keys.Open(token.Confirm, c.Param("token"))
	if err != nil {
		return err
	}
	page := pages.Confirm{Sender: s.sender.Name, Action: "/confirm/" + c.Param("token")}
	status := http.StatusOK
	// After a backup was restored the number may be another person's.
	u, err := s.store.FindSignUp(c.Request().Context(), claims.Number)
	if err == nil && u.RecipientID != claims.RecipientID {
		err = &posthaste.Error{Kind: posthaste.NotFound, Message: "this link is not valid any more"}
	}
	if err == nil {
		u, err = act(c.Request().Context(), claims.Number)
	}
	switch {
	case errors.Is(err, posthaste.NotFound): // it was purged, or the person erased
		page.Lang, page.Gone, status = languageOf(c), true, http.StatusGone
	case err != nil:
		return err
	default:
		page.Lang, page.Done = languageOf(c, u.Language), !u.ConfirmedAt.IsZero()
		for _, choice := range u.Choices {
			page.Items = append(page.Items, choice.Wording)
		}
		if page.Done {
			page.Preferences = "/p/" + s.keys.Seal(token.Preferences, token.Claims{RecipientID: u.RecipientID})
		}
	}
	return writePage(c, status, func(w http.ResponseWriter) error { return pages.WriteConfirm(w, page) })
}

// isLine reports whether a text is one line of UTF-8.
func isLine(text string, limit int) bool {
	return len(text) <= limit && strings.ToValidUTF8(text, "") == text && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 })
}
