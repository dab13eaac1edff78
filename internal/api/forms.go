package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
	"posthaste/internal/web"
)

const introLimit = 5000 // bytes

type formView struct {
	Key         string    `json:"key"`
	Version     int64     `json:"version"`
	Title       string    `json:"title"`
	Intro       string    `json:"intro"`
	Topics      []string  `json:"topics"`
	Measurement bool      `json:"measurement"`
	PolicyURL   string    `json:"policy_url"`
	Policy      string    `json:"policy_version"`
	Closed      bool      `json:"closed"`
	Actor       string    `json:"actor"`
	CreatedAt   time.Time `json:"created_at"` // of this version
}

func viewForm(keys map[int64]string) func(posthaste.Form) formView {
	return func(f posthaste.Form) formView {
		v := formView{Key: f.Key, Version: f.Version, Title: f.Title, Intro: f.Intro, Topics: []string{}, Measurement: f.Measurement, PolicyURL: f.PolicyURL,
			Policy: f.Policy, Closed: f.Closed, Actor: f.Actor, CreatedAt: f.CreatedAt}
		for _, id := range f.Topics {
			v.Topics = append(v.Topics, keys[id])
		}
		return v
	}
}

func (a *API) addForm(c echo.Context) error {
	f, err := a.readForm(c, "")
	if err != nil {
		return err
	}
	if f, err = a.store.AddForm(c.Request().Context(), f); err != nil {
		return err
	}
	return a.writeForm(c, http.StatusCreated, f)
}

// putForm stores a further version. What was asked for with an earlier one keeps its words.
func (a *API) putForm(c echo.Context) error {
	f, err := a.readForm(c, pathText(c, "form"))
	if err != nil {
		return err
	}
	if f, err = a.store.SaveForm(c.Request().Context(), f); err != nil {
		return err
	}
	return a.writeForm(c, http.StatusOK, f)
}

// readForm reads and checks a form; its key is in the path or in the body.
func (a *API) readForm(c echo.Context, key string) (posthaste.Form, error) {
	var in struct {
		Key         string   `json:"key"`
		Title       string   `json:"title"`
		Intro       string   `json:"intro"`
		Topics      []string `json:"topics"`
		Measurement bool     `json:"measurement"`
		PolicyURL   string   `json:"policy_url"`
		Policy      string   `json:"policy_version"`
		Closed      bool     `json:"closed"`
	}
	if err := read(c, &in); err != nil {
		return posthaste.Form{}, err
	}
	var f faults
	switch {
	case key == "":
		key = in.Key
		if !topicKey.MatchString(key) {
			f.add("key", "must be lower-case letters, digits and hyphens, at most 63, as in \"news\"")
		}
	case in.Key != "" && in.Key != key:
		f.add("key", "cannot be changed")
	}
	f.line("title", in.Title, true, nameLimit)
	f.text("intro", in.Intro, introLimit)
	f.line("policy_version", in.Policy, true, 100)
	if u, err := url.Parse(in.PolicyURL); in.PolicyURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(in.PolicyURL, " \r\n")) {
		f.add("policy_url", "must be an https URL")
	}
	form := posthaste.Form{Key: key, Title: in.Title, Intro: in.Intro, Measurement: in.Measurement, PolicyURL: in.PolicyURL, Policy: in.Policy, Closed: in.Closed,
		Actor: web.OriginOf(c).Actor}
	if len(in.Topics) == 0 {
		f.add("topics", "must name at least one topic")
	}
	for _, name := range in.Topics {
		topic, err := a.topic(c, "topics", name)
		if err != nil && posthaste.FieldsOf(err) == nil {
			return form, err
		}
		f = append(f, posthaste.FieldsOf(err)...)
		form.Topics = append(form.Topics, topic.ID)
	}
	return form, f.err()
}

func (a *API) writeForm(c echo.Context, status int, f posthaste.Form) error {
	keys, err := a.topicKeys(c)
	if err != nil {
		return err
	}
	return c.JSON(status, viewForm(keys)(f))
}

func (a *API) listForms(c echo.Context) error {
	forms, err := a.store.ListForms(c.Request().Context())
	if err != nil {
		return err
	}
	keys, err := a.topicKeys(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(forms, len(forms), viewForm(keys), func(f posthaste.Form) int64 { return f.ID }))
}

func (a *API) showForm(c echo.Context) error {
	f, err := a.store.FindForm(c.Request().Context(), pathText(c, "form"))
	if err != nil {
		return err
	}
	return a.writeForm(c, http.StatusOK, f)
}

// embedForm gives the form as HTML to be pasted into any page.
func (a *API) embedForm(c echo.Context) error {
	var f faults
	f.locale("lang", c.QueryParam("lang"))
	if err := f.err(); err != nil {
		return err
	}
	html, err := a.privacy.EmbedForm(c.Request().Context(), pathText(c, "form"), c.QueryParam("lang"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]string{"html": html})
}
