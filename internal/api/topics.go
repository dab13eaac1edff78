package api

import (
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// topicKey is a DNS label (RFC 1123 §2.1), since a topic's key stands in its List-Id (RFC 2919 §3).
var topicKey = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

type topicView struct {
	Key       string    `json:"key"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

func viewTopic(t posthaste.Topic) topicView { return topicView{t.Key, t.Name, t.CreatedAt} }

func (a *API) addTopic(c echo.Context) error {
	var in struct {
		Key  string `json:"key"`
		Name string `json:"name"`
	}
	if err := read(c, &in); err != nil {
		return err
	}
	var f faults
	if !topicKey.MatchString(in.Key) || in.Key == scopeAll {
		f.add("key", "must be lower-case letters, digits and hyphens, at most 63, as in \"weekly-news\", and not \"all\"")
	}
	f.line("name", in.Name, true, nameLimit)
	if err := f.err(); err != nil {
		return err
	}
	topic, err := a.store.AddTopic(c.Request().Context(), posthaste.Topic{Key: in.Key, Name: in.Name})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, viewTopic(topic))
}

func (a *API) listTopics(c echo.Context) error {
	topics, err := a.store.ListTopics(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(topics, len(topics), viewTopic, func(t posthaste.Topic) int64 { return t.ID }))
}
