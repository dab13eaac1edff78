package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"posthaste"
)

// Reports is where the figures of campaigns come from.
type Reports interface {
	FindReport(ctx context.Context, campaignID int64) (posthaste.Report, error)
	ListDomains(ctx context.Context, campaignID int64) ([]posthaste.DomainFigure, error)
	ListTopicReports(ctx context.Context, topicID, before int64, limit int) ([]posthaste.Report, error)
}

// ReportFiles writes reports as files.
type ReportFiles interface {
	// Names lists the files that there are of a report.
	Names() []string
	// Write writes the file of that name.
	Write(w io.Writer, r posthaste.Report, name string) error
	// TopicNames and WriteTopic are the same of a topic's campaigns, newest first.
	TopicNames() []string
	WriteTopic(w io.Writer, reports []posthaste.Report, name string) error
}

// domainsFile begins the names of files that need the figures of mail domains.
const domainsFile = "domains"

type figureView struct {
	Mails *int64 `json:"mails"` // with at least one
	Hits  *int64 `json:"hits"`
}

// number is null where a number is too small to be told.
func number(n int64) *int64 {
	if n == posthaste.Hidden {
		return nil
	}
	return &n
}

// viewFigure leaves mails out where they are not told apart.
func viewFigure(f posthaste.Figure, mode posthaste.TrackingMode) figureView {
	v := figureView{Hits: number(f.Hits)}
	if mode == posthaste.TrackIndividual {
		v.Mails = number(f.Mails)
	}
	return v
}

type measureView struct {
	Mode       posthaste.TrackingMode            `json:"mode"`
	Measurable int64                             `json:"measurable"` // accepted mails whose recipients allow it
	Share      *float64                          `json:"measurable_share"`
	People     figureView                        `json:"people"`
	Rate       *float64                          `json:"rate"` // of measurable mails; nothing is said of the others
	Machines   figureView                        `json:"machines"`
	Classes    map[posthaste.HitClass]figureView `json:"classes"`
}

func viewMeasure(m posthaste.Measure, accepted int64) measureView {
	v := measureView{Mode: m.Mode, Measurable: m.Borne, People: viewFigure(m.People, m.Mode), Machines: viewFigure(m.Machines, m.Mode), Classes: map[posthaste.HitClass]figureView{}}
	for class, f := range m.Classes {
		v.Classes[class] = viewFigure(f, m.Mode)
	}
	if m.Mode == posthaste.TrackIndividual {
		v.Share = ratio(m.Borne, accepted)
		if m.People.Mails <= m.Borne { // else some were opened that are not, or not yet, known to bear a beacon
			v.Rate = ratio(m.People.Mails, m.Borne)
		}
	}
	return v
}

// ratio is null of nothing.
func ratio(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	r := float64(part) / float64(whole)
	return &r
}

type reportView struct {
	Campaign     int64                   `json:"campaign"`
	Name         string                  `json:"name"`
	State        posthaste.CampaignState `json:"state"`
	SentAt       *time.Time              `json:"sent_at"`
	Counts       posthaste.Counts        `json:"counts"`
	Unsubscribed int64                   `json:"unsubscribed"` // by the link of this mail
	Opens        measureView             `json:"opens"`
	Clicks       measureView             `json:"clicks"`
	Step         string                  `json:"times_step"` // hour or day
	Times        []timeView              `json:"times,omitempty"`
	Links        []linkView              `json:"links,omitempty"`
	Regions      []regionView            `json:"regions,omitempty"`
	Domains      []domainView            `json:"domains,omitempty"`
	HiddenBelow  int64                   `json:"hidden_below"` // counts that are null are fewer
}

type timeView struct {
	From     time.Time  `json:"from"`
	Opens    figureView `json:"opens"`
	Clicks   figureView `json:"clicks"`
	Machines *int64     `json:"machine_hits"`
}

type linkView struct {
	Number   int        `json:"number"`
	URL      string     `json:"url"`
	People   figureView `json:"people"`
	Machines *int64     `json:"machine_hits"`
}

type regionView struct {
	Region string     `json:"region"` // empty: all smaller ones
	Opens  figureView `json:"opens"`
	Clicks figureView `json:"clicks"`
}

type domainView struct {
	Domain   string `json:"domain"` // empty: all smaller ones
	Mails    int64  `json:"mails"`
	Accepted int64  `json:"accepted"`
	Bounced  int64  `json:"bounced"`
	MayOpen  int64  `json:"measurable_opens"`
	Opened   *int64 `json:"opened"`
	MayClick int64  `json:"measurable_clicks"`
	Clicked  *int64 `json:"clicked"`
}

func viewReport(r posthaste.Report) reportView {
	opens, clicks := r.Opens.Mode, r.Clicks.Mode
	v := reportView{Campaign: r.CampaignID, Name: r.Name, State: r.State, SentAt: orNull(r.SentAt), Counts: r.Counts, Unsubscribed: r.OptedOut,
		Opens: viewMeasure(r.Opens, r.Counts.Accepted), Clicks: viewMeasure(r.Clicks, r.Counts.Accepted), HiddenBelow: posthaste.SmallestCount}
	v.Step = "hour"
	if r.Step > time.Hour {
		v.Step = "day"
	}
	for _, h := range r.Times {
		v.Times = append(v.Times, timeView{h.From, viewFigure(h.Opens, opens), viewFigure(h.Clicks, clicks), number(h.MachineFetches)})
	}
	for _, l := range r.Links {
		v.Links = append(v.Links, linkView{l.Number, l.URL, viewFigure(l.People, clicks), number(l.MachineFetches)})
	}
	for _, g := range r.Regions {
		v.Regions = append(v.Regions, regionView{g.Region, viewFigure(g.Opens, opens), viewFigure(g.Clicks, clicks)})
	}
	for _, d := range r.Domains {
		v.Domains = append(v.Domains, domainView{d.Domain, d.Mails, d.Accepted, d.Bounced, d.MayOpen, number(d.Opened), d.MayClick, number(d.Clicked)})
	}
	return v
}

// report finds the report of the campaign in the path; an announcement has none,
// since it measures nobody.
func (a *API) report(c echo.Context, domains bool) (posthaste.Report, error) {
	k, err := a.campaign(c)
	if err != nil {
		return posthaste.Report{}, err
	}
	ctx := c.Request().Context()
	r, err := a.store.FindReport(ctx, k.ID)
	if err == nil && domains {
		r.Domains, err = a.store.ListDomains(ctx, k.ID)
	}
	return r, err
}

// showReport tells what became of a campaign; with domains=true also by mail domain.
func (a *API) showReport(c echo.Context) error {
	var f faults
	for name := range c.QueryParams() {
		f.oneOf(name, name, "domains")
	}
	domains := f.truth(c, "domains")
	if err := f.err(); err != nil {
		return err
	}
	r, err := a.report(c, domains)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewReport(r))
}

// fileReport gives a part of a report, or all of it, as a file.
func (a *API) fileReport(c echo.Context) error {
	name := c.Param("file")
	if err := oneOfFiles(name, a.files.Names()); err != nil {
		return err
	}
	whole := strings.HasSuffix(name, ".html")
	r, err := a.report(c, whole || strings.HasPrefix(name, domainsFile))
	if err != nil {
		return err
	}
	return writeFile(c, name, func(w io.Writer) error { return a.files.Write(w, r, name) })
}

func oneOfFiles(name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	return &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such file of a report; there are " + strings.Join(names, ", ")}
}

// writeFile answers with a file, which may run and fetch nothing wherever it is opened.
func writeFile(c echo.Context, name string, write func(io.Writer) error) error {
	var out bytes.Buffer
	if err := write(&out); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	return c.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(name)), out.Bytes())
}

// fileTopicReports gives the newest campaigns of a topic as a file.
func (a *API) fileTopicReports(c echo.Context) error {
	name := c.Param("file")
	if err := oneOfFiles(name, a.files.TopicNames()); err != nil {
		return err
	}
	topic, err := a.topicOf(c)
	if err != nil {
		return err
	}
	reports, err := a.store.ListTopicReports(c.Request().Context(), topic.ID, 0, topicReports)
	if err != nil {
		return err
	}
	return writeFile(c, name, func(w io.Writer) error { return a.files.WriteTopic(w, reports, name) })
}

// listTopicReports tells of a topic's campaigns over time, newest first.
func (a *API) listTopicReports(c echo.Context) error {
	before, limit, err := page(c)
	if err != nil {
		return err
	}
	topic, err := a.topicOf(c)
	if err != nil {
		return err
	}
	limit = min(limit, topicReports)
	found, err := a.store.ListTopicReports(c.Request().Context(), topic.ID, before, limit+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(found, limit, viewReport, func(r posthaste.Report) int64 { return r.CampaignID }))
}

// topicOf finds the topic in the path.
func (a *API) topicOf(c echo.Context) (posthaste.Topic, error) {
	topic, err := a.store.FindTopic(c.Request().Context(), pathText(c, "topic"))
	if errors.Is(err, posthaste.NotFound) {
		return topic, &posthaste.Error{Kind: posthaste.NotFound, Message: "there is no such topic; GET /api/v1/topics lists them"}
	}
	return topic, err
}

// topicReports is the most reports of one answer: each reads a ledger.
const topicReports = 20
