package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

const (
	// pastLimit is how long ago "at" may be: clocks and requests take time.
	pastLimit = 5 * time.Minute
	// futureLimit catches years that were mistyped.
	futureLimit = 2 * 365 * 24 * time.Hour
	// wallClock is a local time without an offset, read in time_zone.
	wallClock = "2006-01-02T15:04:05"
)

// schedule sets when a draft is sent: at an instant with an offset, at a wall
// clock time of a time zone, or, without "at", now.
func (a *API) schedule(c echo.Context) error {
	var in struct {
		At       string `json:"at"`
		TimeZone string `json:"time_zone"`
	}
	k, err := a.campaign(c)
	if err != nil {
		return err
	}
	if err := read(c, &in); err != nil {
		return err
	}
	at, zone, err := instant(in.At, in.TimeZone, time.Now())
	if err != nil {
		return err
	}
	if err := a.composer.CheckSender(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	links, err := a.composer.Check(ctx, k)
	if err != nil {
		return err
	}
	if k, err = a.store.Schedule(ctx, k.ID, k.Version, at, zone, links); err != nil {
		return err
	}
	return a.writeCampaign(c, http.StatusOK, k)
}

// instant reads when. A wall clock time that a change of the clock leaves out
// is refused; one that it repeats needs an offset.
func instant(at, zone string, now time.Time) (time.Time, string, error) {
	var f faults
	if zone == "" {
		zone = "UTC"
	}
	f.zone("time_zone", zone)
	if err := f.err(); err != nil {
		return time.Time{}, "", err
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, "", err
	}
	if at == "" {
		return now, zone, nil
	}
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		if when, err = wallTime(at, location); err != nil {
			return time.Time{}, "", err
		}
	}
	switch {
	case when.Before(now.Add(-pastLimit)):
		return when, zone, posthaste.Refuse("at", fmt.Sprintf("is in the past: %s", when.In(location).Format(time.RFC3339)))
	case when.After(now.Add(futureLimit)):
		return when, zone, posthaste.Refuse("at", "is more than two years ahead")
	}
	return when, zone, nil
}

func wallTime(at string, location *time.Location) (time.Time, error) {
	if len(at) == len("2006-01-02T15:04") {
		at += ":00"
	}
	wall, err := time.Parse(wallClock, at)
	if err != nil {
		return wall, posthaste.Refuse("at", "must be a date and time such as 2027-03-01T09:00, or with an offset such as 2027-03-01T09:00:00+01:00")
	}
	when, err := time.ParseInLocation(wallClock, at, location)
	if err != nil {
		return when, err
	}
	if when.Format(wallClock) != wall.Format(wallClock) {
		return when, posthaste.Refuse("at", fmt.Sprintf("does not exist in %s: the clock is put forward then", location))
	}
	for _, shift := range []time.Duration{-2 * time.Hour, -time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour} {
		if other := when.Add(shift); other.Format(wallClock) == wall.Format(wallClock) {
			return when, posthaste.Refuse("at", fmt.Sprintf("happens twice in %s: the clock is put back then; add an offset", location))
		}
	}
	return when, nil
}

// sendTest sends the mail to one recipient on file, the same way as the real
// one, so that its unsubscribe link is real too.
func (a *API) sendTest(c echo.Context) error {
	var in struct {
		To string `json:"to"`
	}
	k, r, err := a.campaignAndRecipient(c, &in, func() (string, string) { return "to", in.To })
	if err != nil {
		return err
	}
	if err := a.composer.CheckSender(); err != nil {
		return err
	}
	if err := a.store.Audit(c.Request().Context(), "campaign.test", campaignObject(k), "to", recipientObject(r)); err != nil {
		return err
	}
	reply, err := a.workers.RequestTest(c.Request().Context(), k.ID, r.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewReply(reply))
}

// preview shows the mail as one recipient would get it.
func (a *API) preview(c echo.Context) error {
	var in struct {
		Recipient string `json:"recipient"`
	}
	k, r, err := a.campaignAndRecipient(c, &in, func() (string, string) { return "recipient", in.Recipient })
	if err != nil {
		return err
	}
	if err := a.noteRead(c, "campaign.preview", recipientObject(r)); err != nil {
		return err
	}
	preview, err := a.composer.Preview(c.Request().Context(), k, r.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, preview)
}
